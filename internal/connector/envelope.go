package connector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// Names of the members that say which change of a view a record is: the step, its
// place in the step from 0, and its weight or what became of its key.
const (
	StepName   = "_step"
	IndexName  = "_index"
	WeightName = "_weight"
	OpName     = "_op"
)

// Kinds of envelopes.
const (
	envelopeChanges    = "changes"     // rows with weights
	envelopeUpsert     = "upsert"      // the row that a key has now
	envelopeDebezium   = "debezium"    // the rows that a key had before and has now
	envelopeAppendOnly = "append-only" // rows alone
)

// What became of a key. Debezium has letters of its own.
const (
	opUpsert    = "upsert"
	opDelete    = "delete"
	opViolation = "key_violation" // a step left several rows with the key
)

// Envelope says how a sink writes the changes of a view. One goroutine uses it.
type Envelope struct {
	kind   string
	names  []string // of the columns
	key    []int
	order  []batch.Key
	sorter batch.Sorter
	rows   []uint32
}

// Record is one record of a step, in the envelope that made it. It refers to rows of
// the step's batch.
type Record struct {
	op            string
	key           int // a row with its key
	before, after int // rows, -1 for none
	weight        int64
}

// Weight returns how many more rows of the kind there are, below zero if they went;
// 0 where the envelope does not tell.
func (r Record) Weight() int64 { return r.weight }

// ReadEnvelope reads the options envelope and key from o, and checks that cfg's rows
// fit. What is wrong with the options is kept in o.
func ReadEnvelope(cfg Config, o *Options) (*Envelope, error) {
	e := &Envelope{kind: o.Word("envelope", envelopeChanges, envelopeChanges, envelopeUpsert, envelopeDebezium, envelopeAppendOnly, "plain")}
	if e.kind == "plain" {
		e.kind = envelopeAppendOnly
	}
	for _, c := range cfg.Columns {
		e.names = append(e.names, c.Name)
	}
	keyed := e.kind == envelopeUpsert || e.kind == envelopeDebezium
	switch {
	case keyed:
		for name := range strings.SplitSeq(o.Need("key"), ",") {
			name = strings.TrimSpace(name)
			c := slices.Index(e.names, name)
			if c < 0 || slices.Contains(e.key, c) {
				o.Bad("key", o.Str("key", ""), "columns with commas, such as '"+strings.Join(e.names[:min(2, len(e.names))], ",")+"'")
				break
			}
			e.key = append(e.key, c)
		}
		e.order = batch.Ascending(e.key...)
	case o.Has("key"):
		o.Failf("Only the envelopes upsert and debezium have one.", "envelope %q has no key", e.kind)
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	if e.kind == envelopeAppendOnly && !cfg.AppendOnly {
		return nil, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("rows of sink %q may be withdrawn, which envelope append-only cannot tell", cfg.Name),
			Hint: "Use the envelope changes, or upsert or debezium with a key; or a query that only ever adds rows, as a filter of a source does."}
	}
	return e, e.checkNames()
}

// checkNames refuses columns with the name of a member that the envelope adds.
func (e *Envelope) checkNames() error {
	if e.kind == envelopeDebezium {
		return nil // columns are in objects of their own
	}
	for _, n := range e.names {
		if slices.Contains(e.Members(), n) {
			return &types.Error{Code: types.CodeDuplicateColumn, Message: fmt.Sprintf("column %q has the name of a member that sinks add", n),
				Hint: "Rename the column in the query of the sink."}
		}
	}
	return nil
}

// Names returns the columns' names.
func (e *Envelope) Names() []string { return e.names }

// Debezium reports whether records hold rows in rows, which CSV has no place for.
func (e *Envelope) Debezium() bool { return e.kind == envelopeDebezium }

// Members returns the names of what stands before the columns.
func (e *Envelope) Members() []string {
	switch e.kind {
	case envelopeChanges:
		return []string{StepName, IndexName, WeightName}
	case envelopeUpsert:
		return []string{StepName, IndexName, OpName}
	}
	return []string{StepName, IndexName}
}

// Each hands out the records of a step's changes with their places in it, from 0: the
// same ones, in the same order, for the same changes. It stops at the first error.
func (e *Envelope) Each(b *batch.Batch, fn func(index int, r Record) error) error {
	if e.key != nil {
		return e.eachKey(b, fn)
	}
	index := 0
	for k := range b.Len() {
		i := b.Row(k)
		r := Record{key: i, before: -1, after: i, weight: b.Weight(i)}
		times := int64(1)
		if e.kind == envelopeAppendOnly {
			times, r.weight = r.weight, 1
		}
		if times < 0 {
			return fmt.Errorf("envelope append-only: a row is withdrawn")
		}
		for range times {
			if err := fn(index, r); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// eachKey hands out a record for each key.
func (e *Envelope) eachKey(b *batch.Batch, fn func(index int, r Record) error) error {
	e.rows = e.sorter.Sort(e.rows[:0], b, e.order)
	index := 0
	for k := 0; k < len(e.rows); index++ {
		first := int(e.rows[k])
		r := Record{key: first, before: -1, after: -1}
		came, went := int64(0), int64(0)
		for ; k < len(e.rows) && batch.CompareRows(b, first, b, int(e.rows[k]), e.order) == 0; k++ {
			i := int(e.rows[k])
			if w := b.Weight(i); w > 0 {
				came, r.after = came+w, i
			} else {
				went, r.before = went-w, i
			}
		}
		switch {
		case came > 1:
			r.op, r.before, r.after = opViolation, -1, -1
		case came == 1:
			r.op = opUpsert
		default:
			r.op = opDelete
		}
		if went > 1 {
			r.before = -1 // which of them, nobody can say
		}
		if e.kind == envelopeDebezium && r.op != opViolation {
			r.op = debeziumOp(came, went)
		}
		if err := fn(index, r); err != nil {
			return err
		}
	}
	return nil
}

// debeziumOp is create, update or delete.
func debeziumOp(came, went int64) string {
	switch {
	case came == 0:
		return "d"
	case went == 0:
		return "c"
	}
	return "u"
}

// AppendJSON appends a record as a JSON object on one line, with its step and index.
func (e *Envelope) AppendJSON(dst []byte, b *batch.Batch, r Record, step uint64, index int) []byte {
	dst = fmt.Appendf(dst, `{"%s":%d,"%s":%d,`, StepName, step, IndexName, index)
	return e.appendMembers(dst, b, r)
}

// AppendBody is AppendJSON without the step and index, for targets that keep them
// beside the record, where the envelope is append-only.
func (e *Envelope) AppendBody(dst []byte, b *batch.Batch, r Record, step uint64, index int) []byte {
	if e.kind != envelopeAppendOnly {
		return e.AppendJSON(dst, b, r, step, index)
	}
	return e.appendMembers(append(dst, '{'), b, r)
}

func (e *Envelope) appendMembers(dst []byte, b *batch.Batch, r Record) []byte {
	switch e.kind {
	case envelopeChanges:
		dst = fmt.Appendf(dst, `"%s":%d,`, WeightName, r.weight)
		dst = e.appendColumns(dst, b, r.after, nil)
	case envelopeAppendOnly:
		dst = e.appendColumns(dst, b, r.after, nil)
	case envelopeUpsert:
		dst = fmt.Appendf(dst, `"%s":"%s",`, OpName, r.op)
		if r.op == opUpsert {
			dst = e.appendColumns(dst, b, r.after, nil)
		} else {
			dst = e.appendColumns(dst, b, r.key, e.key)
		}
	case envelopeDebezium:
		dst = fmt.Appendf(dst, `"op":"%s","key":{`, r.op)
		dst = append(e.appendColumns(dst, b, r.key, e.key), '}')
		dst = e.appendRow(append(dst, `,"before":`...), b, r.before)
		dst = e.appendRow(append(dst, `,"after":`...), b, r.after)
	}
	if dst[len(dst)-1] == ',' { // a row without columns
		dst = dst[:len(dst)-1]
	}
	return append(dst, '}')
}

// appendRow appends a whole row, or null.
func (e *Envelope) appendRow(dst []byte, b *batch.Batch, i int) []byte {
	if i < 0 {
		return append(dst, "null"...)
	}
	return append(e.appendColumns(append(dst, '{'), b, i, nil), '}')
}

// appendColumns appends columns, nil for all of them, as members.
func (e *Envelope) appendColumns(dst []byte, b *batch.Batch, i int, cols []int) []byte {
	n := len(cols)
	if cols == nil {
		n = len(b.Cols)
	}
	for k := range n {
		c := k
		if cols != nil {
			c = cols[k]
		}
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(format.AppendJSONString(dst, e.names[c]), ':')
		dst = format.AppendJSONValue(dst, &b.Cols[c], i, types.Style{})
	}
	return dst
}

// AppendCSV appends a record as a line of CSV: Members, then the columns, those that
// it does not tell left empty. Debezium has no such form.
func (e *Envelope) AppendCSV(dst []byte, b *batch.Batch, r Record, step uint64, index int) []byte {
	dst = fmt.Appendf(dst, "%d,%d", step, index)
	row, bare := r.after, b
	switch e.kind {
	case envelopeChanges:
		dst = fmt.Appendf(dst, ",%d", r.weight)
	case envelopeUpsert:
		dst = append(append(dst, ','), r.op...)
		if row < 0 {
			row, bare = 0, e.keyAlone(b, r.key)
		}
	}
	if len(b.Cols) > 0 {
		dst = append(dst, ',')
	}
	return format.AppendCSVRow(dst, bare, row, types.Style{}) // with the end of the line
}

// keyAlone is a row with nothing but the key of row i.
func (e *Envelope) keyAlone(b *batch.Batch, i int) *batch.Batch {
	bu := batch.NewBuilder(b.Types())
	for c := range b.Cols {
		if slices.Contains(e.key, c) {
			bu.Col(c).AppendFrom(0, &b.Cols[c], i)
		} else {
			bu.Col(c).AppendNull(0)
		}
	}
	bu.EndRow(1)
	return bu.View()
}
