package failpoint

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	if Clock() != nil {
		t.Error("a clock that nobody asked for")
	}
	t.Setenv(ClockEnv, "-90m")
	clock := Clock()
	if !Enabled {
		if clock != nil {
			t.Error("an ordinary build reads " + ClockEnv)
		}
		return
	}
	if off := time.Until(clock()); off < -91*time.Minute || off > -89*time.Minute {
		t.Errorf("the clock is off by %v", off)
	}
}
