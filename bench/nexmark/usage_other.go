//go:build !unix

package nexmark

import (
	"errors"
	"time"
)

func cpuTime() (time.Duration, error) {
	return 0, errors.New("processor time cannot be measured on this system")
}

func resetPeakRSS() {}

func peakRSS() (int64, error) { return 0, nil }
