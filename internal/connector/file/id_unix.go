//go:build unix

package file

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileID names a file whatever its path, or is "" if the system does not tell.
func fileID(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", uint64(st.Dev), uint64(st.Ino))
	}
	return ""
}
