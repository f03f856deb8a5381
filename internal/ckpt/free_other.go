//go:build !linux && !darwin && !windows

package ckpt

import (
	"math"
	"os"
)

// freeBytes cannot ask here: a full disk shows when it is written to.
func freeBytes(*os.File) (int64, error) { return math.MaxInt64, nil }
