//go:build unix

package ckpt

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes the names in an open directory durable.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, syscall.EINVAL) { // a file system whose directories need no sync
		return nil
	}
	return err
}
