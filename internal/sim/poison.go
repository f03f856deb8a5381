package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// In one world of poisonWorlds every circuit panics on some rows of the base relations, of
// which about one in poisonRows is. They must be left out by the log, alone: what the
// log says is held against what poison is, and every replay would meet what it left in.
const (
	poisonWorlds = 4
	poisonRows   = 11
	poisonText   = "a row of poison"
)

// poisonRow names a row by its relation and its marker, or its number if it is generated.
type poisonRow struct {
	relation catalog.ID
	marker   int64
}

// markerOf names row i of a base relation.
func markerOf(def *catalog.Relation, b *batch.Batch, i int) poisonRow {
	col := len(b.Cols) - 1 // the marker is the last
	if isGenerated(def) {
		col = 0
	}
	return poisonRow{def.ID, b.Cols[col].I64[i]}
}

// poisonous reports whether the row is one that circuits panic on.
func poisonous(r poisonRow) bool { return r.marker%poisonRows == 7 }

// probe is engine.Config.Probe: it panics on poison that was not cured.
func (w *World) probe(p *proc) func(circuit, rel string, b *batch.Batch) {
	if !w.want.poison {
		return nil
	}
	return func(_, rel string, b *batch.Batch) {
		id, ok := catalog.ParseKey(rel)
		t := w.chk.tables[id]
		if !ok || t == nil || p.dead {
			return
		}
		for k := range b.Len() {
			i := b.Row(k)
			if r := markerOf(t.def, b, i); b.Weight(i) > 0 && poisonous(r) && !w.cured[r] {
				panic(poisonText)
			}
		}
	}
}

// poisoned reports whether an error tells of poison: what was asked for is refused.
func (w *World) poisoned(err error) bool {
	if !w.want.poison || err == nil || !strings.Contains(err.Error(), poisonText) {
		return false
	}
	w.sometimes("poison refused")
	return true
}

// sourcesWithPoison lists those of which rows are left out.
func (w *World) sourcesWithPoison() []*catalog.Relation {
	var out []*catalog.Relation
	for _, def := range w.chk.cat.Relations() {
		if len(w.chk.left[def.ID]) > 0 {
			out = append(out, def)
		}
	}
	return out
}

// retryOften is one of how many operations puts rows back while there are some.
const retryOften = 6

// retry puts a row back that was left out, after a cure or without one.
func (w *World) retry(c *client) {
	sources := w.sourcesWithPoison()
	if len(sources) == 0 {
		return
	}
	def := pickOf(w, sources...)
	left := w.chk.left[def.ID]
	at := pickOf(w, slices.Sorted(maps.Keys(left))...)
	if w.IntN(2) == 0 {
		w.cured[markerOf(def, left[at], 0)] = true
	}
	text := fmt.Sprintf("CALL tidemill.retry('%s', %d)", def.Name, at)
	if w.IntN(3) == 0 {
		text = fmt.Sprintf("CALL tidemill.retry('%s')", def.Name)
	}
	r := w.exec(c, text)
	var te *types.Error
	if errors.As(r.err, &te) && !c.p.dead {
		switch te.Code {
		case "22023", "55000": // put back by another, or late by now
			w.sometimes("retry refused")
			return
		}
	}
	if w.judge(c, text, r) == acked {
		w.sometimes("poison put back")
	}
}

// takeLeft notes the rows that a step leaves out, and returns their positions by source.
func (s *shadow) takeLeft(st *wire.Step) map[catalog.ID]map[uint64]bool {
	out := map[catalog.ID]map[uint64]bool{}
	for _, x := range st.Skipped {
		t := s.tables[x.Source]
		row, _, err := wire.DecodeBatch(x.Row)
		switch {
		case t == nil:
			s.fail("step %d leaves out a row of source %d, which is not there", st.N, x.Source)
			continue
		case err != nil || row.Len() != 1:
			s.fail("step %d leaves out record %d of %s: %v", st.N, x.Position, t.def.Name, err)
			continue
		case !poisonous(markerOf(t.def, row, 0)):
			s.fail("step %d leaves out record %d of %s, which is no poison", st.N, x.Position, t.def.Name)
		case s.left[x.Source][x.Position] != nil:
			s.fail("step %d leaves out record %d of %s again", st.N, x.Position, t.def.Name)
		}
		if out[x.Source] == nil {
			out[x.Source] = map[uint64]bool{}
		}
		if s.left[x.Source] == nil {
			s.left[x.Source] = map[uint64]*batch.Batch{}
		}
		out[x.Source][x.Position], s.left[x.Source][x.Position] = true, row
		s.sometimes("poison left out")
	}
	return out
}

// without returns the rows of a batch that are not left out; row k is record first+k of
// its source. It takes those that are from out.
func (s *shadow) without(step uint64, t *content, b *batch.Batch, first uint64, out map[uint64]bool) *batch.Batch {
	var keep []uint32
	for k := range b.Len() {
		i, at := b.Row(k), first+uint64(k)
		if !out[at] {
			keep = append(keep, uint32(i))
			continue
		}
		delete(out, at)
		if got, want := markerOf(t.def, s.left[t.def.ID][at], 0), markerOf(t.def, b, i); got != want {
			s.fail("step %d leaves out record %d of %s, and holds another row for it", step, at, t.def.Name)
		}
	}
	if len(keep) == b.Len() {
		return b
	}
	some := *b
	if some.Sel = keep; keep == nil {
		some.Sel = []uint32{}
	}
	return batch.Copy(&some)
}

// takeRetried puts rows back.
func (s *shadow) takeRetried(st *wire.Step) {
	for _, x := range st.Retried {
		t, row := s.tables[x.Source], s.left[x.Source][x.Position]
		if t == nil || row == nil {
			s.fail("step %d takes record %d of source %d again, which is not left out", st.N, x.Position, x.Source)
			continue
		}
		if batch.DigestOf(row) != batch.DigestOf(x.Row) {
			s.fail("step %d takes record %d of %s again, which was another row", st.N, x.Position, t.def.Name)
		}
		delete(s.left[x.Source], x.Position)
		t.apply(s, st.N, x.Row)
	}
}
