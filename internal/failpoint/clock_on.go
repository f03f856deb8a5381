//go:build failpoints

package failpoint

import (
	"os"
	"time"
)

// Enabled says whether the program was built with the tag failpoints.
const Enabled = true

// Clock is a clock that is off by what ClockEnv says; nil if it says nothing. A value that
// is no duration ends the process: a test would prove nothing.
func Clock() func() time.Time {
	text := os.Getenv(ClockEnv)
	if text == "" {
		return nil
	}
	offset, err := time.ParseDuration(text)
	if err != nil {
		panic("failpoint: " + ClockEnv + ": " + err.Error())
	}
	return func() time.Time { return time.Now().Add(offset) }
}
