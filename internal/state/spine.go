package state

import (
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Spine holds the rows of a view, table or index as a few immutable sorted runs,
// each at least about twice as large as the next newer one. Readers take
// snapshots, which never change and cost nothing to take; the owner adds the
// changes of each step. Merging is paid for in small portions by the steps that
// make it necessary, so no step waits for a large merge.
//
// One goroutine owns a Spine; its snapshots may be read by any.
type Spine struct {
	types []types.Type
	keys  []batch.Key
	runs  []*run   // oldest and largest first
	merge *merging // at most one, of two neighbours in runs
	rows  int64    // sum of all weights
	bytes int64
	cons  batch.Consolidator
}

// run is a sorted sequence of changes without two for the same row, in blocks.
// It never changes.
type run struct {
	blocks []*batch.Batch
	n      int // changes
	bytes  int64
}

// mergeFuel is how many rows of merging one appended row pays for. Every row is
// merged once for each doubling of the spine, so that 2 would not keep up when
// two levels come due together; 8 leaves a wide margin.
const mergeFuel = 8

// minMergeFuel is the least number of rows merged in a step that has work to do.
const minMergeFuel = 1024

// maxRuns bounds the runs a reader has to look into; beyond it merging is forced.
const maxRuns = 24

// NewSpine returns an empty spine for rows of the given types, ordered by keys and
// then by the whole row.
func NewSpine(ts []types.Type, keys []batch.Key) *Spine {
	return &Spine{types: ts, keys: keys}
}

// Append adds the changes of a step. b is borrowed; it need not be consolidated.
func (s *Spine) Append(b *batch.Batch) {
	if b.Len() > 0 {
		s.appendRun(b)
	}
	s.work(max(minMergeFuel, b.Len()*mergeFuel))
	for len(s.runs) > maxRuns {
		s.startMerge(true)
		s.work(int(^uint(0) >> 1))
	}
}

func (s *Spine) appendRun(b *batch.Batch) {
	c := s.cons.Consolidate(b, s.keys)
	if c.N == 0 {
		return
	}
	r := &run{n: c.N}
	for lo := 0; lo < c.N; lo += batch.BlockRows {
		r.blocks = append(r.blocks, batch.Slice(c, lo, min(lo+batch.BlockRows, c.N)))
	}
	for i := range c.N {
		s.rows += c.Weight(i)
	}
	r.bytes = c.SizeBytes()
	s.bytes += r.bytes
	s.runs = append(s.runs, r)
}

// work does up to fuel rows of merging.
func (s *Spine) work(fuel int) {
	for fuel > 0 {
		if s.merge == nil && !s.startMerge(false) {
			return
		}
		fuel -= s.merge.step(fuel)
		if s.merge.done() {
			s.finishMerge()
		}
	}
}

// startMerge begins to merge the newest pair of neighbours that are of like size,
// or the two newest runs if force. It reports whether there is a merge to do.
func (s *Spine) startMerge(force bool) bool {
	if s.merge != nil {
		return true
	}
	for i := len(s.runs) - 1; i > 0; i-- {
		if force || s.runs[i-1].n < 2*s.runs[i].n {
			s.merge = newMerging(s, i-1)
			return true
		}
	}
	return false
}

func (s *Spine) finishMerge() {
	m := s.merge
	s.merge = nil
	out := m.result()
	s.bytes += out.bytes - m.a.run.bytes - m.b.run.bytes
	runs := make([]*run, 0, len(s.runs))
	runs = append(runs, s.runs[:m.at]...)
	if out.n > 0 {
		runs = append(runs, out)
	}
	s.runs = append(runs, s.runs[m.at+2:]...)
}

// Bytes returns about how much memory the runs hold.
func (s *Spine) Bytes() int64 { return s.bytes }

// Snapshot returns the rows as they are now. It stays as it is while the spine goes on.
func (s *Spine) Snapshot() *Snapshot {
	return &Snapshot{types: s.types, keys: s.keys, runs: append([]*run(nil), s.runs...), rows: s.rows}
}

// cursor walks a run.
type cursor struct {
	run        *run
	block, row int
}

func (c *cursor) batch() *batch.Batch { return c.run.blocks[c.block] }

func (c *cursor) done() bool { return c.block == len(c.run.blocks) }

func (c *cursor) next() {
	c.row++
	if c.row == c.batch().N {
		c.block, c.row = c.block+1, 0
	}
}

// merging is a merge of two runs under way.
type merging struct {
	keys []batch.Key
	at   int // index of a in the spine's runs; b is the next
	a, b cursor
	out  *batch.Builder
	made run
}

func newMerging(s *Spine, at int) *merging {
	return &merging{
		keys: s.keys, at: at,
		a: cursor{run: s.runs[at]}, b: cursor{run: s.runs[at+1]},
		out: batch.NewBuilder(s.types),
	}
}

func (m *merging) done() bool { return m.a.done() && m.b.done() }

// step consumes at most about fuel rows and returns how many it did.
func (m *merging) step(fuel int) int {
	used := 0
	for used < fuel && !m.done() {
		used += m.one()
		if m.out.Len() == batch.BlockRows {
			m.seal()
		}
	}
	return max(used, 1)
}

// one hands on the lesser of the two next rows, or the sum if they are identical.
func (m *merging) one() int {
	switch {
	case m.b.done():
		m.take(&m.a)
		return 1
	case m.a.done():
		m.take(&m.b)
		return 1
	}
	ab, bb := m.a.batch(), m.b.batch()
	r := batch.CompareRows(ab, m.a.row, bb, m.b.row, m.keys)
	if r == 0 {
		r = batch.CompareWhole(ab, m.a.row, bb, m.b.row)
	}
	switch {
	case r < 0:
		m.take(&m.a)
		return 1
	case r > 0:
		m.take(&m.b)
		return 1
	}
	if w := ab.Weight(m.a.row) + bb.Weight(m.b.row); w != 0 {
		m.out.AppendFrom(bb, m.b.row, w)
	}
	m.a.next()
	m.b.next()
	return 2
}

func (m *merging) take(c *cursor) {
	b := c.batch()
	m.out.AppendFrom(b, c.row, b.Weight(c.row))
	c.next()
}

func (m *merging) seal() {
	b := m.out.Seal()
	m.made.blocks = append(m.made.blocks, b)
	m.made.n += b.N
	m.made.bytes += b.SizeBytes()
}

func (m *merging) result() *run {
	if m.out.Len() > 0 {
		m.seal()
	}
	return &m.made
}

// Snapshot is the rows of a Spine at one moment. It never changes and may be read
// by many goroutines.
type Snapshot struct {
	types []types.Type
	keys  []batch.Key
	runs  []*run
	rows  int64
}

// Types returns the row type.
func (s *Snapshot) Types() []types.Type { return s.types }

// Keys returns the columns the snapshot is ordered by.
func (s *Snapshot) Keys() []batch.Key { return s.keys }

// Rows returns the number of rows, counting each as often as its weight says.
func (s *Snapshot) Rows() int64 { return s.rows }

// Changes returns how many changes a full read hands out; at least as many as there
// are distinct rows.
func (s *Snapshot) Changes() int {
	n := 0
	for _, r := range s.runs {
		n += r.n
	}
	return n
}

// Blocks hands out the content as changes in blocks of at most batch.BlockRows: a
// row may come several times with weights that sum to what it is worth. The
// blocks are sealed. It stops at the first error and returns it.
func (s *Snapshot) Blocks(fn func(*batch.Batch) error) error {
	for _, r := range s.runs {
		for _, b := range r.blocks {
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lookup hands out the changes of the rows whose leading key columns equal those of
// row 0 of key, a batch with one column for each leading key column used. The
// blocks are selections of sealed ones. Cost: a binary search in each run.
func (s *Snapshot) Lookup(key *batch.Batch, fn func(*batch.Batch) error) error {
	if len(key.Cols) > len(s.keys) {
		panic("state: lookup by more columns than the snapshot is ordered by")
	}
	for _, r := range s.runs {
		if err := s.lookupRun(r, key, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) lookupRun(r *run, key *batch.Batch, fn func(*batch.Batch) error) error {
	first := sort.Search(len(r.blocks), func(i int) bool {
		b := r.blocks[i]
		return s.compareKey(b, b.N-1, key) >= 0
	})
	for i := first; i < len(r.blocks); i++ {
		b := r.blocks[i]
		lo := sort.Search(b.N, func(k int) bool { return s.compareKey(b, k, key) >= 0 })
		hi := sort.Search(b.N, func(k int) bool { return s.compareKey(b, k, key) > 0 })
		if lo < hi {
			out := *b
			out.Sel = make([]uint32, 0, hi-lo)
			for k := lo; k < hi; k++ {
				out.Sel = append(out.Sel, uint32(k))
			}
			if err := fn(&out); err != nil {
				return err
			}
		}
		if hi < b.N {
			return nil
		}
	}
	return nil
}

// compareKey orders row i of b against the looked-up key.
func (s *Snapshot) compareKey(b *batch.Batch, i int, key *batch.Batch) int {
	for c := range key.Cols {
		k := s.keys[c]
		if r := batch.CompareColumns(&b.Cols[k.Col], i, &key.Cols[c], 0, k); r != 0 {
			return r
		}
	}
	return 0
}
