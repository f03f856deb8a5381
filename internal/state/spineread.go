package state

import (
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Snapshot is the rows of a Spine at one moment. It never changes and may be read
// by many goroutines.
type Snapshot struct {
	types []types.Type
	keys  []batch.Key
	set   *blockSet // nil: all is in memory
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
// blocks are sealed. It stops at the first error and returns it; ErrDamaged if a block
// is not what was written.
func (s *Snapshot) Blocks(fn func(*batch.Batch) error) error {
	for _, r := range s.runs {
		for _, b := range r.blocks {
			rows, err := b.get(scanning)
			if err == nil {
				err = fn(rows)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Lookup hands out the changes of the rows whose leading key columns equal those of
// row 0 of key, a dense batch with one column for each leading key column used. The
// blocks are selections of sealed ones. Cost: a binary search in each run; a block is
// read only if its first and last row, and its filter if there is one for so many
// columns, say that it may have the key. The error is fn's, or ErrDamaged.
func (s *Snapshot) Lookup(key *batch.Batch, fn func(*batch.Batch) error) error {
	if len(key.Cols) > len(s.keys) {
		panic("state: lookup by more columns than the snapshot is ordered by")
	}
	look := lookup{s: s, key: key, fn: fn}
	for _, r := range s.runs {
		if err := look.run(r); err != nil {
			return err
		}
	}
	return nil
}

// lookup is a call of Snapshot.Lookup.
type lookup struct {
	s      *Snapshot
	key    *batch.Batch
	fn     func(*batch.Batch) error
	hashed bool
	hash   uint64 // of key's columns that filters know
}

func (l *lookup) run(r *run) error {
	// Of a block that is not in memory it may look as if it ended at the key when it
	// ends before. Then the search stops too soon, and not too late.
	first := sort.Search(len(r.blocks), func(i int) bool {
		rows, p := r.blocks[i].where()
		if rows != nil {
			return l.s.compareKey(rows, rows.N-1, l.key) >= 0
		}
		return p.compareLast(l.key, l.s.keys) >= 0
	})
	for _, b := range r.blocks[first:] {
		more, err := l.block(b)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// block hands out what a block has of the key, and reports whether the next block may
// have more.
func (l *lookup) block(b *Block) (more bool, err error) {
	rows, p := b.where()
	if rows == nil {
		if p.compareFirst(l.key, l.s.keys) > 0 {
			return false, nil
		}
		may, err := l.mayHave(b, p)
		if err != nil {
			return false, err
		}
		if !may {
			return p.compareLast(l.key, l.s.keys) <= 0, nil
		}
		if rows, err = b.get(pointing); err != nil {
			return false, err
		}
	} else if b.set != nil {
		b.touch()
	}
	lo := sort.Search(rows.N, func(k int) bool { return l.s.compareKey(rows, k, l.key) >= 0 })
	hi := sort.Search(rows.N, func(k int) bool { return l.s.compareKey(rows, k, l.key) > 0 })
	if lo < hi {
		out := *rows
		out.Sel = make([]uint32, 0, hi-lo)
		for k := lo; k < hi; k++ {
			out.Sel = append(out.Sel, uint32(k))
		}
		if err := l.fn(&out); err != nil {
			return false, err
		}
	}
	return hi == rows.N, nil
}

// mayHave asks the filter of a block that is at p.
func (l *lookup) mayHave(b *Block, p *place) (bool, error) {
	n := l.s.set.filter
	if n == 0 || len(l.key.Cols) < n || l.key.Len() != 1 || p.filter == nil && p.dir == nil {
		return true, nil
	}
	if !l.hashed {
		cols := [maxFenceColumns]int{0, 1, 2, 3, 4, 5, 6, 7}
		var h [1]uint64
		l.hash, l.hashed = batch.HashRows(h[:], l.key, cols[:n])[0], true
	}
	f := p.filter
	if f == nil {
		var err error
		if f, err = p.dir.get(p.index); err != nil {
			if b.set.cache.isDead(b) {
				return true, nil // its filter was not kept for it
			}
			return false, err
		}
	}
	return f.has(l.hash), nil
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
