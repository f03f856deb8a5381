//go:build mutants

package state

import "os"

var forgetsDirty = os.Getenv("TIDEMILL_MUTANT") == "dirty"
