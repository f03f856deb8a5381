//go:build linux || darwin

package ckpt

import (
	"fmt"
	"os"
	"syscall"
)

// freeBytes returns how much the file system of the directory has left for us.
func freeBytes(root *os.Root) (int64, error) {
	dir, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", root.Name(), err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
