package sim

import (
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
)

// errDead is what a crashed process gets wherever it asks for anything.
var errDead = errors.New("the process has crashed")

// task is engine code that runs until it waits, and goes on when it is its turn. Of
// all tasks one runs at a time, so that which one that is decides everything.
type task struct {
	name string
	proc *proc
	next func() (struct{}, bool)
	give func(struct{}) bool
	end  func()
	done bool
}

// spawn makes fn a task of p, which runs when it is chosen.
func (w *World) spawn(p *proc, name string, fn func()) {
	t := &task{name: name, proc: p}
	t.next, t.end = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if v := recover(); v != nil {
				w.fail("%s panicked: %v\n%s", t.name, v, debug.Stack())
			}
		}()
		t.give = yield
		fn()
	})
	w.tasks = append(w.tasks, t)
}

// run lets task i go on until it waits or ends.
func (w *World) run(i int) {
	t := w.tasks[i]
	w.running = t
	if _, more := t.next(); !more {
		t.done = true
	}
	w.running = nil
	w.sweep()
}

// sweep forgets the tasks that have ended.
func (w *World) sweep() {
	live := w.tasks[:0]
	for _, t := range w.tasks {
		if !t.done {
			live = append(live, t)
		}
	}
	clear(w.tasks[len(live):])
	w.tasks = live
}

// pause lets others run before the running task goes on. In a process that has crashed
// it returns at once, with an error.
func (w *World) pause(p *proc) error {
	if p.dead {
		return errDead
	}
	if t := w.running; t != nil && !t.give(struct{}{}) {
		p.dead = true // the run is over
	}
	if p.dead {
		return errDead
	}
	return nil
}

// bury lets the tasks of a process that has crashed unwind: nothing they ask for is
// given any more.
func (w *World) bury(p *proc) {
	p.dead = true
	for _, t := range w.tasks {
		if t.proc != p || t == w.running {
			continue
		}
		before := w.running
		w.running = t
		for n := 0; !t.done; n++ {
			if _, more := t.next(); !more {
				t.done = true
			}
			if n > maxUnwind {
				panic(fmt.Sprintf("task %s of a crashed process does not end", t.name))
			}
		}
		w.running = before
	}
}

// maxUnwind is how often a task of a crashed process may wait before it must have ended.
const maxUnwind = 1000

// stop ends all tasks.
func (w *World) stop() {
	for _, p := range w.procs {
		p.dead = true
	}
	for _, t := range w.tasks {
		if !t.done {
			t.end()
		}
	}
	w.tasks = nil
}
