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
		s.appendRun(s.cons.Consolidate(b, s.keys))
	}
	s.afterAppend(b)
}

// AppendSealed is Append of a sealed batch, which the spine may keep. One that is in
// order already, as circuits' results are, costs a look at its keys.
func (s *Spine) AppendSealed(b *batch.Batch) {
	if b.Len() > 0 {
		s.appendRun(s.cons.ConsolidateSealed(b, s.keys))
	}
	s.afterAppend(b)
}

// afterAppend does the merging that the rows of b pay for.
func (s *Spine) afterAppend(b *batch.Batch) {
	s.work(max(minMergeFuel, b.Len()*mergeFuel))
	for len(s.runs) > maxRuns {
		s.startMerge(true)
		s.work(int(^uint(0) >> 1))
	}
}

// appendRun makes the newest run of rows in canonical form.
func (s *Spine) appendRun(c *batch.Batch) {
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
	first      batch.Key // the leading order
	prefix     []uint64  // of the block's rows, see batch.Prefixes
}

func (c *cursor) batch() *batch.Batch {
	if c.done() {
		return nil
	}
	return c.run.blocks[c.block]
}

func (c *cursor) done() bool { return c.block == len(c.run.blocks) }

// enter prepares the block that the cursor has come to.
func (c *cursor) enter() {
	if !c.done() {
		c.prefix = batch.Prefixes(c.prefix, c.batch(), c.first)
	}
}

// merging is a merge of two runs under way.
type merging struct {
	keys  []batch.Key
	at    int // index of a in the spine's runs; b is the next
	a, b  cursor
	picks []batch.Pick // rows of the cursors' blocks that are to go out next
	out   *batch.Builder
	used  int // rows consumed so far
	made  run
}

func newMerging(s *Spine, at int) *merging {
	first := batch.Key{}
	if len(s.keys) > 0 {
		first = s.keys[0]
	}
	m := &merging{keys: s.keys, at: at, out: batch.NewBuilder(s.types),
		a: cursor{run: s.runs[at], first: first}, b: cursor{run: s.runs[at+1], first: first}}
	m.a.enter()
	m.b.enter()
	return m
}

func (m *merging) done() bool { return m.a.done() && m.b.done() }

// step consumes at most about fuel rows and returns how many it did.
func (m *merging) step(fuel int) int {
	used := 0
	for used < fuel && !m.done() {
		n := m.blocks(fuel - used)
		used += n
		if m.out.Len() == 0 {
			m.out.Reserve(min(batch.BlockRows, m.a.run.n+m.b.run.n-m.used))
		}
		m.out.AppendPicks(m.a.batch(), m.b.batch(), m.picks)
		m.picks = m.picks[:0]
		m.advance(&m.a)
		m.advance(&m.b)
		m.used += n
		if m.out.Len() >= batch.BlockRows {
			m.seal()
		}
	}
	return max(used, 1)
}

// advance moves a cursor that is through its block to the next.
func (m *merging) advance(c *cursor) {
	if !c.done() && c.row == c.batch().N {
		c.block, c.row = c.block+1, 0
		c.enter()
	}
}

// blocks picks rows until one of the two blocks is used up, the output block is
// full, or fuel rows were consumed, and returns how many were.
func (m *merging) blocks(fuel int) int {
	room := batch.BlockRows - m.out.Len()
	a, b := m.a.batch(), m.b.batch()
	switch {
	case b == nil:
		return m.rest(&m.a, false, min(room, fuel))
	case a == nil:
		return m.rest(&m.b, true, min(room, fuel))
	}
	used, i, j := 0, m.a.row, m.b.row
	for i < a.N && j < b.N && len(m.picks) < room && used < fuel {
		r := m.compare(a, i, b, j)
		switch {
		case r < 0:
			m.picks = append(m.picks, batch.Pick{Row: uint32(i), Weight: a.Weight(i)})
			i++
			used++
		case r > 0:
			m.picks = append(m.picks, batch.Pick{Row: uint32(j), Second: true, Weight: b.Weight(j)})
			j++
			used++
		default:
			if w := a.Weight(i) + b.Weight(j); w != 0 {
				m.picks = append(m.picks, batch.Pick{Row: uint32(i), Weight: w})
			}
			i++
			j++
			used += 2
		}
	}
	m.a.row, m.b.row = i, j
	return used
}

// compare orders two rows; 0 means that they are identical.
func (m *merging) compare(a *batch.Batch, i int, b *batch.Batch, j int) int {
	x, y := m.a.prefix[i], m.b.prefix[j]
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	if r := batch.CompareRows(a, i, b, j, m.keys); r != 0 {
		return r
	}
	return batch.CompareWhole(a, i, b, j)
}

// rest picks up to n rows of the one block that is left.
func (m *merging) rest(c *cursor, second bool, n int) int {
	b := c.batch()
	n = min(n, b.N-c.row)
	for range n {
		m.picks = append(m.picks, batch.Pick{Row: uint32(c.row), Second: second, Weight: b.Weight(c.row)})
		c.row++
	}
	return n
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
