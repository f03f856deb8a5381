package batch

import "github.com/tidemill/tidemill/internal/types"

// Consolidator turns any Z-set into its canonical form. It keeps scratch memory
// between calls; one owner.
type Consolidator struct {
	sorter  Sorter
	rows    []uint32 // kept
	weights []int64  // theirs
}

// Consolidate sums the weights of identical rows and drops zeros.
// In: selected rows in any order. Out: a sealed batch of the rows left, ordered by
// keys and then by the whole row, with fresh memory. A row whose weights all are +1
// needs no Weights. Cost: O(n log n) in the worst case, a few passes over the rows'
// keys in most.
// Source: Budiu et al., "DBSP", VLDB 2023, section 2.
func (cs *Consolidator) Consolidate(b *Batch, keys []Key) *Batch {
	rows, weights := cs.sum(b, keys)
	out := gatherFresh(b, rows)
	out.Weights = sealWeights(weights)
	for c := range out.Cols {
		out.Cols[c].compact()
	}
	return out
}

// Take is Consolidate of the rows of bu, which is empty after that. Text goes over to
// the result without being copied, if most of its memory is still in use.
func (cs *Consolidator) Take(bu *Builder, keys []Key) *Batch {
	b := bu.View()
	rows, weights := cs.sum(b, keys)
	out := gatherFresh(b, rows)
	out.Weights = sealWeights(weights)
	for c := range out.Cols {
		o := &out.Cols[c]
		if o.Type.Layout() != types.LayoutStr || 2*len(rows) < b.N || 2*len(o.Bytes) < cap(o.Bytes) {
			o.compact()
		} else {
			bu.giveText(c)
		}
	}
	bu.Reset()
	return out
}

// ConsolidateSealed is Consolidate of a sealed batch: what the result can share with
// it, up to all of it, it does.
func (cs *Consolidator) ConsolidateSealed(b *Batch, keys []Key) *Batch {
	rows, weights := cs.sum(b, keys)
	if b.Sel == nil && len(rows) == b.N && (weights == nil) == (b.Weights == nil) && ascending(rows) {
		return b
	}
	out := gatherFresh(b, rows)
	out.Weights = sealWeights(weights)
	if b.Sel == nil && 2*len(rows) >= b.N {
		return out
	}
	for c := range out.Cols {
		out.Cols[c].compact()
	}
	return out
}

func ascending(rows []uint32) bool {
	for k, i := range rows {
		if int(i) != k {
			return false
		}
	}
	return true
}

// giveText lets go of column c's text, which belongs to another batch from now on.
func (bu *Builder) giveText(c int) {
	if bu.given == nil {
		bu.given = make([]int, len(bu.b.Cols))
	}
	bu.given[c] = len(bu.b.Cols[c].Bytes)
	bu.b.Cols[c].Bytes = nil
}

// sum returns the rows of the canonical form in order, and their weights, nil if all
// are 1. Both are scratch.
func (cs *Consolidator) sum(b *Batch, keys []Key) ([]uint32, []int64) {
	s := &cs.sorter
	s.sort(b, keys)
	defer func() { s.b = nil }()
	if s.same == nil && b.Weights == nil {
		return s.rows, nil
	}
	cs.rows, cs.weights = cs.rows[:0], cs.weights[:0]
	ones := true
	for k := 0; k < len(s.rows); {
		i := int(s.rows[k])
		w := b.Weight(i)
		for k++; k < len(s.rows) && s.same != nil && s.same.Get(k); k++ {
			w += b.Weight(int(s.rows[k]))
		}
		if w != 0 {
			cs.rows = append(cs.rows, uint32(i))
			cs.weights = append(cs.weights, w)
			ones = ones && w == 1
		}
	}
	if ones {
		return cs.rows, nil
	}
	return cs.rows, cs.weights
}

func sealWeights(ws []int64) []int64 {
	if ws == nil {
		return nil
	}
	return append(make([]int64, 0, len(ws)), ws...)
}

// gatherFresh is Gather, without weights, into memory of just the size.
func gatherFresh(b *Batch, rows []uint32) *Batch {
	out := &Batch{N: len(rows), Cols: make([]Column, len(b.Cols))}
	for c := range b.Cols {
		o, src, n := &out.Cols[c], &b.Cols[c], len(rows)
		switch src.Type.Layout() {
		case types.LayoutBool:
			o.U8 = make([]uint8, n)
		case types.LayoutInt:
			o.I64 = make([]int64, n)
		case types.LayoutFloat:
			o.F64 = make([]float64, n)
		case types.LayoutDec:
			o.Dec = make([]types.Decimal, n)
		case types.LayoutIvl:
			o.Ivl = make([]types.IntervalVal, n)
		case types.LayoutStr:
			o.Str = make([]Ref, n)
		}
		GatherColumn(o, src, rows)
	}
	return out
}

// compact gives c bytes of its own, in the order of its rows.
func (c *Column) compact() {
	arena := c.Bytes
	c.Bytes = nil
	switch c.Type.Layout() {
	case types.LayoutDec:
		if c.Valid != nil {
			clearNulls(c.Dec, c.Valid, rowRange{hi: len(c.Dec)})
		}
		c.ownDigits(arena, c.Dec)
	case types.LayoutStr:
		if c.Valid != nil {
			clearNulls(c.Str, c.Valid, rowRange{hi: len(c.Str)})
		}
		sum := uint64(0)
		for _, r := range c.Str {
			sum += uint64(r.Len)
		}
		c.copyText(arena, c.Str, sum)
	}
}

// Consolidate is Consolidator.Consolidate without scratch to keep, ordered by the
// whole row.
func Consolidate(b *Batch) *Batch {
	var cs Consolidator
	return cs.Consolidate(b, nil)
}
