//go:build linux || darwin

package ckpt

import (
	"fmt"
	"os"
	"syscall"
)

// freeBytes returns how much the file system of an open directory has left for us.
func freeBytes(dir *os.File) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir.Name(), err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
