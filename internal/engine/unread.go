package engine

import (
	"errors"

	"github.com/tidemill/tidemill/internal/worker"
)

// unreadFault is damage that was found beside the leader, in what circuits that were
// restored had left to be read.
type unreadFault struct {
	work *worker.Worker // that has the circuits
	err  error          // a worker.FaultError
}

// readUnread reads, beside the leader, what the restored circuits have left to be read
// when a step needs it. So the first steps find it read, and damage is found soon after
// the start, also that of views of which nothing changes.
func (l *leader) readUnread() {
	unread := l.work.Unread()
	if len(unread) == 0 {
		return
	}
	found := unreadFault{work: l.work}
	l.e.spawn(func() {
		for _, read := range unread {
			if l.e.ctx.Err() != nil {
				return
			}
			if found.err = read(); found.err != nil {
				for m := l.e.cfg.Manual; m != nil && len(l.e.unread) > 0; { // another one is to be looked at first
					if m.Wait() != nil {
						return
					}
				}
				select {
				case l.e.unread <- found:
				case <-l.e.ctx.Done():
				}
				return
			}
		}
	})
}

// unreadDamaged ends the pipeline as if a step had met the damage, unless the circuit
// whose state it is has gone meanwhile, and its records perhaps with it.
func (l *leader) unreadDamaged(found unreadFault) {
	var fault *worker.FaultError
	if found.work != l.work || errors.As(found.err, &fault) && l.work.Spec(fault.Circuit) == nil {
		return
	}
	l.fail(found.err)
}
