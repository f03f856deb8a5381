package engine

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// tableEvent is the event time of an append-only table. Its rows come in transactions,
// which are sets: the rows of one are held against the watermark before it.
type tableEvent struct {
	rules  *eventRules
	filter *lateFilter // nil without a watermark
	state  *eventState // as of the last step
}

// stagedEvent is where a table's event time stands after a step that is not committed.
type stagedEvent struct {
	table catalog.ID
	state *eventState
}

// newTableEvent returns the event time of a table, nil if it has none.
func newTableEvent(def *catalog.Relation) (*tableEvent, error) {
	r, err := newEventRules(def)
	if err != nil || def.Watermark == nil && len(r.proc) == 0 {
		return nil, err
	}
	t := &tableEvent{rules: r, state: newEventState()}
	if def.Watermark != nil {
		t.filter, err = newLateFilter(r)
	}
	return t, err
}

// eventOf returns the event time of a table as the step s has it so far, to be changed.
func (l *leader) eventOf(s *staged, table catalog.ID) *eventState {
	for _, ev := range s.events {
		if ev.table == table {
			return ev.state
		}
	}
	st := l.events[table].state.clone()
	s.events = append(s.events, stagedEvent{table, st})
	return st
}

// inTime takes the late rows out of a transaction, and stamps the others with now.
func (l *leader) inTime(r *request, s *staged, now int64) error {
	for i := range r.changes {
		c := &r.changes[i]
		t := l.events[c.table]
		if t == nil {
			continue
		}
		if r.given == nil {
			r.given = make([]*batch.Batch, len(r.changes))
		}
		if r.given[i] == nil {
			r.given[i] = c.rows
		}
		c.rows = t.stamp(r.given[i], now)
		if t.filter == nil {
			continue
		}
		rows, err := t.pass(l.eventOf(s, c.table), c.rows)
		if err != nil {
			return err
		}
		c.rows = rows
	}
	return nil
}

// pass moves st over the rows of one transaction and returns those in time.
func (t *tableEvent) pass(st *eventState, rows *batch.Batch) (*batch.Batch, error) {
	if rows.Sel != nil {
		rows = batch.Copy(rows)
	}
	limit := t.rules.limit(st.mark)
	times := &rows.Cols[t.rules.column]
	var keep []uint32
	late := uint64(0)
	for i := range rows.N {
		if !times.Null(i) && times.I64[i] < limit {
			late += uint64(rows.Weight(i))
			continue
		}
		keep = append(keep, uint32(i))
	}
	if late > 0 {
		st.late += late
		rows = pick(rows, keep)
	}
	for _, part := range cutBlocks(rows) {
		st.mark = max(st.mark, t.filter.greatest(part))
	}
	return rows, nil
}

// tableMarks returns the marks of the tables whose event time the step moves.
func (l *leader) tableMarks(s *staged) []flow.Feed {
	for _, id := range sortedKeys(l.events) {
		if len(l.events[id].rules.proc) > 0 {
			l.eventOf(s, id) // its mark moves with every step
		}
	}
	var out []flow.Feed
	for _, ev := range s.events {
		t := l.events[ev.table]
		if ev.state.late > t.state.late {
			s.step.Late = append(s.step.Late, wire.Late{Table: ev.table, Rows: ev.state.late - t.state.late})
		}
		out = append(out, flow.Feed{Rel: relKey(ev.table), Marks: t.rules.marks(ev.state.mark, s.step.Now)})
	}
	return out
}

// noteMarks puts the marks that move into the step's record.
func (l *leader) noteMarks(s *staged, feeds []flow.Feed) error {
	for _, f := range feeds {
		id, ok := catalog.ParseKey(f.Rel)
		if !ok {
			return fmt.Errorf("step %d: input %q is no relation", s.step.N, f.Rel)
		}
		was := l.work.Marks(f.Rel)
		for c, m := range f.Marks {
			if m != flow.NoMark && (was == nil || m > was[c]) {
				s.step.Marks = append(s.step.Marks, wire.Mark{Relation: id, Column: c, Value: m})
			}
		}
	}
	return nil
}

// replayEvents moves the event time of tables over the transactions of a committed
// step, whose late rows are not in the log.
func (l *leader) replayEvents(rec *wire.Step, s *staged) error {
	for _, c := range s.tables {
		t := l.events[c.table]
		if t == nil || t.filter == nil {
			continue
		}
		st := l.eventOf(s, c.table)
		late := st.late
		rows, err := t.pass(st, c.rows)
		if err != nil {
			return err
		}
		if st.late != late || rows.N != c.rows.N {
			return fmt.Errorf("a transaction has rows that are late for %s", t.rules.def.Describe())
		}
	}
	for _, x := range rec.Late {
		if l.events[x.Table] != nil {
			l.eventOf(s, x.Table).late += x.Rows
		}
	}
	return nil
}

// compareMarks holds the marks of a replayed step against those in the log.
func (l *leader) compareMarks(logged, got *wire.Step) error {
	have := map[[2]uint64]int64{}
	for _, m := range got.Marks {
		have[[2]uint64{uint64(m.Relation), uint64(m.Column)}] = m.Value
	}
	for _, m := range logged.Marks {
		rel := l.cat.ByID(m.Relation)
		if rel == nil || l.skip[m.Relation] {
			continue
		}
		k := [2]uint64{uint64(m.Relation), uint64(m.Column)}
		if v, ok := have[k]; !ok || v != m.Value {
			return l.markMismatch(logged, rel, m.Column, fmt.Sprint(m.Value), fmt.Sprint(v))
		}
		delete(have, k)
	}
	for _, m := range got.Marks {
		if _, extra := have[[2]uint64{uint64(m.Relation), uint64(m.Column)}]; extra {
			if rel := l.cat.ByID(m.Relation); rel != nil {
				return l.markMismatch(logged, rel, m.Column, "none", fmt.Sprint(m.Value))
			}
		}
	}
	return nil
}

// markMismatch says that a watermark came out differently than when the step was committed.
func (l *leader) markMismatch(logged *wire.Step, rel *catalog.Relation, col int, was, is string) error {
	name := fmt.Sprint(col)
	if col < len(rel.Columns) {
		name = rel.Columns[col].Name
	}
	err := &types.Error{Code: "XX001", Message: fmt.Sprintf("the watermark of column %q of %s is %s, and was %s when step %d was committed", name, rel.Describe(), is, was, logged.N)}
	if logged.Engine != l.e.cfg.version {
		l.e.cfg.Logger.Warn("replayed step differs", "pipeline", l.e.cfg.Name, "step", logged.N, "err", err)
		l.noteMismatch(logged.N, err)
		return nil
	}
	l.noteMismatch(logged.N, err)
	return fmt.Errorf("%w: %w", ErrMismatch, err)
}
