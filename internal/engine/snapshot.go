package engine

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
)

// Snapshot is the whole pipeline at one committed step. It never changes and may
// be kept as long as somebody reads it.
type Snapshot struct {
	Step uint64
	Now  int64 // logical time of the step
	// Seq is the position in the log of the last record that is part of it: commands have
	// one and make no step.
	Seq     uint64
	Catalog *catalog.Catalog
	// rels holds the rows of tables and materialized views, and of indexes in their
	// own order.
	rels map[catalog.ID]*state.Snapshot
	// positions says how far each source is part of the step: everything below.
	positions map[catalog.ID]uint64
	sources   map[catalog.ID]*source
	skipped   *skippedRows           // rows of sources that are left out
	rings     map[catalog.ID]*ring   // recent changes, which go on beyond this step
	held      map[catalog.ID]int64   // bytes of each relation
	late      map[catalog.ID]uint64  // rows that came too late, of relations with a watermark
	allowed   map[catalog.ID]int64   // their allowed lateness in microseconds
	marks     map[catalog.ID][]int64 // of the columns of each relation that has some
	stale     map[catalog.ID]string  // views that change no more, and why
	frozen    map[catalog.ID]uint64  // views that are being computed anew: the step of their rows
}

// Stale says why a view changes no more, "" if it is kept up to date.
func (s *Snapshot) Stale(id catalog.ID) string { return s.stale[id] }

// Marks returns the watermarks of a relation's columns, flow.NoMark for those without;
// nil if it has none. The caller does not change them.
func (s *Snapshot) Marks(id catalog.ID) []int64 { return s.marks[id] }

// Rows returns the content of a table, view or index, nil if it has none here.
func (s *Snapshot) Rows(id catalog.ID) *state.Snapshot { return s.rels[id] }

// Position returns how far a source is part of the step: all positions below.
func (s *Snapshot) Position(id catalog.ID) uint64 { return s.positions[id] }

// relation is the leader's state of a table, materialized view, sink or index.
type relation struct {
	def   *catalog.Relation
	spine *state.Spine // nil for sinks and sources
	ring  *ring        // nil for indexes
	// indexes on it, each with a spine of its own over the same rows.
	indexes []*relation
}

// orderOf is how the rows of a relation are ordered: by primary key or index
// columns first.
func orderOf(def *catalog.Relation) []batch.Key {
	if x := def.Index; x != nil {
		var keys []batch.Key
		for i, k := range x.Keys {
			if k < 0 {
				break // expressions are not looked up by
			}
			keys = append(keys, batch.Key{Col: k, Desc: i < len(x.Desc) && x.Desc[i]})
		}
		return keys
	}
	if len(def.PrimaryKey) > 0 {
		return batch.Ascending(def.PrimaryKey...)
	}
	all := make([]int, len(def.Columns))
	for i := range all {
		all[i] = i
	}
	return batch.Ascending(all...)
}

// add applies the changes of a step, which are sealed.
func (r *relation) add(step uint64, b *batch.Batch) {
	if r.spine != nil {
		r.spine.AppendSealed(b)
	}
	for _, x := range r.indexes {
		x.spine.AppendSealed(b)
	}
	if r.ring != nil {
		r.ring.add(step, b)
	}
}

// release gives up what the relation keeps. Readers of snapshots go on.
func (r *relation) release() {
	if r.ring != nil {
		r.ring.end()
	}
	if r.spine != nil {
		r.spine.Close()
	}
}

// bytes returns the size of the rows, their indexes and recent changes.
func (r *relation) bytes() int64 {
	n := int64(0)
	if r.spine != nil {
		n += r.spine.Bytes()
	}
	if r.ring != nil {
		n += r.ring.size()
	}
	return n
}

// Bytes returns how much memory a relation holds, its circuit's state included.
func (s *Snapshot) Bytes(id catalog.ID) int64 { return s.held[id] }
