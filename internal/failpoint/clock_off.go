//go:build !failpoints

package failpoint

import "time"

// Enabled says whether the program was built with the tag failpoints.
const Enabled = false

// Clock is nil: time is the system's.
func Clock() func() time.Time { return nil }
