package batch

// Consolidator turns any Z-set into its canonical form. It keeps scratch memory
// between calls; one owner.
type Consolidator struct {
	sorter Sorter
	rows   []uint32
}

// Consolidate sums the weights of identical rows and drops zeros.
// In: selected rows in any order. Out: a sealed batch of the rows left, ordered by
// keys and then by the whole row, with fresh memory. A row whose weights all are +1
// needs no Weights. Cost: O(n log n).
// Source: Budiu et al., "DBSP", VLDB 2023, section 2.
func (cs *Consolidator) Consolidate(b *Batch, keys []Key) *Batch {
	cs.rows = cs.sorter.Sort(cs.rows[:0], b, keys)
	bu := NewBuilder(b.Types())
	cs.merge(b, func(i int, w int64) { bu.AppendFrom(b, i, w) })
	return bu.Seal()
}

// merge hands on each distinct row of the sorted rows with its summed weight.
func (cs *Consolidator) merge(b *Batch, keep func(row int, weight int64)) {
	for k := 0; k < len(cs.rows); {
		i := int(cs.rows[k])
		w := b.Weight(i)
		for k++; k < len(cs.rows) && CompareWhole(b, i, b, int(cs.rows[k])) == 0; k++ {
			w += b.Weight(int(cs.rows[k]))
		}
		if w != 0 {
			keep(i, w)
		}
	}
}

// Consolidate is Consolidator.Consolidate without scratch to keep, ordered by the
// whole row.
func Consolidate(b *Batch) *Batch {
	var cs Consolidator
	return cs.Consolidate(b, nil)
}
