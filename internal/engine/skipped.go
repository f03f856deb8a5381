package engine

import (
	"maps"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/wire"
)

// Bounds of the rows that steps have left out.
const (
	// MaxSkippedRows and MaxSkippedBytes bound those that are kept to be looked at and
	// retried; the oldest go first.
	MaxSkippedRows  = 10_000
	MaxSkippedBytes = 16 << 20
	// maxSkippedPositions bounds those whose positions are known, which are left out of
	// what is read of their source even if they are not kept.
	maxSkippedPositions = 1 << 20
	// maxSkippedRecord bounds what of them goes into one STEP record. A row that does not
	// fit stays in the stream of its source alone.
	maxSkippedRecord = 2 << 20
)

// skippedRow is a row of a source that a step left out.
type skippedRow struct {
	Source   catalog.ID
	Position uint64 // among all records of the source
	Block    uint64 // of the source's log that holds it
	Step     uint64 // that left it out
	Reason   string
	Row      []byte `json:",omitempty"` // wire.AppendBatch; empty: it was too large for the record
}

// skippedRows are those that steps have left out and nobody has put back. It never
// changes; nil has none.
type skippedRows struct {
	Rows []skippedRow // oldest first
	// Out holds the positions of all rows left out of each source, ascending: those of Rows
	// and older ones.
	Out     map[catalog.ID][]uint64
	Dropped int64 // rows that were dropped from Rows, ever
}

// out returns the positions that are left out of a source, ascending.
func (r *skippedRows) out(source catalog.ID) []uint64 {
	if r == nil {
		return nil
	}
	return r.Out[source]
}

// count is how many positions are left out in all.
func (r *skippedRows) count() int {
	n := 0
	if r != nil {
		for _, list := range r.Out {
			n += len(list)
		}
	}
	return n
}

// of lists the rows of one source in the order of their positions.
func (r *skippedRows) of(source catalog.ID) []skippedRow {
	if r == nil {
		return nil
	}
	var out []skippedRow
	for _, x := range r.Rows {
		if x.Source == source {
			out = append(out, x)
		}
	}
	sortBy(out, func(x skippedRow) uint64 { return x.Position })
	return out
}

func (r *skippedRows) clone() *skippedRows {
	if r == nil {
		return &skippedRows{Out: map[catalog.ID][]uint64{}}
	}
	c := &skippedRows{Rows: slices.Clone(r.Rows), Out: maps.Clone(r.Out), Dropped: r.Dropped}
	if c.Out == nil {
		c.Out = map[catalog.ID][]uint64{}
	}
	return c
}

// with returns r and more rows.
func (r *skippedRows) with(more []skippedRow) *skippedRows {
	if len(more) == 0 {
		return r
	}
	c := r.clone()
	for _, x := range more {
		list := slices.Clone(c.Out[x.Source])
		if i, there := slices.BinarySearch(list, x.Position); !there {
			c.Out[x.Source] = slices.Insert(list, i, x.Position)
		}
	}
	c.Rows = append(c.Rows, more...)
	size := 0
	for _, x := range c.Rows {
		size += len(x.Row) + len(x.Reason)
	}
	for len(c.Rows) > MaxSkippedRows || size > MaxSkippedBytes && len(c.Rows) > 1 {
		size -= len(c.Rows[0].Row) + len(c.Rows[0].Reason)
		c.Rows = c.Rows[1:]
		c.Dropped++
	}
	return c
}

// without returns r without a row, which is part of its source again.
func (r *skippedRows) without(source catalog.ID, position uint64) *skippedRows {
	c := r.clone()
	c.Rows = slices.DeleteFunc(c.Rows, func(x skippedRow) bool { return x.Source == source && x.Position == position })
	if i, there := slices.BinarySearch(c.Out[source], position); there {
		c.Out[source] = slices.Delete(slices.Clone(c.Out[source]), i, i+1)
	}
	return c
}

// withoutSource returns r without the rows of a source that is gone.
func (r *skippedRows) withoutSource(source catalog.ID) *skippedRows {
	if len(r.out(source)) == 0 {
		return r
	}
	c := r.clone()
	c.Rows = slices.DeleteFunc(c.Rows, func(x skippedRow) bool { return x.Source == source })
	delete(c.Out, source)
	return c
}

// leave returns the rows of b but for those at some positions, which ascend, and how many
// those are. Row k of b is at position first+k, or first+at[k] if at is not nil.
func leave(b *batch.Batch, first uint64, at []uint32, positions []uint64) (*batch.Batch, int) {
	n := b.Len()
	if len(positions) == 0 || n == 0 {
		return b, 0
	}
	position := func(k int) uint64 {
		if at != nil {
			return first + uint64(at[k])
		}
		return first + uint64(k)
	}
	i := sort.Search(len(positions), func(i int) bool { return positions[i] >= first })
	if i == len(positions) || positions[i] > position(n-1) {
		return b, 0
	}
	keep := make([]uint32, 0, n)
	for k := range n {
		p := position(k)
		for i < len(positions) && positions[i] < p {
			i++
		}
		if i == len(positions) || positions[i] != p {
			keep = append(keep, uint32(b.Row(k)))
		}
	}
	if len(keep) == n {
		return b, 0
	}
	return pick(b, keep), n - len(keep)
}

// without leaves the rows at some positions out of what is taken.
func (t *taken) without(positions []uint64) {
	for i, b := range t.rows {
		rows, n := leave(b, t.first[i], t.at, positions)
		t.rows[i] = rows
		t.bad += uint64(n)
	}
}

// recordSkipped reads which rows a committed step left out.
func recordSkipped(rec *wire.Step) (rows []skippedRow, out map[catalog.ID][]uint64) {
	out = map[catalog.ID][]uint64{}
	for _, x := range rec.Skipped {
		rows = append(rows, skippedRow{Source: x.Source, Position: x.Position, Block: x.Block, Step: rec.N, Reason: x.Reason, Row: x.Row})
		out[x.Source] = append(out[x.Source], x.Position)
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return rows, out
}
