//go:build linux && !amd64

package chaos

import "syscall"

const sysSetns = syscall.SYS_SETNS
