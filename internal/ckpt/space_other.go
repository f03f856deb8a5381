//go:build !windows

package ckpt

import "syscall"

// diskFullErrors are what a file system says when it has no room.
var diskFullErrors = []error{syscall.ENOSPC, syscall.EDQUOT}
