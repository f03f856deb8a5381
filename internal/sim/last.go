package sim

import (
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// last looks at everything once more when all is quiet, and then again in processes that
// open the pipeline anew with other numbers of workers.
func (w *World) last() {
	for _, p := range w.procs {
		if p.up() {
			w.all(p)
		}
	}
	for range 2 {
		if w.failure != "" {
			return
		}
		for _, p := range w.procs {
			p.dead = true
		}
		w.look()
		w.startProc()
		p := w.procs[len(w.procs)-1]
		for n := 0; p.eng == nil && w.failure == "" && !p.ended; n++ {
			if n == maxCalm {
				w.fail("%s does not open the pipeline", p.name)
			}
			w.turn()
		}
		w.look()
		if p.eng != nil && w.failure == "" {
			w.all(p)
		}
	}
	if w.want.upgrade && w.failure == "" && !w.lost {
		w.upgrade()
	}
}

// all compares every view with the oracle.
func (w *World) all(p *proc) {
	snap := p.eng.Snapshot()
	if snap.Step != w.chk.step {
		return // another one took over
	}
	for _, def := range snap.Catalog.Relations() {
		if w.oldRows(p, snap, def) {
			continue
		}
		if def.Kind == catalog.MaterializedView && w.chk.cat.ByID(def.ID) != nil && w.failure == "" {
			w.oracle(p, snap, def)
		}
	}
}

// digest is the fingerprint of rows.
func digest(rows *state.Snapshot) (sum batch.Digest, err error) {
	err = rows.Blocks(func(b *batch.Batch) error {
		sum = sum.Add(batch.DigestOf(b))
		return nil
	})
	return sum, err
}

func typesOf(r oracle.Row) []types.Type {
	out := make([]types.Type, len(r.V))
	for i, v := range r.V {
		out[i] = v.T
	}
	return out
}

// rowText prints a row.
func rowText(b *batch.Batch, i int) string {
	var out []string
	for c := range b.Cols {
		if v := b.Cols[c].Value(i); v.Null {
			out = append(out, "null")
		} else {
			out = append(out, string(types.AppendText(nil, v, types.Style{})))
		}
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// show prints rows.
func show(list []*batch.Batch) string {
	var t oracle.Table
	for _, b := range list {
		t = append(t, oracle.FromBatch(b)...)
	}
	return strings.Join(texts(oracle.Consolidate(t)), " ")
}

// showSnapshot prints the rows of a relation.
func showSnapshot(rows *state.Snapshot) string {
	var list []*batch.Batch
	rows.Blocks(func(b *batch.Batch) error {
		list = append(list, b)
		return nil
	})
	return show(list)
}
