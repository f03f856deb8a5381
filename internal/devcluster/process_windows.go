package devcluster

import (
	"errors"
	"os"
	"os/exec"
)

func contain(*exec.Cmd) {}

// terminate kills: there is no SIGTERM.
func terminate(p *os.Process) error { return p.Kill() }

func setPaused(*os.Process, bool) error {
	return errors.New("a process cannot be paused on this system")
}
