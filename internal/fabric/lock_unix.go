//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fabric

import (
	"os"
	"syscall"
)

// openLocked opens or creates the file and locks it without waiting.
func openLocked(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
