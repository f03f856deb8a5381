package engine

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// errConflict: a row that a transaction changes is not there any more as it was.
// Sessions turn it into a retry or into 40001.
var errConflict = &types.Error{Code: types.CodeSerialization, Message: "could not serialize access due to concurrent update",
	Hint: "Try the transaction again."}

// admission checks the transactions of one step against the tables and each other.
type admission struct {
	l *leader
	// staged holds, for each table that the step changes, the changes admitted so far.
	staged map[catalog.ID]*state.Spine
}

// admit checks transactions in order and takes those that hold every constraint, into
// a step whose time is now.
func (l *leader) admit(ids []uint64, s *staged, now int64) (ok, rejected []uint64) {
	a := &admission{l: l, staged: map[catalog.ID]*state.Spine{}}
	for _, id := range ids {
		r := l.requests[id]
		if r.retry != nil {
			if err := l.readmit(r, s, now); err != nil {
				l.outcomes[id] = answer{err: err}
				rejected = append(rejected, id)
			} else {
				ok = append(ok, id)
			}
			continue
		}
		if r.rebuild != nil {
			if err := l.admitRebuild(r.rebuild, s, now); err != nil {
				l.outcomes[id] = answer{err: err}
				rejected = append(rejected, id)
			} else {
				ok = append(ok, id)
			}
			continue
		}
		err := l.full(r.changes)
		if err == nil {
			err = a.check(r.changes)
		}
		if err != nil {
			l.outcomes[id] = answer{err: err}
			rejected = append(rejected, id)
			s.refused++
			continue
		}
		if err := l.inTime(r, s, now); err != nil {
			l.outcomes[id] = answer{err: err}
			rejected = append(rejected, id)
			continue
		}
		ok = append(ok, id)
		for _, c := range r.changes {
			s.tables = append(s.tables, c)
			a.take(c)
		}
	}
	return ok, rejected
}

// fullPercent is how much of the memory limit the views may hold before transactions
// that bring more rows than they take away are refused. The rest is room for what
// else changes: a step that passes the limit ends the pipeline.
const fullPercent = 90

// full refuses changes that add rows when the views have little room left, and there is
// no disk for what does not fit.
func (l *leader) full(changes []tableChange) error {
	if l.e.budget != nil {
		return nil // the rest goes to the disk
	}
	held := l.work.TotalBytes()
	if held < l.e.cfg.MemoryBytes/100*fullPercent {
		return nil
	}
	more := int64(0)
	for _, c := range changes {
		more += sumWeights(c.rows)
	}
	if more <= 0 {
		return nil
	}
	return &types.Error{Code: types.CodeOutOfMemory, Message: "out of memory: the views have no room for more rows",
		Detail: fmt.Sprintf("They hold %d bytes of at most %d.", held, l.e.cfg.MemoryBytes),
		Hint:   "Delete rows, drop a view, or raise the limit of memory."}
}

func (a *admission) take(c tableChange) {
	sp := a.staged[c.table]
	if sp == nil {
		r := a.l.rels[c.table]
		sp = state.NewSpine(r.def.Types(), orderOf(r.def))
		a.staged[c.table] = sp
	}
	sp.Append(c.rows)
}

func (a *admission) check(changes []tableChange) error {
	for _, c := range changes {
		r := a.l.rels[c.table]
		if r == nil || r.def.Kind != catalog.Table {
			return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("table %d was dropped", c.table)}
		}
		if len(c.rows.Cols) != len(r.def.Columns) {
			return errConflict
		}
		if err := a.table(r, c.rows); err != nil {
			return err
		}
	}
	return nil
}

// table checks the changes of one table.
func (a *admission) table(r *relation, rows *batch.Batch) error {
	look := newLookup(r.def, a.l.snaps[r.def.ID])
	if sp := a.staged[r.def.ID]; sp != nil {
		look.also(sp.Snapshot())
	}
	err := checkRows(r.def, look, rows)
	if look.err != nil {
		panic(&state.FaultError{Err: look.err}) // the transaction is not to blame
	}
	return err
}

// checkRows checks consolidated changes against the rows that look finds: what
// goes must be there as it was, and a key that comes must be free.
func checkRows(def *catalog.Relation, look *lookup, rows *batch.Batch) error {
	err := checkFound(def, look, rows)
	if look.err != nil {
		return look.err // what it found means nothing
	}
	return err
}

func checkFound(def *catalog.Relation, look *lookup, rows *batch.Batch) error {
	if def.PrimaryKey == nil {
		for i := range rows.N {
			if w := rows.Weight(i); w < 0 && look.weightOf(rows, i) < -w {
				return errConflict
			}
		}
		return nil
	}
	// Consolidated changes may hold the old and the new row of a key apart from
	// each other: bring them together.
	ordered := (&batch.Consolidator{}).Consolidate(rows, batch.Ascending(def.PrimaryKey...))
	keys := batch.Ascending(def.PrimaryKey...)
	for lo := 0; lo < ordered.N; {
		hi := lo + 1
		for hi < ordered.N && batch.CompareRows(ordered, lo, ordered, hi, keys) == 0 {
			hi++
		}
		if err := checkKey(def, look, ordered, lo, hi); err != nil {
			return err
		}
		lo = hi
	}
	return nil
}

// checkKey checks the changes [lo, hi) of one key.
func checkKey(def *catalog.Relation, look *lookup, rows *batch.Batch, lo, hi int) error {
	have := look.find(rows, lo)
	left := int64(0)
	for k := range have.Len() {
		left += have.Weight(have.Row(k))
	}
	for i := lo; i < hi; i++ {
		if w := rows.Weight(i); w < 0 {
			if weightIn(have, rows, i) < -w {
				return errConflict
			}
			left += w
		}
	}
	for i := lo; i < hi; i++ {
		if w := rows.Weight(i); w > 0 {
			if left += w; left > 1 {
				return duplicateKey(def, rows, i)
			}
		}
	}
	return nil
}

// duplicateKey is PostgreSQL's error for a key that is taken.
func duplicateKey(def *catalog.Relation, rows *batch.Batch, i int) error {
	var names, vals []string
	for _, k := range def.PrimaryKey {
		names = append(names, def.Columns[k].Name)
		vals = append(vals, valueText(&rows.Cols[k], i))
	}
	return &types.Error{Code: types.CodeUnique,
		Message: fmt.Sprintf("duplicate key value violates unique constraint %q", def.PrimaryKeyName),
		Detail:  fmt.Sprintf("Key (%s)=(%s) already exists.", strings.Join(names, ", "), strings.Join(vals, ", "))}
}

// weightIn returns the weight that row i of rows has among have's.
func weightIn(have, rows *batch.Batch, i int) int64 {
	sum := int64(0)
	for k := range have.Len() {
		j := have.Row(k)
		if batch.CompareWhole(have, j, rows, i) == 0 {
			sum += have.Weight(j)
		}
	}
	return sum
}

// lookup finds the rows of a table by its key (or, without one, by the whole row)
// in several snapshots and sets of changes at once.
type lookup struct {
	def   *catalog.Relation
	cols  []int
	in    []*state.Snapshot
	key   *batch.Builder
	found *batch.Builder
	err   error // why something was not found although it may be there; it stays
}

func newLookup(def *catalog.Relation, in ...*state.Snapshot) *lookup {
	l := &lookup{def: def, cols: def.PrimaryKey}
	if l.cols == nil {
		for i := range def.Columns {
			l.cols = append(l.cols, i)
		}
	}
	ts := make([]types.Type, len(l.cols))
	for i, c := range l.cols {
		ts[i] = def.Columns[c].Type
	}
	l.key, l.found = batch.NewBuilder(ts), batch.NewBuilder(def.Types())
	for _, s := range in {
		l.also(s)
	}
	return l
}

// also looks in s too; nil adds nothing.
func (l *lookup) also(s *state.Snapshot) {
	if s != nil {
		l.in = append(l.in, s)
	}
}

// find returns the rows with the key of row i of rows, consolidated. What it
// returns is the caller's. If rows cannot be read, it sets err.
func (l *lookup) find(rows *batch.Batch, i int) *batch.Batch {
	l.key.Reset()
	for k, c := range l.cols {
		l.key.Col(k).AppendFrom(0, &rows.Cols[c], i)
	}
	l.key.EndRow(1)
	l.found.Reset()
	for _, s := range l.in {
		err := s.Lookup(l.key.View(), func(b *batch.Batch) error {
			l.found.AppendBatch(b)
			return nil
		})
		if err != nil && l.err == nil {
			l.err = fmt.Errorf("look up a key of %s: %w", l.def.Describe(), err)
		}
	}
	if l.found.Len() == 0 {
		return l.found.View()
	}
	return batch.Consolidate(l.found.View())
}

// weightOf returns how often row i of rows is there.
func (l *lookup) weightOf(rows *batch.Batch, i int) int64 {
	return weightIn(l.find(rows, i), rows, i)
}

// newOverlaySpine makes changes searchable by a table's key.
func newOverlaySpine(def *catalog.Relation, b *batch.Batch) *state.Snapshot {
	sp := state.NewSpine(def.Types(), orderOf(def))
	sp.Append(b)
	return sp.Snapshot()
}
