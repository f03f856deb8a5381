package ckpt

import "syscall"

// diskFullErrors are what a file system says when it has no room: ERROR_DISK_FULL and
// ERROR_HANDLE_DISK_FULL of the system, and the names that portable code uses.
var diskFullErrors = []error{syscall.Errno(112), syscall.Errno(39), syscall.ENOSPC, syscall.EDQUOT}
