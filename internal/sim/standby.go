package sim

import (
	"context"
	"slices"

	"github.com/tidemill/tidemill/internal/engine"
)

// link is how a process reaches the one that leads: over lines that lose requests and
// answers, to a process that may think that it leads and is wrong.
type link struct {
	w *World
	p *proc
}

// Call implements engine.Leader.
func (l link) Call(ctx context.Context, req []byte) ([]byte, error) {
	w := l.w
	if w.pause(l.p) != nil {
		return nil, engine.ErrNoLeader
	}
	var leaders []*proc
	for _, p := range w.procs {
		if p.leads() && p != l.p {
			leaders = append(leaders, p)
		}
	}
	if len(leaders) == 0 {
		return nil, engine.ErrNoLeader
	}
	to := leaders[w.IntN(len(leaders))]
	switch f := w.store.faults; {
	case w.store.in(f.unavailable):
		return nil, engine.ErrNoLeader
	case w.store.in(f.never):
		return nil, engine.ErrOutcome
	case w.store.in(f.later): // it arrives when nobody waits for the answer any more
		w.spawn(to, "late call", func() { _, _ = to.eng.Serve(ctx, slices.Clone(req)) })
		w.sometimes("call arrived late")
		return nil, engine.ErrOutcome
	}
	var resp []byte
	var err error
	done := false
	w.spawn(to, "call", func() {
		resp, err = to.eng.Serve(ctx, slices.Clone(req))
		done = true
	})
	for !done {
		if to.dead || to.buried {
			return nil, engine.ErrOutcome
		}
		if w.wait(l.p) != nil {
			return nil, engine.ErrOutcome
		}
	}
	if to.dead {
		return nil, engine.ErrOutcome // what it answers is what tasks of the dead are told
	}
	if err != nil {
		return nil, engine.ErrNoLeader
	}
	if w.store.in(w.store.faults.written) {
		w.sometimes("answer of a call lost")
		return nil, engine.ErrOutcome
	}
	w.counts["calls answered"]++
	return resp, nil
}

// floor is the first record that processes other than p need.
func (w *World) floor(p *proc) uint64 {
	floor := uint64(0)
	for _, q := range w.procs {
		if q == p || !q.stands() {
			continue
		}
		if f := max(q.eng.Standing().Floor, 1); floor == 0 || f < floor {
			floor = f
		}
	}
	return floor
}

// changeLead lets a standby lead, though another one does, or the leader hand over.
func (w *World) changeLead() {
	if !w.want.standbys || w.quiet {
		return
	}
	leading := slices.ContainsFunc(w.procs, (*proc).leads)
	if leading && w.IntN(6) > 0 {
		return
	}
	if leading && w.IntN(2) == 0 {
		for _, p := range w.procs {
			if p.leads() && !p.promoted {
				p.promoted = true
				w.note("%s hands over", p.name)
				w.spawn(p, "yield", func() { _ = p.eng.Yield(background()) })
				return
			}
		}
		return
	}
	w.promote()
}

// promote lets some standby lead and reports whether there is one that is asked to.
func (w *World) promote() bool {
	var some []*proc
	asked := false
	for _, p := range w.procs {
		if p.stands() {
			if asked = asked || p.promoted; !p.promoted {
				some = append(some, p)
			}
		}
	}
	if len(some) == 0 || asked {
		return asked
	}
	p := some[w.IntN(len(some))]
	p.promoted = true
	w.note("%s is to lead", p.name)
	w.spawn(p, "lead", func() {
		err := p.eng.Lead(background())
		p.promoted = false
		if p.dead {
			return
		}
		w.note("%s leads: %v", p.name, err)
		if err == nil {
			w.sometimes("standby took the lead")
		}
	})
	return true
}

// together reports whether every standby shows what the leader does.
func (w *World) together(leader *proc) bool {
	for _, p := range w.procs {
		if p.stands() && p.eng.Snapshot().Step < leader.eng.Snapshot().Step {
			return false
		}
	}
	return true
}

// latest reads what is committed anywhere, and holds it against the log.
func (w *World) latest(c *client) {
	at := w.chk.step
	for _, s := range []string{"SET read = 'latest'", "SELECT count(*) FROM u", "SET read = 'committed'"} {
		r := w.exec(c, s)
		if c.p.dead {
			return
		}
		if w.judge(c, s, r) == acked && s[:6] == "SELECT" && c.p.eng.Snapshot().Step < at {
			w.fail("%s of %s read step %d as the latest, and step %d was committed before it asked", c.name, c.p.name, c.p.eng.Snapshot().Step, at)
		} else if r.err == nil && s[:6] == "SELECT" {
			w.counts["latest reads"]++
		}
	}
}
