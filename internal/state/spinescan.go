package state

import (
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
)

// Merged hands out the content in the snapshot's order, each row once with what it is
// worth: like Blocks, but without rows that come and go again. The blocks have at most
// batch.BlockRows rows or so many times as there are runs; they are borrowed until fn
// returns. It stops at the first error and returns it; ErrDamaged if a block is not what
// was written. Cost: O(n) for one run, O(n log r) comparisons for r of them.
func (s *Snapshot) Merged(fn func(*batch.Batch) error) error {
	m := scan{keys: s.keys, fn: fn, out: batch.NewBuilder(s.types)}
	for _, r := range s.runs {
		m.at = append(m.at, scanned{run: r})
	}
	for {
		if err := m.enter(); err != nil {
			return err
		}
		if len(m.at) == 0 {
			return nil
		}
		if err := m.round(); err != nil {
			return err
		}
	}
}

// scan is a call of Snapshot.Merged.
type scan struct {
	keys []batch.Key
	fn   func(*batch.Batch) error
	at   []scanned
	out  *batch.Builder
	cons batch.Consolidator
}

// scanned is how far a run is handed out.
type scanned struct {
	run   *run
	block int          // the next
	rows  *batch.Batch // of the block before it; nil: all of it went out
	row   int          // the first that did not
}

// enter reads the next block of every run that needs one, and drops the runs that are
// at their end.
func (m *scan) enter() error {
	left := m.at[:0]
	for _, c := range m.at {
		if c.rows == nil {
			if c.block == len(c.run.blocks) {
				continue
			}
			rows, err := c.run.blocks[c.block].get(scanning)
			if err != nil {
				return err
			}
			c.rows, c.row = rows, 0
			c.block++
		}
		left = append(left, c)
	}
	m.at = left
	return nil
}

// round hands out all rows up to the least of the last rows of the runs' blocks: at least
// one block goes out to its end, and no row of a later block is among them.
func (m *scan) round() error {
	last := 0
	for i := 1; i < len(m.at); i++ {
		a, b := m.at[last].rows, m.at[i].rows
		if m.compare(b, b.N-1, a, a.N-1) < 0 {
			last = i
		}
	}
	end := m.at[last].rows
	parts, alone, lo := 0, -1, 0
	m.out.Reset()
	for i := range m.at {
		c := &m.at[i]
		n := c.rows.N
		if i != last {
			n = c.row + sort.Search(c.rows.N-c.row, func(k int) bool { return m.compare(c.rows, c.row+k, end, end.N-1) > 0 })
		}
		if n == c.row {
			continue
		}
		if parts++; parts == 1 {
			alone, lo = i, c.row
		} else {
			if parts == 2 {
				m.add(m.at[alone].rows, lo, m.at[alone].row)
			}
			m.add(c.rows, c.row, n)
		}
		c.row = n
	}
	var err error
	switch c := &m.at[max(alone, 0)]; {
	case parts == 1 && lo == 0 && c.row == c.rows.N:
		err = m.fn(c.rows)
	case parts == 1:
		m.add(c.rows, lo, c.row)
		err = m.fn(m.out.View())
	default:
		if b := m.cons.Consolidate(m.out.View(), m.keys); b.N > 0 {
			err = m.fn(b)
		}
	}
	for i := range m.at {
		if c := &m.at[i]; c.row == c.rows.N {
			c.rows = nil
		}
	}
	return err
}

func (m *scan) add(b *batch.Batch, lo, hi int) { m.out.AppendRange(b, lo, hi) }

// compare orders two rows; 0 means that they are identical.
func (m *scan) compare(a *batch.Batch, i int, b *batch.Batch, j int) int {
	if r := batch.CompareRows(a, i, b, j, m.keys); r != 0 {
		return r
	}
	return batch.CompareWhole(a, i, b, j)
}
