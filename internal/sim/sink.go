package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
)

// target is what a sink delivers to: it keeps each step's changes once, and holds what
// comes again against what came before.
type target struct {
	steps map[uint64]uint64 // the changes of each step, in their order, as a hash
	sum   batch.Digest
	last  uint64
}

// kept is a sink whose target outlives the process.
type kept struct {
	w  *World
	p  *proc
	id catalog.ID
}

// Run implements connector.Sink.
func (k kept) Run(ctx context.Context, from connector.Outlet) error {
	at := from.Position()
	for {
		step, b, err := from.Next(ctx, at)
		if err != nil {
			return err
		}
		k.w.deliver(k, at, step, b)
		if err := from.Done(ctx, step); err != nil {
			return err
		}
		at = step
	}
}

// deliver takes the changes of a step of a sink.
func (w *World) deliver(k kept, after, step uint64, b *batch.Batch) {
	if k.p.dead {
		return
	}
	t := w.targets[k.id]
	if t == nil {
		t = &target{steps: map[uint64]uint64{}}
		w.targets[k.id] = t
	}
	h := fnv.New64a()
	for i := range b.N {
		fmt.Fprintf(h, "%+d %s\n", b.Weight(i), rowText(b, i))
	}
	was, again := t.steps[step]
	switch {
	case step > w.chk.step || step <= after && after > 0:
		w.fail("%s delivers step %d after %d, the log is at %d", k.p.name, step, after, w.chk.step)
	case again && was != h.Sum64() && !w.upgrading:
		w.fail("%s delivers step %d of sink %d again, and it is not the same: %s", k.p.name, step, k.id, show([]*batch.Batch{b}))
	case again:
		w.sometimes("sink delivered again")
	case step < t.last:
		w.fail("%s delivers step %d of sink %d, which it left out before: step %d was delivered", k.p.name, step, k.id, t.last)
	default:
		t.steps[step], t.last = h.Sum64(), step
		t.sum = t.sum.Add(batch.DigestOf(b))
		w.counts["steps delivered by sinks"]++
	}
}

// sinksDone reports whether every sink has delivered all that its relation holds at the
// step of p.
func (w *World) sinksDone(p *proc) bool {
	snap := p.eng.Snapshot()
	for _, def := range snap.Catalog.Relations() {
		if def.Kind != catalog.Sink {
			continue
		}
		of := snap.Catalog.Lookup([]string{"public"}, "", strings.TrimPrefix(def.Name, "k_"))
		if of == nil {
			continue
		}
		want, ok := w.known(of.ID, snap.Step)
		if !ok {
			continue
		}
		if t := w.targets[def.ID]; t == nil && want != (batch.Digest{}) || t != nil && t.sum != want {
			return false
		}
	}
	return true
}
