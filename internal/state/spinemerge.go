package state

import "github.com/tidemill/tidemill/internal/batch"

// cursor walks a run.
type cursor struct {
	run        *run
	block, row int
	rows       *batch.Batch // of the block; nil at the end
	first      batch.Key    // the leading order
	prefix     []uint64     // of the block's rows, see batch.Prefixes
}

func (c *cursor) done() bool { return c.block == len(c.run.blocks) }

// enter prepares the block that the cursor has come to. It panics with a FaultError if
// that cannot be read.
func (c *cursor) enter() {
	c.rows = nil
	if c.done() {
		return
	}
	rows, err := c.run.blocks[c.block].get(passing)
	if err != nil {
		panic(&FaultError{err})
	}
	c.rows = rows
	c.prefix = batch.Prefixes(c.prefix, rows, c.first)
}

// merging is a merge of two runs under way.
type merging struct {
	spine *Spine
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
	m := &merging{spine: s, keys: s.keys, at: at, out: batch.NewBuilder(s.types),
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
			m.out.Reserve(min(m.spine.size, m.a.run.n+m.b.run.n-m.used))
		}
		m.out.AppendPicks(m.a.rows, m.b.rows, m.picks)
		m.picks = m.picks[:0]
		m.advance(&m.a)
		m.advance(&m.b)
		m.used += n
		if m.out.Len() >= m.spine.size || m.out.SizeBytes() >= goodBlockBytes {
			m.seal()
		}
	}
	return max(used, 1)
}

// advance moves a cursor that is through its block to the next.
func (m *merging) advance(c *cursor) {
	if !c.done() && c.row == c.rows.N {
		c.block, c.row = c.block+1, 0
		c.enter()
	}
}

// blocks picks rows until one of the two blocks is used up, the output block is
// full, or fuel rows were consumed, and returns how many were.
func (m *merging) blocks(fuel int) int {
	room := m.spine.size - m.out.Len()
	a, b := m.a.rows, m.b.rows
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
	b := c.rows
	n = min(n, b.N-c.row)
	for range n {
		m.picks = append(m.picks, batch.Pick{Row: uint32(c.row), Second: second, Weight: b.Weight(c.row)})
		c.row++
	}
	return n
}

// seal makes a block, or several if it is too large, of the rows that have come out.
func (m *merging) seal() {
	s := m.spine
	cutBlocks(m.out.Seal(), s.size, func(b *batch.Batch, bytes int64) {
		m.made.blocks = append(m.made.blocks, s.set.newBlock(b, bytes, false))
		m.made.n += b.N
		m.made.bytes += bytes
	})
	s.rest()
}

// result returns the merged run. It is a copy: one within m would keep m, and so the
// runs that were merged, and all that were merged into those.
func (m *merging) result() *run {
	if m.out.Len() > 0 {
		m.seal()
	}
	made := m.made
	return &made
}
