package engine

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// txRecordBytes is about how large a TX record grows before another is begun.
const txRecordBytes = 4 << 20

// tableChange is what a transaction does to one table: rows with weights, consolidated.
type tableChange struct {
	table catalog.ID
	rows  *batch.Batch
}

// staged is work that is computed and not committed. Nothing in it is visible.
type staged struct {
	recs  [][]byte
	last  wire.Hash // of the last record
	began time.Time

	step    *wire.Step
	tables  []tableChange // what the accepted transactions do, in their order
	taken   []taken
	outputs []worker.Output
	ddl     *stagedDDL
	ckpt    *ckptJob // whose record it is
	rowsIn  int64
	refused int64          // transactions that a constraint refused
	events  []stagedEvent  // of the tables whose event time moves
	skipped []skippedRow   // rows that it leaves out of what was taken
	retried []wire.Retried // rows that earlier steps left out
	rebuilt []catalog.ID   // views that have new circuits
	// recorded holds, during replay, the marks of PROCTIME() columns of sources.
	recorded map[catalog.ID]int64
}

// bytes is how much log a restart would read for it.
func (s *staged) bytes() int64 {
	n := int64(0)
	for _, r := range s.recs {
		n += int64(len(r))
	}
	for _, t := range s.taken {
		for _, b := range t.rows {
			n += b.SizeBytes()
		}
	}
	return n
}

// taken is what a step takes from one source.
type taken struct {
	source   *source
	from, to uint64
	rows     []*batch.Batch
	first    []uint64 // the position of each batch's first row among all records
	at       []uint32 // if not nil, those of the rows of the only batch, from the first on
	bad      uint64
	units    uint64
	marks    []int64 // of the source's columns after it; nil if they have none
}

// stageStep computes a step and puts its records together.
func (l *leader) stageStep(c coord.Compute) {
	s := &staged{began: time.Now()}
	l.staged, l.outcomes = s, map[uint64]answer{}
	now := max(l.now, l.e.micros())
	ids, rejected := l.admit(c.IDs, s, now)
	units, err := uint64(0), error(nil)
	if len(s.rebuilt) == 0 { // which is a step of its own
		units, err = l.takeSources(s)
	}
	if err != nil {
		l.fail(err)
		return
	}
	if len(ids) == 0 && len(s.taken) == 0 && c.Step > 1 && l.nextStep() > now && !c.Barrier {
		l.feed(coord.Staged{Rejected: rejected, Taken: units})
		return
	}
	s.step = l.newStep(c.Step, now, ids, rejected)
	if err := l.compute(s); err != nil {
		a, err := l.isolate(c, s, now, err)
		if err != nil {
			if l.e.ctx.Err() != nil {
				err = errClosed() // which stopped it
			}
			l.fail(err)
			return
		}
		s, ids, rejected = a.s, a.ids, a.rejected
		l.staged = s
	}
	l.e.metrics.Rejected.Add(s.refused)
	epoch := l.coord.Epoch()
	l.sealTxs(s, ids, epoch)
	s.seal(l, wire.KindStep, epoch, s.step.Encode())
	l.feed(coord.Staged{Records: len(s.recs), Hash: coord.Hash(s.last), Taken: units, Rejected: rejected})
}

// compute runs the circuits over what is staged and notes the fingerprints.
func (l *leader) compute(s *staged) error {
	feeds := l.procFeeds(s)
	for _, t := range s.tables {
		feeds = append(feeds, flow.Feed{Rel: relKey(t.table), Blocks: []*batch.Batch{t.rows}})
		s.rowsIn += int64(t.rows.Len())
	}
	for _, r := range s.retried {
		feeds = append(feeds, flow.Feed{Rel: relKey(r.Source), Blocks: []*batch.Batch{r.Row}})
		s.rowsIn += int64(r.Row.Len())
	}
	s.step.Retried, s.step.Rebuilt = s.retried, s.rebuilt
	for _, x := range s.skipped {
		s.step.Skipped = append(s.step.Skipped, wire.Skipped{Source: x.Source, Position: x.Position, Block: x.Block, Reason: x.Reason, Row: x.Row})
	}
	for _, t := range s.taken {
		feeds = append(feeds, flow.Feed{Rel: relKey(t.source.id), Blocks: t.rows, Marks: t.marks})
		s.step.Ranges = append(s.step.Ranges, wire.Range{Source: t.source.id, From: t.from, To: t.to})
		s.step.Quarantined += t.bad
		for _, b := range t.rows {
			s.rowsIn += int64(b.Len())
		}
	}
	feeds = append(feeds, l.tableMarks(s)...)
	if err := l.noteMarks(s, feeds); err != nil {
		return err
	}
	outs, err := l.work.Step(s.step.N, s.step.Now, feeds)
	if err != nil {
		return fmt.Errorf("compute step %d: %w", s.step.N, err)
	}
	if held := l.work.TotalBytes(); held > l.e.cfg.MemoryBytes && !l.replaying && l.e.budget == nil {
		return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("the views' state of %d bytes is over the limit of %d at step %d", held, l.e.cfg.MemoryBytes, s.step.N)}
	}
	s.outputs = outs
	for _, o := range outs {
		if id, ok := catalog.ParseKey(o.Key); ok && o.Batch.Len() > 0 {
			s.step.Outputs = append(s.step.Outputs, wire.Output{View: id, Digest: o.Digest})
		}
	}
	return nil
}

func relKey(id catalog.ID) string { return (&catalog.Relation{ID: id}).Key() }

// sealTxs writes the accepted transactions: what fits into the STEP record, the
// rest into TX records before it.
func (l *leader) sealTxs(s *staged, ids []uint64, epoch uint64) {
	var tx wire.Tx
	size := int64(0)
	flush := func() {
		if len(tx.Changes) > 0 {
			s.seal(l, wire.KindTx, epoch, tx.Encode())
		}
		tx, size = wire.Tx{}, 0
	}
	for n, id := range ids {
		for _, c := range l.requests[id].changes {
			for _, part := range wireParts(c.rows) {
				bytes := int64(0)
				for k := range part.Len() {
					bytes += rowSize(part, part.Row(k))
				}
				if size > 0 && size+bytes > txRecordBytes {
					flush()
				}
				tx.Changes = append(tx.Changes, wire.Change{Tx: uint64(n), Table: c.table, Rows: part})
				size += bytes
			}
		}
	}
	s.step.Changes = tx.Changes
	for _, id := range ids {
		if f := l.requests[id].forwarded; f != (wire.Forwarded{}) {
			s.step.Forwarded = append(s.step.Forwarded, f)
		}
	}
}

// wireParts cuts a batch without Sel into parts that fit a record each, in rows and
// in bytes. The parts share the batch's memory.
func wireParts(b *batch.Batch) []*batch.Batch {
	most := wire.RowsPerBatch(len(b.Cols))
	if b.N <= most && b.SizeBytes() <= txRecordBytes {
		return []*batch.Batch{b}
	}
	var out []*batch.Batch
	var sel []uint32
	size := int64(0)
	for i := range b.N {
		n := rowSize(b, i)
		if len(sel) > 0 && (len(sel) == most || size+n > txRecordBytes) {
			out = append(out, withSel(b, sel))
			sel, size = nil, 0
		}
		sel = append(sel, uint32(i))
		size += n
	}
	return append(out, withSel(b, sel))
}

func withSel(b *batch.Batch, sel []uint32) *batch.Batch {
	part := *b
	part.Sel = sel
	return &part
}

// rowSize is at least how many bytes row i takes in a record.
func rowSize(b *batch.Batch, i int) int64 {
	n := int64(10) // its weight
	for c := range b.Cols {
		col := &b.Cols[c]
		n += 32 // of any layout without text
		if col.Null(i) {
			continue
		}
		switch col.Type.Layout() {
		case types.LayoutStr:
			n += int64(col.Str[i].Len)
		case types.LayoutDec:
			if col.Dec[i].Form == types.DecBig {
				n += int64(col.Dec[i].Lo & 0xffffffff)
			}
		}
	}
	return n
}

// applyStep makes a computed step the state of the relations.
func (l *leader) applyStep(s *staged) {
	n := s.step.N
	l.now = s.step.Now
	for _, ev := range s.events {
		l.events[ev.table].state = ev.state
	}
	changed := map[catalog.ID]bool{}
	for _, t := range s.tables {
		if r := l.rels[t.table]; r != nil {
			r.add(n, t.rows)
			changed[t.table] = true
		}
	}
	for _, t := range s.taken {
		l.positions[t.source.id] = t.to
		t.source.committed()
		if r := l.rels[t.source.id]; r != nil {
			for _, b := range t.rows {
				r.ring.add(n, b)
			}
		}
		l.e.metrics.source(t)
	}
	l.applySkipped(s)
	l.thaw(s.rebuilt)
	for _, o := range s.outputs {
		id, _ := catalog.ParseKey(o.Key)
		if r := l.rels[id]; r != nil && o.Batch.Len() > 0 {
			r.add(n, o.Batch)
			changed[id] = true
		}
		l.e.errors.add(n, r0(l.rels[id]), o.Errors)
	}
	l.refresh(changed)
}

func r0(r *relation) string {
	if r == nil {
		return ""
	}
	return r.def.Name
}

// refresh takes new snapshots of what changed.
func (l *leader) refresh(changed map[catalog.ID]bool) {
	snaps := maps.Clone(l.snaps)
	if snaps == nil {
		snaps = map[catalog.ID]*state.Snapshot{}
	}
	held := maps.Clone(l.held)
	if held == nil {
		held = map[catalog.ID]int64{}
	}
	for id := range changed {
		r := l.rels[id]
		if r == nil {
			delete(snaps, id)
			delete(held, id)
			continue
		}
		held[id] = r.bytes() + l.work.StateBytes(r.def.Key())
		if r.spine != nil {
			snaps[id] = r.spine.Snapshot()
		}
		for _, x := range r.indexes {
			snaps[x.def.ID] = x.spine.Snapshot()
			held[x.def.ID] = x.bytes()
		}
	}
	l.snaps, l.held = snaps, held
}

// hashCircuits fingerprints all circuits that run.
func (l *leader) hashCircuits() {
	h := sha256.New()
	for _, key := range l.work.Keys() {
		sum := l.work.Spec(key).Hash()
		fmt.Fprintf(h, "%s %x\n", key, sum)
	}
	l.circuit = wire.Hash(h.Sum(nil))
}
