package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
)

// Bounds of lists in records.
const (
	maxChanges    = 1 << 20 // table changes in one TX record
	maxRanges     = 1 << 16 // sources in one STEP
	maxOutputs    = 1 << 16 // views in one STEP
	maxBadRecords = 1 << 20 // quarantined records in one block
	maxMarks      = 1 << 16 // watermarks that move in one STEP
	maxSent       = 1 << 16 // requests and messages named by one block
	maxSkipped    = 1 << 16 // rows that one STEP leaves out or takes again
	maxSinks      = 1 << 16 // sinks in one CKPT
	maxRebuilt    = 1 << 16 // views that one STEP gives new circuits
	// MaxPartitions bounds the partitions of a source whose watermarks a block holds.
	MaxPartitions = 1024
)

// Epoch says that a leader took over.
type Epoch struct {
	Node   string
	At     int64  // microseconds since 2000-01-01 UTC
	Engine string // version of the program
}

// Encode returns the record's body.
func (e *Epoch) Encode() []byte {
	dst := appendBlob(nil, e.Node)
	dst = binary.AppendVarint(dst, e.At)
	return appendBlob(dst, e.Engine)
}

// DecodeEpoch reads the body of an EPOCH record.
func DecodeEpoch(body []byte) (*Epoch, error) {
	r := &reader{b: body}
	e := &Epoch{Node: string(r.blob("node")), At: r.varint("time"), Engine: string(r.blob("engine"))}
	return e, r.end("EPOCH")
}

// Change is what one transaction does to one table: rows that go have negative
// weights, rows that come positive ones.
type Change struct {
	Tx    uint64 // number of the transaction, unique in its step
	Table catalog.ID
	Rows  *batch.Batch
}

// Tx is a block of the changes of tables that the STEP after it applies. A
// transaction may run on in the next TX record of the same append, and in the STEP.
type Tx struct{ Changes []Change }

// Encode returns the record's body.
func (t *Tx) Encode() []byte { return appendChanges(nil, t.Changes) }

func appendChanges(dst []byte, list []Change) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, c := range list {
		dst = binary.AppendUvarint(dst, c.Tx)
		dst = binary.AppendUvarint(dst, uint64(c.Table))
		dst = AppendBatch(dst, c.Rows)
	}
	return dst
}

// DecodeTx reads the body of a TX record.
func DecodeTx(body []byte) (*Tx, error) {
	r := &reader{b: body}
	t := &Tx{Changes: r.changes()}
	return t, r.end("TX")
}

func (r *reader) changes() (list []Change) {
	for n := r.count("changes", maxChanges); n > 0 && r.err == nil; n-- {
		c := Change{Tx: r.uvarint("transaction")}
		c.Table = r.id("table")
		if c.Rows = r.batch(); r.err == nil {
			list = append(list, c)
		}
	}
	return list
}

func (r *reader) id(what string) catalog.ID {
	v := r.uvarint(what)
	if v > 1<<32-1 {
		r.fail("%s %d", what, v)
	}
	return catalog.ID(v)
}

// Range is a half-open range of positions of a source: From <= position < To.
type Range struct {
	Source   catalog.ID
	From, To uint64
}

// Output is the fingerprint of what a step changed in one view.
type Output struct {
	View   catalog.ID
	Digest batch.Digest
}

// Mark is the watermark of a column of a source or table after a step: every later
// row has a value of at least that much there, or NULL.
type Mark struct {
	Relation catalog.ID
	Column   int
	Value    int64
}

// Late counts rows of a table that came too late.
type Late struct {
	Table catalog.ID
	Rows  uint64
}

// Skipped is a row of a source that a step leaves out.
type Skipped struct {
	Source   catalog.ID
	Position uint64 // among all records of the source, good and bad, from 0
	// Block is the position in the source's log of the block that holds it, or, of a source
	// without a log, the first of the range.
	Block  uint64
	Reason string
	Row    []byte // the row as AppendBatch writes it; empty if it is too large to be kept
}

// Retried is a row of a source that was left out by an earlier step.
type Retried struct {
	Source   catalog.ID
	Position uint64
	Row      *batch.Batch // as the step takes it
}

// Forwarded names a transaction by the run of the node that sent it, and by a number of
// that run.
type Forwarded struct{ Origin, Number uint64 }

// Step is a committed step: what went in, and the fingerprint of what came out.
type Step struct {
	N           uint64 // from 1, without gaps
	Now         int64  // logical time, microseconds since 2000-01-01 UTC
	Txs         uint64 // transactions in it, and in the TX records before it
	Ranges      []Range
	Circuit     Hash   // of all circuits as they were
	Engine      string // version of the program that computed it
	Shards      uint32 // shards that keys are divided into
	Outputs     []Output
	Rejected    uint64 // transactions that a constraint refused, which are not in the log
	Quarantined uint64 // records of the ranges that were put aside
	// Marks are the watermarks of sources' and tables' columns that the step moved.
	Marks []Mark
	// Late counts the rows of each append-only table that came too late, and are in no record.
	Late []Late
	// Skipped are the rows of the ranges that the step leaves out, because with them it
	// could not be computed. They are not part of their sources until they are retried.
	Skipped []Skipped
	// Retried are rows that earlier steps left out and this one takes.
	Retried []Retried
	// Rebuilt are the views that have new circuits from this step on, filled as of the step
	// before: their outputs in it are what takes their old rows to the new ones. In the order
	// of their dependencies.
	Rebuilt []catalog.ID
	// Forwarded names the transactions that other nodes have sent, so that these know what
	// became of them if the answer is lost.
	Forwarded []Forwarded
	// Changes are those of its transactions, or the last of them: what fits goes
	// here, since one record is much cheaper to append than two, and the rest into
	// TX records before it.
	Changes []Change
}

// Encode returns the record's body.
func (s *Step) Encode() []byte {
	dst := binary.AppendUvarint(nil, s.N)
	dst = binary.AppendVarint(dst, s.Now)
	dst = binary.AppendUvarint(dst, s.Txs)
	dst = binary.AppendUvarint(dst, uint64(len(s.Ranges)))
	for _, g := range s.Ranges {
		dst = binary.AppendUvarint(dst, uint64(g.Source))
		dst = binary.AppendUvarint(dst, g.From)
		dst = binary.AppendUvarint(dst, g.To)
	}
	dst = append(dst, s.Circuit[:]...)
	dst = appendBlob(dst, s.Engine)
	dst = binary.AppendUvarint(dst, uint64(s.Shards))
	dst = appendOutputs(dst, s.Outputs)
	dst = binary.AppendUvarint(dst, s.Rejected)
	dst = binary.AppendUvarint(dst, s.Quarantined)
	dst = appendChanges(dst, s.Changes)
	dst = binary.AppendUvarint(dst, uint64(len(s.Marks)))
	for _, m := range s.Marks {
		dst = binary.AppendUvarint(dst, uint64(m.Relation))
		dst = binary.AppendUvarint(dst, uint64(m.Column))
		dst = binary.AppendVarint(dst, m.Value)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Late)))
	for _, l := range s.Late {
		dst = binary.AppendUvarint(dst, uint64(l.Table))
		dst = binary.AppendUvarint(dst, l.Rows)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Skipped)))
	for _, x := range s.Skipped {
		dst = binary.AppendUvarint(dst, uint64(x.Source))
		dst = binary.AppendUvarint(dst, x.Position)
		dst = binary.AppendUvarint(dst, x.Block)
		dst = appendBlob(dst, x.Reason)
		dst = appendBlob(dst, x.Row)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Retried)))
	for _, x := range s.Retried {
		dst = binary.AppendUvarint(dst, uint64(x.Source))
		dst = binary.AppendUvarint(dst, x.Position)
		dst = AppendBatch(dst, x.Row)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Rebuilt)))
	for _, id := range s.Rebuilt {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Forwarded)))
	for _, f := range s.Forwarded {
		dst = binary.LittleEndian.AppendUint64(dst, f.Origin)
		dst = binary.AppendUvarint(dst, f.Number)
	}
	return dst
}

// DecodeStep reads the body of a STEP record.
func DecodeStep(body []byte) (*Step, error) {
	r := &reader{b: body}
	s := &Step{N: r.uvarint("step"), Now: r.varint("time"), Txs: r.uvarint("transactions")}
	for n := r.count("ranges", maxRanges); n > 0 && r.err == nil; n-- {
		g := Range{Source: r.id("source"), From: r.uvarint("range"), To: r.uvarint("range")}
		if g.To < g.From {
			r.fail("range from %d to %d", g.From, g.To)
		}
		s.Ranges = append(s.Ranges, g)
	}
	s.Circuit = r.hash("circuit hash")
	s.Engine = string(r.blob("engine"))
	s.Shards = uint32(r.count("shards", 1<<16))
	s.Outputs = r.outputs()
	s.Rejected, s.Quarantined = r.uvarint("rejected"), r.uvarint("quarantined")
	s.Changes = r.changes()
	if r.atEnd() { // version 1
		return s, r.end("STEP")
	}
	for n := r.count("marks", maxMarks); n > 0 && r.err == nil; n-- {
		s.Marks = append(s.Marks, Mark{Relation: r.id("relation"), Column: r.count("column", MaxColumns-1), Value: r.varint("mark")})
	}
	for n := r.count("tables with late rows", maxMarks); n > 0 && r.err == nil; n-- {
		s.Late = append(s.Late, Late{Table: r.id("table"), Rows: r.uvarint("late rows")})
	}
	if r.atEnd() { // version 3
		return s, r.end("STEP")
	}
	for n := r.count("rows left out", maxSkipped); n > 0 && r.err == nil; n-- {
		s.Skipped = append(s.Skipped, Skipped{Source: r.id("source"), Position: r.uvarint("position"), Block: r.uvarint("block"),
			Reason: string(r.blob("reason")), Row: append([]byte(nil), r.blob("row")...)})
	}
	for n := r.count("rows taken again", maxSkipped); n > 0 && r.err == nil; n-- {
		x := Retried{Source: r.id("source"), Position: r.uvarint("position")}
		if x.Row = r.batch(); r.err == nil {
			s.Retried = append(s.Retried, x)
		}
	}
	if r.atEnd() { // version 4
		return s, r.end("STEP")
	}
	for n := r.count("views with new circuits", maxRebuilt); n > 0 && r.err == nil; n-- {
		s.Rebuilt = append(s.Rebuilt, r.id("view"))
	}
	if r.atEnd() {
		return s, r.end("STEP")
	}
	for n := r.count("transactions of other nodes", maxCallTxs); n > 0 && r.err == nil; n-- {
		f := Forwarded{Origin: r.uint64("origin")}
		f.Number = r.uvarint("number")
		s.Forwarded = append(s.Forwarded, f)
	}
	return s, r.end("STEP")
}

// DDL is a command to the catalog, carried out after step After.
type DDL struct {
	After   uint64
	Now     int64 // logical time, for the circuits it starts
	SQL     string
	Command catalog.Command
	// Engine is the version of the program that computed Made; "" in records of older ones.
	Engine string
	// Made is what the views and sinks that the command made hold from the start.
	Made []Output
}

// Encode returns the record's body.
func (d *DDL) Encode() ([]byte, error) {
	cmd, err := json.Marshal(d.Command)
	if err != nil {
		return nil, fmt.Errorf("encode DDL: %w", err)
	}
	dst := binary.AppendUvarint(nil, d.After)
	dst = binary.AppendVarint(dst, d.Now)
	dst = appendBlob(dst, d.SQL)
	dst = appendBlob(dst, cmd)
	dst = appendBlob(dst, d.Engine)
	return appendOutputs(dst, d.Made), nil
}

func appendOutputs(dst []byte, list []Output) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, o := range list {
		dst = binary.AppendUvarint(dst, uint64(o.View))
		dst = binary.LittleEndian.AppendUint64(dst, o.Digest.Hi)
		dst = binary.LittleEndian.AppendUint64(dst, o.Digest.Lo)
	}
	return dst
}

func (r *reader) outputs() (list []Output) {
	for n := r.count("outputs", maxOutputs); n > 0 && r.err == nil; n-- {
		o := Output{View: r.id("view")}
		if raw := r.bytes("digest", 16); raw != nil {
			o.Digest = batch.Digest{Hi: binary.LittleEndian.Uint64(raw), Lo: binary.LittleEndian.Uint64(raw[8:])}
		}
		list = append(list, o)
	}
	return list
}

// DecodeDDL reads the body of a DDL record.
func DecodeDDL(body []byte) (*DDL, error) {
	r := &reader{b: body}
	d := &DDL{After: r.uvarint("step"), Now: r.varint("time"), SQL: string(r.blob("statement"))}
	cmd := r.blob("command")
	if !r.atEnd() { // else version 4
		d.Engine = string(r.blob("engine"))
		d.Made = r.outputs()
	}
	if err := r.end("DDL"); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(cmd, &d.Command); err != nil {
		return nil, fmt.Errorf("%w: command: %w", ErrDamaged, err)
	}
	return d, nil
}

// Checkpoint names a checkpoint that is complete.
type Checkpoint struct {
	Step     uint64
	Manifest Hash
	// Sinks tells how far sinks have come, so that standbys keep no more for them than the
	// leader does.
	Sinks []SinkPosition
}

// SinkPosition says that a sink has taken everything up to a step.
type SinkPosition struct {
	Sink catalog.ID
	Step uint64
}

// Encode returns the record's body.
func (c *Checkpoint) Encode() []byte {
	dst := append(binary.AppendUvarint(nil, c.Step), c.Manifest[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(c.Sinks)))
	for _, s := range c.Sinks {
		dst = binary.AppendUvarint(dst, uint64(s.Sink))
		dst = binary.AppendUvarint(dst, s.Step)
	}
	return dst
}

// DecodeCheckpoint reads the body of a CKPT record.
func DecodeCheckpoint(body []byte) (*Checkpoint, error) {
	r := &reader{b: body}
	c := &Checkpoint{Step: r.uvarint("step"), Manifest: r.hash("manifest")}
	if r.atEnd() { // version 4
		return c, r.end("CKPT")
	}
	for n := r.count("sinks", maxSinks); n > 0 && r.err == nil; n-- {
		c.Sinks = append(c.Sinks, SinkPosition{Sink: r.id("sink"), Step: r.uvarint("step")})
	}
	return c, r.end("CKPT")
}

// BadRecord is a record that could not become a row.
type BadRecord struct {
	Index  uint64 // among the records of its block, good and bad
	Reason string
	Data   []byte
}

// Source is a block of a source's records: the rows they became, and those that
// could not become one. It is one position of the source.
type Source struct {
	First  uint64 // records in the blocks before it, good and bad
	Count  uint64 // records in it
	Rows   *batch.Batch
	Bad    []BadRecord
	Cursor []byte // how far the connector had come, in its own words
	// Event is where event time stands after the block; nil if the source has no
	// watermark. No row of a later block is below Event.Mark by more than the source's
	// allowed lateness.
	Event *Event
	// Proc is the time of the clock that was stamped on the block's rows as
	// PROCTIME(), microseconds since 2000-01-01 UTC; 0 if none was.
	Proc int64
	// Sent names the requests and messages whose records are in this block, or in it and
	// those before it in the same append.
	Sent []Sent
}

// Sent names a request or message by a key, or by its producer and a sequence, and
// holds what it was answered.
type Sent struct {
	Key      string
	Producer string // "" if Key names it
	Sequence uint64 // of the producer, from 1
	Digest   uint64 // of its content; 0 if it is not compared
	// Rows and Bad are what was answered: the rows that were accepted and the records
	// that were put aside.
	Rows, Bad uint64
}

// Event is the state of a source's event time between two blocks.
type Event struct {
	// Mark is the source's watermark, microseconds since 2000-01-01; math.MinInt64 if
	// there is none yet.
	Mark int64
	Late uint64 // rows that came too late, ever
	// Parts are the marks of the partitions that have not ended, in order of ID; at
	// most MaxPartitions.
	Parts []Part
}

// Part is the watermark of one partition; math.MinInt64 if it has none yet.
type Part struct {
	ID   uint32
	Mark int64
}

// Encode returns the record's body.
func (s *Source) Encode() []byte {
	dst := binary.AppendUvarint(nil, s.First)
	dst = binary.AppendUvarint(dst, s.Count)
	dst = AppendBatch(dst, s.Rows)
	dst = binary.AppendUvarint(dst, uint64(len(s.Bad)))
	for _, b := range s.Bad {
		dst = binary.AppendUvarint(dst, b.Index)
		dst = appendBlob(dst, b.Reason)
		dst = appendBlob(dst, b.Data)
	}
	dst = appendBlob(dst, s.Cursor)
	dst = binary.AppendVarint(dst, s.Proc)
	dst = appendEvent(dst, s.Event)
	dst = binary.AppendUvarint(dst, uint64(len(s.Sent)))
	for i := range s.Sent {
		dst = s.Sent[i].append(dst)
	}
	return dst
}

func (s *Sent) append(dst []byte) []byte {
	dst = appendBlob(dst, s.Key)
	dst = appendBlob(dst, s.Producer)
	dst = binary.AppendUvarint(dst, s.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, s.Digest)
	dst = binary.AppendUvarint(dst, s.Rows)
	return binary.AppendUvarint(dst, s.Bad)
}

// appendEvent appends a state of event time, which may be nil.
func appendEvent(dst []byte, e *Event) []byte {
	if e == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = binary.AppendVarint(dst, e.Mark)
	dst = binary.AppendUvarint(dst, e.Late)
	dst = binary.AppendUvarint(dst, uint64(len(e.Parts)))
	for _, p := range e.Parts {
		dst = binary.AppendUvarint(dst, uint64(p.ID))
		dst = binary.AppendVarint(dst, p.Mark)
	}
	return dst
}

// DecodeSource reads the body of an SRC record; it shares nothing with body.
func DecodeSource(body []byte) (*Source, error) {
	r := &reader{b: body}
	s := &Source{First: r.uvarint("first record"), Count: r.uvarint("records"), Rows: r.batch()}
	for n := r.count("bad records", maxBadRecords); n > 0 && r.err == nil; n-- {
		s.Bad = append(s.Bad, BadRecord{Index: r.uvarint("index"), Reason: string(r.blob("reason")), Data: append([]byte(nil), r.blob("data")...)})
	}
	s.Cursor = append([]byte(nil), r.blob("cursor")...)
	if r.atEnd() { // version 1
		return s, r.end("SRC")
	}
	s.Proc = r.varint("processing time")
	s.Event = r.event()
	if r.atEnd() { // version 2
		return s, r.end("SRC")
	}
	for n := r.count("requests", maxSent); n > 0 && r.err == nil; n-- {
		s.Sent = append(s.Sent, r.sent())
	}
	return s, r.end("SRC")
}

func (r *reader) sent() Sent {
	s := Sent{Key: string(r.blob("key")), Producer: string(r.blob("producer")), Sequence: r.uvarint("sequence")}
	if raw := r.bytes("digest", 8); raw != nil {
		s.Digest = binary.LittleEndian.Uint64(raw)
	}
	s.Rows, s.Bad = r.uvarint("rows"), r.uvarint("bad records")
	if r.err == nil && (s.Key == "") == (s.Producer == "") {
		r.fail("a request of key %q and producer %q", s.Key, s.Producer)
	}
	return s
}

// event reads what appendEvent wrote.
func (r *reader) event() *Event {
	switch has := r.byte("watermark"); has {
	case 0:
		return nil
	case 1:
	default:
		r.fail("watermark written in way %d", has)
		return nil
	}
	e := &Event{Mark: r.varint("watermark"), Late: r.uvarint("late rows")}
	for n := r.count("partitions", MaxPartitions); n > 0 && r.err == nil; n-- {
		id := r.uvarint("partition")
		if id > 1<<32-1 || len(e.Parts) > 0 && uint32(id) <= e.Parts[len(e.Parts)-1].ID {
			r.fail("partition %d", id)
		}
		e.Parts = append(e.Parts, Part{ID: uint32(id), Mark: r.varint("watermark")})
	}
	return e
}
