package devcluster

import (
	"os/exec"
	"runtime"
)

// Launcher starts processes. Launch calls cmd.Start where the process of that node belongs.
type Launcher interface {
	Launch(node int, cmd *exec.Cmd) error
}

// Thread is one thread of the operating system that carries out what it is given, one
// after the other. Processes started on it live as long as it does: on Linux the
// system kills them when the thread that started them ends, and so when this program dies.
type Thread struct {
	jobs chan func()
	done chan struct{}
}

// NewThread returns a thread. Close ends it.
func NewThread() *Thread {
	t := &Thread{jobs: make(chan func()), done: make(chan struct{})}
	go t.run()
	return t
}

func (t *Thread) run() {
	defer close(t.done)
	runtime.LockOSThread() // never unlocked: it ends with this function, whatever was done to it
	for job := range t.jobs {
		job()
	}
}

// Do runs fn on the thread and waits for it.
func (t *Thread) Do(fn func()) {
	done := make(chan struct{})
	t.jobs <- func() {
		defer close(done)
		fn()
	}
	<-done
}

// Launch implements Launcher.
func (t *Thread) Launch(_ int, cmd *exec.Cmd) (err error) {
	t.Do(func() { err = cmd.Start() })
	return err
}

// Close ends the thread and waits for it. Do must not be called any more.
func (t *Thread) Close() {
	close(t.jobs)
	<-t.done
}
