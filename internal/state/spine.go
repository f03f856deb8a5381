package state

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Spine holds the rows of a view, table or index as a few immutable sorted runs,
// each at least about twice as large as the next newer one. Readers take
// snapshots, which never change and cost nothing to take; the owner adds the
// changes of each step. Merging is paid for in small portions by the steps that
// make it necessary, so no step waits for a large merge.
//
// The runs are in blocks, which a Cache may keep in files instead of memory.
//
// One goroutine owns a Spine; its snapshots may be read by any.
type Spine struct {
	types []types.Type
	keys  []batch.Key
	set   *blockSet // nil: all stays in memory
	size  int       // rows of a block
	runs  []*run    // oldest and largest first
	merge *merging  // at most one, of two neighbours in runs
	rows  int64     // sum of all weights
	bytes int64
	cons  batch.Consolidator

	frozen *FrozenSpine // not complete yet
}

// run is a sorted sequence of changes without two for the same row, in blocks.
// It never changes.
type run struct {
	blocks []*Block
	n      int // changes
	bytes  int64
	dirs   []*directory // of the last complete checkpoint that has the run; the owner's
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
// then by the whole row. It stays in memory and cannot be frozen.
func NewSpine(ts []types.Type, keys []batch.Key) *Spine {
	return &Spine{types: ts, keys: keys, size: blockRows(len(ts))}
}

// NewSpine returns an empty spine whose blocks c keeps. owner names it among all whose
// records the Backing keeps. Lookups by at least the first filter columns of keys find
// out by filters which blocks cannot have what they look for; 0 makes none. A nil
// Cache gives a spine that stays in memory.
func (c *Cache) NewSpine(owner uint64, ts []types.Type, keys []batch.Key, filter int) *Spine {
	s := NewSpine(ts, keys)
	if c != nil {
		s.set = &blockSet{cache: c, owner: owner, types: ts, keys: keys, filter: min(filter, len(keys), maxFenceColumns),
			dirBlocks: directoryBlocks, inline: inlineRows}
	}
	return s
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
	s.rest()
}

// rest lets blocks leave memory if there is too much in it.
func (s *Spine) rest() {
	if s.set != nil {
		s.set.cache.Rest()
	}
}

// appendRun makes the newest run of rows in canonical form.
func (s *Spine) appendRun(c *batch.Batch) {
	if c.N == 0 {
		return
	}
	r := &run{n: c.N}
	cutBlocks(c, s.size, func(b *batch.Batch, bytes int64) { r.blocks = append(r.blocks, s.set.newBlock(b, bytes, true)) })
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

// Compact merges all runs into one: Cost: a few times the rows that are not in the largest,
// and a pass over all.
func (s *Spine) Compact() {
	for s.merge != nil || len(s.runs) > 1 {
		s.startMerge(true)
		s.work(int(^uint(0) >> 1))
		s.rest()
	}
}

func (s *Spine) finishMerge() {
	m := s.merge
	s.merge = nil
	out := m.result()
	s.bytes += out.bytes - m.a.run.bytes - m.b.run.bytes
	s.dropRun(m.a.run)
	s.dropRun(m.b.run)
	runs := make([]*run, 0, len(s.runs))
	runs = append(runs, s.runs[:m.at]...)
	if out.n > 0 {
		runs = append(runs, out)
	}
	s.runs = append(runs, s.runs[m.at+2:]...)
}

// dropRun says that a run is not part of the spine any more. Snapshots may have it.
func (s *Spine) dropRun(r *run) {
	if s.set == nil {
		return
	}
	s.set.cache.drop(r.blocks)
	for _, d := range r.dirs {
		s.set.cache.dropFilters(d.filters)
	}
}

// Close says that the spine is not used any more, but for snapshots that were taken.
func (s *Spine) Close() {
	if m := s.merge; m != nil {
		m.result()
		s.dropRun(&m.made)
	}
	for _, r := range s.runs {
		s.dropRun(r)
	}
	s.runs, s.merge, s.rows, s.bytes = nil, nil, 0, 0
}

// Bytes returns about how large the runs are, in memory or not.
func (s *Spine) Bytes() int64 { return s.bytes }

// HeldBytes returns about how much memory they hold.
func (s *Spine) HeldBytes() int64 {
	if s.set == nil {
		return s.bytes
	}
	return s.set.held.Load()
}

// Snapshot returns the rows as they are now. It stays as it is while the spine goes on.
func (s *Spine) Snapshot() *Snapshot {
	return &Snapshot{types: s.types, keys: s.keys, set: s.set, runs: append([]*run(nil), s.runs...), rows: s.rows}
}
