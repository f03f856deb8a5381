//go:build unix

package nexmark

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// cpuTime returns the processor time of this process so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// resetPeakRSS makes peakRSS start anew, where the system can (Linux).
func resetPeakRSS() {
	if f, err := os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("5")
		_ = f.Close()
	}
}

// peakRSS returns the most memory that the process had resident: since resetPeakRSS
// on Linux, since its start elsewhere.
func peakRSS() (int64, error) {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range bytes.Lines(status) {
			f := bytes.Fields(line)
			if len(f) == 3 && string(f[0]) == "VmHWM:" {
				kb, err := strconv.ParseInt(string(f[1]), 10, 64)
				return kb << 10, err
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss), nil // bytes there, kilobytes elsewhere
	}
	return int64(u.Maxrss) << 10, nil
}
