package httpapi

import (
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// Columns of the cursor behind the events, before those of the rows.
const (
	columnStep = iota
	columnProgressed
	columnWhat // weight or state
	columnRow
)

func newEvents(want *following, cols []session.Column, style types.Style) *events {
	return &events{want: want, names: namesOf(cols), style: style, snapshot: !want.noSnapshot, step: -1, over: -1, told: -1}
}

// block appends the events of a block.
func (s *events) block(b *batch.Batch) {
	for i := range b.N {
		step := b.Cols[columnStep].I64[i]
		if b.Cols[columnProgressed].U8[i] != 0 {
			s.progressed(step)
			continue
		}
		if step != s.step {
			s.step, s.sent = step, 0
		}
		if s.sent++; s.sent <= s.want.skip && step == s.want.skipStep {
			continue // the client has it
		}
		s.id(b, i, step)
		s.buf = append(s.buf, `data: {"step":`...)
		s.buf = strconv.AppendInt(s.buf, step, 10)
		s.row(b, i)
		s.buf = append(s.buf, "}\n\n"...)
	}
}

// id tells where to go on behind row i of b: in the middle of its step, or behind it
// if the row is the last.
func (s *events) id(b *batch.Batch, i int, step int64) {
	s.buf = append(s.buf, "id: "...)
	s.buf = strconv.AppendInt(s.buf, step, 10)
	if i+1 < b.N && b.Cols[columnProgressed].U8[i+1] != 0 {
		s.told = step
	} else {
		s.buf = append(s.buf, '.')
		s.buf = strconv.AppendInt(s.buf, s.sent, 10)
		if s.snapshot {
			s.buf = append(s.buf, 's')
		}
	}
	s.buf = append(s.buf, '\n')
}

// progressed notes that all up to a step was sent. The client hears of it if it wants
// to, or if the last row's id did not tell it.
func (s *events) progressed(step int64) {
	s.over, s.snapshot = step, false
	switch {
	case s.want.progress:
		s.buf = append(s.buf, "id: "...)
		s.buf = strconv.AppendInt(s.buf, step, 10)
		s.buf = append(s.buf, "\nevent: progress\ndata: {\"step\":"...)
		s.buf = strconv.AppendInt(s.buf, step, 10)
		s.buf = append(s.buf, "}\n\n"...)
		s.told = step
	case step == s.step && s.told != step:
		s.quietID()
	}
}

// quiet keeps the stream alive, and tells how far it has come: a step that is long
// past could not be gone on from.
func (s *events) quiet() {
	if s.told != s.over {
		s.quietID()
		return
	}
	s.buf = append(s.buf, ": keep-alive\n\n"...)
}

// quietID tells the id of what is over without an event.
func (s *events) quietID() {
	s.buf = append(s.buf, "id: "...)
	s.buf = strconv.AppendInt(s.buf, s.over, 10)
	s.buf = append(s.buf, "\n\n"...)
	s.told = s.over
}

// row appends what the row is, as members of the event's object.
func (s *events) row(b *batch.Batch, i int) {
	keys := len(s.want.key)
	rest := columnRow + keys
	switch s.want.envelope {
	case "":
		s.buf = append(s.buf, `,"weight":`...)
		s.buf = strconv.AppendInt(s.buf, b.Cols[columnWhat].I64[i], 10)
		s.object("row", b, i, columnRow, len(b.Cols), "")
		return
	case "upsert":
		st := s.state(b, i)
		s.object("key", b, i, columnRow, rest, "")
		s.objectIf(st == "upsert", "value", b, i, rest, len(b.Cols), "")
	case "debezium":
		st := s.state(b, i)
		half := rest + (len(b.Cols)-rest)/2
		s.object("key", b, i, columnRow, rest, "")
		s.objectIf(st == "delete" || st == "upsert", "before", b, i, rest, half, "before_")
		s.objectIf(st == "insert" || st == "upsert", "after", b, i, half, len(b.Cols), "after_")
	}
}

func (s *events) state(b *batch.Batch, i int) string {
	st := string(b.Cols[columnWhat].StrAt(i))
	s.buf = append(s.buf, `,"state":`...)
	s.buf = format.AppendJSONString(s.buf, st)
	return st
}

// object appends columns from to to as a member, without the prefix of their names.
func (s *events) object(name string, b *batch.Batch, i, from, to int, prefix string) {
	s.buf = append(s.buf, `,"`...)
	s.buf = append(append(s.buf, name...), `":{`...)
	for c := from; c < to; c++ {
		if c > from {
			s.buf = append(s.buf, ',')
		}
		s.buf = format.AppendJSONString(s.buf, strings.TrimPrefix(s.names[c], prefix))
		s.buf = append(s.buf, ':')
		s.buf = format.AppendJSONValue(s.buf, &b.Cols[c], i, s.style)
	}
	s.buf = append(s.buf, '}')
}

// objectIf is object, or null if it is not there.
func (s *events) objectIf(there bool, name string, b *batch.Batch, i, from, to int, prefix string) {
	if there {
		s.object(name, b, i, from, to, prefix)
		return
	}
	s.buf = append(append(append(s.buf, `,"`...), name...), `":null`...)
}
