package devcluster

import (
	"os/exec"
	"syscall"
)

// contain lets the process die with the thread that starts it, and keeps the terminal's
// Ctrl-C from it: this program stops its nodes in order.
func contain(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
