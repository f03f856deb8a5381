package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// dropper takes rows out of a multimap as if they had been withdrawn.
type dropper struct {
	m      *multimap
	rows   []uint32
	hashes []uint64
	block  batch.Batch
}

// add drops a row when flush is called.
func (d *dropper) add(row uint32) { d.rows = append(d.rows, row) }

// flush makes the weights of the rows 0, so that endStep removes them.
func (d *dropper) flush() {
	if len(d.rows) == 0 {
		return
	}
	if d.hashes == nil {
		d.hashes = make([]uint64, batch.BlockRows)
		d.block.Cols = typedColumns(d.m.types)
	}
	for lo := 0; lo < len(d.rows); lo += batch.BlockRows {
		rows := d.rows[lo:min(lo+batch.BlockRows, len(d.rows))]
		for c := range d.block.Cols {
			d.m.gather(&d.block.Cols[c], c, rows)
		}
		d.block.N = len(rows)
		hashes := batch.HashRows(d.hashes[:batch.BlockRows], &d.block, d.m.all)
		for k, r := range rows {
			w := d.m.row(r)
			d.m.touch(r)
			d.m.touchedR[uint32(w[rowGroup])-1].hash = hashes[k]
			g := uint32(w[rowGroup] >> 32)
			d.m.addWeight(g, d.m.editGroup(g), -int64(w[rowWeight]))
			w[rowWeight] = 0
		}
	}
	d.rows = d.rows[:0]
}

// overMarks: a change of a partition changes answers in it. In an order that rises,
// with frames that do not look ahead of the row's peers, only those behind it.
func overMarks(op *Over, m *marks) {
	m.final = m.Final[0]
	m.blank()
	m.keep(op.Partition)
	if c := op.backward(); c >= 0 {
		m.Out[c] = max(m.Out[c], m.In[0][c])
	}
}

// backward returns the first column of an ascending order if no answer depends on
// rows behind the row's peers, else -1.
func (op *Over) backward() int {
	if len(op.Order) == 0 || op.Order[0].Desc || op.Order[0].NullsFirst {
		return -1
	}
	for i := range op.Calls {
		c := &op.Calls[i]
		switch c.Fn {
		case OverPercentRank, OverCumeDist, OverNtile, OverLead:
			return -1
		case OverLag:
			if c.NCol >= 0 || c.N < 0 {
				return -1
			}
		case OverAgg, OverFirst, OverLast, OverNth:
			if c.Frame.End.Kind > AtCurrent {
				return -1
			}
		}
	}
	return op.Order[0].Col
}

// freer finds the partitions that lie below a mark: those in which a column of the
// partition has a lower value. Nothing will change there any more.
type freer struct {
	mem   *state.Memory
	marks *Marks
	col   int // input column, -1 if none may have a mark
	cal   *calendar
	cols  []int // candidates: columns of the partition with integer layout
}

func newFreer(env Env, partition []int) freer {
	f := freer{mem: env.memory(), marks: env.Marks, col: -1}
	if env.Marks == nil {
		return f
	}
	for _, c := range partition {
		if env.In[0][c].Layout() == types.LayoutInt && !slices.Contains(f.cols, c) {
			f.cols = append(f.cols, c)
		}
	}
	return f
}

func (f *freer) persist(p *state.Persist) {
	state.Num(p, &f.col)
	persistCalendar(p, f.mem, &f.cal)
}

// begin chooses a column that has a mark by now. It reports whether this is new, so
// that all partitions must be put down.
func (f *freer) begin(ts []types.Type) bool {
	if f.col >= 0 {
		return false
	}
	for _, c := range f.cols {
		if f.marks.In[0][c] != NoMark {
			f.col, f.cal = c, newCalendar(f.mem, calendarWidth(ts[c], 0))
			return true
		}
	}
	return false
}

// value returns the time of the partition of a row of s; false if it has none.
func (f *freer) value(s *rowStore, w []uint64) (int64, bool) {
	if f.col < 0 || s.null(w, f.col) {
		return 0, false
	}
	return int64(w[s.fields[f.col].at]), true
}

// add puts down that partition g has the row with words w of s.
func (f *freer) add(s *rowStore, w []uint64, g uint64) {
	if v, ok := f.value(s, w); ok {
		f.cal.add(v, g)
	}
}

// due calls free for the partitions that lie below the mark. row returns the words of
// a row of a partition, nil if it is gone.
func (f *freer) due(s *rowStore, row func(g uint64) []uint64, free func(g uint64)) {
	if f.col < 0 {
		return
	}
	m := f.marks.In[0][f.col]
	f.cal.due(m, func(g uint64) {
		if w := row(g); w != nil {
			if v, ok := f.value(s, w); ok && v < m {
				free(g)
			}
		}
	})
}

func (f *freer) bytes() int64 {
	if f.cal == nil {
		return 0
	}
	return f.cal.bytes()
}
