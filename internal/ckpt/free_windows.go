package ckpt

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

var getDiskFreeSpaceEx = syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")

// freeBytes returns how much the volume of an open directory has left for us.
func freeBytes(dir *os.File) (int64, error) {
	path, err := syscall.UTF16PtrFromString(dir.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	if ok, _, err := getDiskFreeSpaceEx.Call(uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&free)), 0, 0); ok == 0 {
		return 0, fmt.Errorf("free space of %s: %w", dir.Name(), err)
	}
	return int64(min(free, 1<<63-1)), nil
}
