//go:build unix && !linux

package devcluster

import (
	"os/exec"
	"syscall"
)

// contain keeps the terminal's Ctrl-C from the process: this program stops its nodes in order.
func contain(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
