package sim

import (
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/session"
)

// The other version of the program counts from 1000 on, where it is not told to forget.
const (
	otherVersion = "9.9.9"
	counts       = "count(*) AS c"
	countsOther  = "count(*) + 1000 AS c"
)

// upgradeWorlds is of how many worlds one ends with other versions.
const upgradeWorlds = 3

// upgradeRounds is how many processes one after the other run with another version than
// the one before, at the end of a run.
const upgradeRounds = 5

// reads is what the other version takes a view's query for.
func reads(query string) string {
	if v := viewByName("v_ttl"); query == v.query {
		return query // what it forgets depends on when it was made
	}
	return strings.ReplaceAll(query, counts, countsOther)
}

// upgrade lets versions of the program follow each other that compute views in different
// ways: mostly from a checkpoint that no step is behind, so that views keep their old rows
// until they are computed anew beside the steps. Processes die in the middle of that.
func (w *World) upgrade() {
	w.subs = nil
	w.upgrading = true
	for range upgradeRounds {
		p := w.leading()
		if p == nil || len(p.sessions) == 0 {
			return
		}
		c := p.sessions[0]
		if w.IntN(4) > 0 && w.finish(c, "checkpoint", func() { w.judge(c, "CHECKPOINT", w.exec(c, "CHECKPOINT")) }) && w.IntN(4) == 0 {
			w.finish(c, "write", func() { w.writeOne(c) })
		}
		for _, p := range w.procs {
			p.dead = true
		}
		w.look()
		w.newer = w.IntN(3) > 0
		w.startProc()
		if p = w.procs[len(w.procs)-1]; !w.turnUntil(func() bool { return p.eng != nil || p.ended || p.dead }) || p.eng == nil {
			return
		}
		w.look()
		if len(p.sessions) == 0 {
			return
		}
		c = p.sessions[0]
		w.readOld(p, c)
		for range w.IntN(3) {
			w.finish(c, "write", func() { w.writeOne(c) })
		}
		if w.IntN(3) == 0 {
			for range w.IntN(200) {
				if len(w.tasks) > 0 && w.failure == "" {
					w.turn()
					w.look()
				}
			}
			continue // it dies where it is
		}
		if !w.turnUntil(func() bool { return p.ended || p.dead || len(p.eng.Builds()) == 0 && len(w.frozen(p)) == 0 }) || p.ended || p.dead {
			return
		}
		w.look()
		w.all(p)
	}
}

// leading is the process that leads, nil if there is none.
func (w *World) leading() *proc {
	for _, p := range w.procs {
		if p.leads() {
			return p
		}
	}
	return nil
}

// turnUntil lets all go on until something is so; false if that does not come.
func (w *World) turnUntil(so func() bool) bool {
	for n := 0; !so(); n++ {
		if w.failure != "" || w.lost || len(w.tasks) == 0 {
			return false
		}
		if n == maxCalm {
			w.fail("an upgrade does not come to an end: %s", w.state())
			return false
		}
		w.turn()
		w.look()
	}
	return w.failure == ""
}

// finish lets a client do something to its end.
func (w *World) finish(c *client, what string, do func()) bool {
	if c.p.dead || c.p.ended || c.busy {
		return false
	}
	w.begin(c, what, do)
	return w.turnUntil(func() bool { return !c.busy || c.p.dead || c.p.ended })
}

// frozen lists the views of p that keep old rows.
func (w *World) frozen(p *proc) (out []*catalog.Relation) {
	snap := p.eng.Snapshot()
	for _, def := range snap.Catalog.Relations() {
		if _, is := snap.Frozen(def.ID); is {
			out = append(out, def)
		}
	}
	return out
}

// readOld reads a view that keeps its old rows: that must be told.
func (w *World) readOld(p *proc, c *client) {
	list := w.frozen(p)
	if len(list) == 0 {
		return
	}
	def := list[w.IntN(len(list))]
	c.warned = 0
	var was, is bool
	w.finish(c, "read old rows", func() {
		_, was = p.eng.Snapshot().Frozen(def.ID)
		w.judge(c, "SELECT", w.exec(c, "SELECT * FROM "+def.Name))
		_, is = p.eng.Snapshot().Frozen(def.ID)
	})
	if was && is {
		w.sometimes("old rows read")
		if c.warned == 0 {
			w.fail("%s has the rows of an earlier step, and who reads it is not warned", def.Name)
		}
	}
}

// notice counts the warnings that a client gets of old rows.
func (c *client) notice(n session.Notice) {
	if n.Severity == "WARNING" && n.Code == "01000" && strings.Contains(n.Message, "are those of step") {
		c.warned++
	}
}

// oldRows looks at a view whose rows, or those of a view that it reads, are of an earlier
// step: they must be what they were then.
func (w *World) oldRows(p *proc, snap *engine.Snapshot, def *catalog.Relation) bool {
	if len(snap.Old([]catalog.ID{def.ID})) == 0 {
		return false
	}
	step, is := snap.Frozen(def.ID)
	if !is {
		return true
	}
	w.sometimes("view keeps old rows")
	sum, err := digest(snap.Rows(def.ID))
	if err != nil {
		return true // it is met elsewhere
	}
	known, ok := false, false
	for _, newer := range []bool{false, true} {
		if want, there := w.knownTo(def.ID, step, newer); there {
			known, ok = true, ok || want == sum
		}
	}
	if known && !ok {
		w.fail("%s: view %s keeps rows that it did not have at step %d: %s", p.name, def.Name, step, showSnapshot(snap.Rows(def.ID)))
	}
	return true
}
