package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// pipeline is the name of the pipeline under test, and mainLog that of its log.
const (
	pipeline = "sim"
	mainLog  = "LOG_" + pipeline
	markerAt = "w" // the column that says which operation wrote a row
)

// shadow reads the log record by record as it grows, holds it to what must be true of
// any history, and knows what every table and source holds at each step.
type shadow struct {
	fail      func(format string, args ...any)
	sometimes func(string)

	last    uint64
	hash    wire.Hash
	epoch   uint64
	step    uint64
	now     int64 // of the step
	made    bool  // there was a command since the step: what it made may be of a later time
	cat     *catalog.Catalog
	ckpts   []ckptRecord
	pending []wire.Change // of TX records before their STEP

	tables  map[catalog.ID]*content // and sources with a stream
	at      map[catalog.ID]uint64   // positions of the sources after the step
	streams map[string]*stream
	where   map[int64]place         // of each marker in tables
	refused map[int64]bool          // markers that may not come any more
	newer   map[catalog.ID]*digests // of views as the other version computes them
	views   map[catalog.ID]*digests
	gone    map[string]bool // logs of sources that were dropped
	// left holds the rows that steps left out and none has put back, by position.
	left map[catalog.ID]map[uint64]*batch.Batch
}

// ckptRecord is a CKPT record of the log.
type ckptRecord struct {
	seq, step uint64
	manifest  wire.Hash
}

// place is where a transaction was committed.
type place struct {
	step, tx uint64
	rows     int
}

// content is what a table or source holds.
type content struct {
	def  *catalog.Relation
	rows map[string]*oracle.Row // by their text
	digests
}

// digests are a relation's fingerprints by step: each from its step on, until the next.
type digests struct {
	steps []uint64
	sums  []batch.Digest
}

// note says that the digest is d from step on.
func (d *digests) note(step uint64, sum batch.Digest) {
	if n := len(d.steps); n > 0 && d.steps[n-1] == step {
		d.sums[n-1] = sum
		return
	}
	d.steps, d.sums = append(d.steps, step), append(d.sums, sum)
}

// of returns the digest at a step; false if it is not known.
func (d *digests) of(step uint64) (batch.Digest, bool) {
	i, found := slices.BinarySearch(d.steps, step)
	if !found {
		i--
	}
	if i < 0 {
		return batch.Digest{}, false
	}
	return d.sums[i], true
}

// stream is the log of a source.
type stream struct {
	hash   wire.Hash
	blocks []*wire.Source // by sequence, from 1
	where  map[int64]uint64
}

func newShadow(fail func(string, ...any), sometimes func(string)) *shadow {
	return &shadow{fail: fail, sometimes: sometimes, cat: catalog.New(nil), tables: map[catalog.ID]*content{}, at: map[catalog.ID]uint64{},
		streams: map[string]*stream{}, where: map[int64]place{}, refused: map[int64]bool{}, views: map[catalog.ID]*digests{}, newer: map[catalog.ID]*digests{}, gone: map[string]bool{}, left: map[catalog.ID]map[uint64]*batch.Batch{}}
}

// added takes a record that a log has taken.
func (s *shadow) added(log string, seq uint64, data []byte) {
	if log == mainLog {
		s.record(seq, data)
		return
	}
	if strings.HasPrefix(log, "SRC_") && !s.gone[log] {
		s.block(log, seq, data)
	}
}

// record checks a record of the pipeline's log.
func (s *shadow) record(seq uint64, data []byte) {
	h, body, hash, err := wire.Open(data)
	switch {
	case err != nil:
		s.fail("log record %d: %v", seq, err)
		return
	case seq != s.last+1:
		s.fail("log record %d comes after %d", seq, s.last)
	case h.Prev != s.hash:
		s.fail("log record %d does not continue the chain of hashes", seq)
	case h.Kind == wire.KindEpoch && h.Epoch <= s.epoch:
		s.fail("log record %d claims epoch %d after epoch %d", seq, h.Epoch, s.epoch)
	case h.Kind != wire.KindEpoch && h.Epoch != s.epoch:
		s.fail("log record %d is of epoch %d, but epoch %d leads", seq, h.Epoch, s.epoch)
	}
	s.last, s.hash, s.epoch = seq, hash, h.Epoch
	switch h.Kind {
	case wire.KindEpoch:
		s.pending = nil
	case wire.KindTx:
		tx, err := wire.DecodeTx(body)
		if err != nil {
			s.fail("log record %d: %v", seq, err)
			return
		}
		s.pending = append(s.pending, tx.Changes...)
	case wire.KindStep:
		st, err := wire.DecodeStep(body)
		if err != nil {
			s.fail("log record %d: %v", seq, err)
			return
		}
		s.takeStep(st)
	case wire.KindDDL:
		d, err := wire.DecodeDDL(body)
		if err != nil {
			s.fail("log record %d: %v", seq, err)
			return
		}
		s.takeDDL(seq, d)
	case wire.KindCkpt:
		c, err := wire.DecodeCheckpoint(body)
		if err != nil {
			s.fail("log record %d: %v", seq, err)
			return
		}
		s.ckpts = append(s.ckpts, ckptRecord{seq, c.Step, c.Manifest})
		if c.Step > s.step {
			s.fail("log record %d: a checkpoint of step %d, the log is at %d", seq, c.Step, s.step)
		}
	}
}

func (s *shadow) takeDDL(seq uint64, d *wire.DDL) {
	if d.After != s.step {
		s.fail("log record %d: a command after step %d, the log is at %d", seq, d.After, s.step)
	}
	next, eff, err := s.cat.With(d.Command)
	if err != nil {
		s.fail("log record %d: %s: %v", seq, d.SQL, err)
		return
	}
	s.cat, s.made = next, true
	for _, id := range eff.Created {
		def := next.ByID(id)
		switch {
		case def == nil:
		case def.Kind == catalog.Table:
			s.tables[id] = newContent(def, s.step)
		case def.Kind == catalog.Source:
			s.tables[id] = newContent(def, s.step)
			if s.at[id] = 1; isGenerated(def) {
				s.at[id] = 0
			}
		}
	}
	for _, gone := range eff.Dropped {
		delete(s.tables, gone.ID)
		delete(s.at, gone.ID)
		delete(s.left, gone.ID)
		delete(s.streams, sourceLog(gone.ID))
		s.gone[sourceLog(gone.ID)] = true
	}
}

func sourceLog(id catalog.ID) string { return fmt.Sprintf("SRC_%s_%d", pipeline, id) }

func newContent(def *catalog.Relation, step uint64) *content {
	c := &content{def: def, rows: map[string]*oracle.Row{}}
	c.note(step, batch.Digest{})
	return c
}

func (s *shadow) takeStep(st *wire.Step) {
	if st.N != s.step+1 {
		s.fail("step %d comes after %d", st.N, s.step)
	}
	if st.Now < s.now {
		s.fail("step %d is of time %d, the one before of %d", st.N, st.Now, s.now)
	}
	s.step, s.now, s.made = st.N, st.Now, false
	changes := append(s.pending, st.Changes...)
	s.pending = nil
	txs := map[uint64]bool{}
	for _, c := range changes {
		txs[c.Tx] = true
		t := s.tables[c.Table]
		if t == nil {
			s.fail("step %d changes table %d, which is not there", st.N, c.Table)
			continue
		}
		s.markers(st.N, c, t.def)
		t.apply(s, st.N, c.Rows)
	}
	if uint64(len(txs)) > st.Txs {
		s.fail("step %d has %d transactions and says %d", st.N, len(txs), st.Txs)
	}
	if len(txs) > 1 {
		s.sometimes("step of several transactions")
	}
	if len(st.Late) > 0 {
		s.sometimes("late row dropped")
	}
	left := s.takeLeft(st)
	for _, r := range st.Ranges {
		s.takeRange(st.N, r, left[r.Source])
	}
	for id, rows := range left {
		if len(rows) > 0 {
			s.fail("step %d leaves out %d rows of source %d that are not in what it takes", st.N, len(rows), id)
		}
	}
	s.takeRetried(st)
}

// markers notes which operations are in the step.
func (s *shadow) markers(step uint64, c wire.Change, def *catalog.Relation) {
	col := slices.IndexFunc(def.Columns, func(c catalog.Column) bool { return c.Name == markerAt })
	for k := range c.Rows.Len() {
		i := c.Rows.Row(k)
		if c.Rows.Weight(i) <= 0 || col < 0 {
			continue
		}
		m := c.Rows.Cols[col].I64[i]
		was, again := s.where[m]
		switch {
		case again && (was.step != step || was.tx != c.Tx):
			s.fail("operation %d is committed twice: in step %d as transaction %d, and in step %d as transaction %d", m, was.step, was.tx, step, c.Tx)
		case s.refused[m]:
			s.fail("operation %d was refused, and is in step %d", m, step)
		}
		s.where[m] = place{step, c.Tx, was.rows + 1}
	}
}

// takeRange moves a source on.
func (s *shadow) takeRange(step uint64, r wire.Range, left map[uint64]bool) {
	t := s.tables[r.Source]
	if t == nil {
		s.fail("step %d takes rows of source %d, which is not there", step, r.Source)
		return
	}
	if r.From != s.at[r.Source] || r.To <= r.From {
		s.fail("step %d takes %d to %d of %s, of which %d are taken", step, r.From, r.To, t.def.Name, s.at[r.Source])
	}
	s.at[r.Source] = r.To
	if isGenerated(t.def) {
		bu := batch.NewBuilder(t.def.Types())
		if err := (counting{}).Read(r.From, r.To, bu); err != nil {
			s.fail("%v", err)
		}
		t.apply(s, step, s.without(step, t, bu.Seal(), r.From, left))
		return
	}
	st := s.streams[sourceLog(r.Source)]
	for seq := r.From; seq < r.To; seq++ {
		if st == nil || seq > uint64(len(st.blocks)) {
			s.fail("step %d takes block %d of %s, which is not durable", step, seq, t.def.Name)
			return
		}
		t.apply(s, step, s.without(step, t, st.blocks[seq-1].Rows, st.blocks[seq-1].First, left))
	}
}

// block checks a record of a source's stream.
func (s *shadow) block(log string, seq uint64, data []byte) {
	st := s.streams[log]
	if st == nil {
		st = &stream{where: map[int64]uint64{}}
		s.streams[log] = st
	}
	h, body, hash, err := wire.Open(data)
	if err == nil && (seq != uint64(len(st.blocks))+1 || seq > 1 && h.Prev != st.hash) {
		err = fmt.Errorf("it does not continue the chain after block %d", len(st.blocks))
	}
	var blk *wire.Source
	if err == nil {
		blk, err = wire.DecodeSource(body)
	}
	if err != nil {
		s.fail("%s, block %d: %v", log, seq, err)
		return
	}
	st.hash, st.blocks = hash, append(st.blocks, blk)
	if blk.Event != nil && blk.Event.Late > 0 {
		s.sometimes("late row of a source dropped")
	}
	if blk.Rows.N == 0 {
		return
	}
	col := len(blk.Rows.Cols) - 1 // the marker is the last
	for i := range blk.Rows.N {
		m := blk.Rows.Cols[col].I64[i]
		if was, again := st.where[m]; again && was != seq {
			s.fail("%s: operation %d is in blocks %d and %d", log, m, was, seq)
		}
		if s.refused[m] {
			s.fail("%s: operation %d was refused, and is in block %d", log, m, seq)
		}
		st.where[m] = seq
	}
}

// apply adds the changes of a step.
func (c *content) apply(s *shadow, step uint64, b *batch.Batch) {
	sum, _ := c.of(math.MaxUint64)
	c.note(step, sum.Add(batch.DigestOf(b)))
	var key []byte
	for k := range b.Len() {
		i := b.Row(k)
		row := b.RowValues(i)
		key = key[:0]
		for _, v := range row {
			key = append(types.AppendKey(key, v, false, false), 0)
		}
		have := c.rows[string(key)]
		if have == nil {
			have = &oracle.Row{V: row}
			c.rows[string(key)] = have
		}
		have.W += b.Weight(i)
		switch {
		case have.W < 0:
			s.fail("step %d withdraws a row from %s that is not there: %v", step, c.def.Name, row)
		case have.W == 0:
			delete(c.rows, string(key))
		}
	}
}

// table lists the rows.
func (c *content) table() oracle.Table {
	out := make(oracle.Table, 0, len(c.rows))
	for _, r := range c.rows {
		out = append(out, *r)
	}
	return oracle.Consolidate(out)
}
