package wire

import (
	"encoding/binary"
	"fmt"
)

// Bounds of lists in a source's state.
const (
	maxStateKeys      = 1 << 20
	maxStateProducers = 1 << 20
	// sourceStateVersion begins the bytes of a SourceState.
	sourceStateVersion = 1
)

// SourceState is all that going on behind a position of a source needs, so that what
// lies before it need not be read.
type SourceState struct {
	// Next is the position behind it: the sequence of the next block, or, of a source
	// without a stream, the number of the next row.
	Next uint64
	// Hash, Records and Cursor are as the last block leaves them: its own hash, the
	// records up to it, good and bad, and the connector's cursor.
	Hash    Hash
	Records uint64
	Cursor  []byte
	Event   *Event // nil if the source has no watermark
	Proc    int64  // the greatest PROCTIME() of a row; 0 if none was stamped
	// Known are the requests and messages that are remembered: the keys, oldest first, then
	// the producers, oldest first. They come in pieces, which may be shared.
	Known [][]Known
}

// Known is a request or message in a source's log.
type Known struct {
	Sent
	Position uint64 // of the block that names it
}

// Encode returns the state's bytes.
func (s *SourceState) Encode() []byte {
	count, size := 0, 256+len(s.Cursor)
	for _, part := range s.Known {
		count += len(part)
		for i := range part {
			size += len(part[i].Key) + len(part[i].Producer) + 40
		}
	}
	dst := append(make([]byte, 0, size), sourceStateVersion)
	dst = binary.AppendUvarint(dst, s.Next)
	dst = append(dst, s.Hash[:]...)
	dst = binary.AppendUvarint(dst, s.Records)
	dst = appendBlob(dst, s.Cursor)
	dst = appendEvent(dst, s.Event)
	dst = binary.AppendVarint(dst, s.Proc)
	dst = binary.AppendUvarint(dst, uint64(count))
	for _, part := range s.Known {
		for i := range part {
			dst = part[i].append(dst)
			dst = binary.AppendUvarint(dst, part[i].Position)
		}
	}
	return dst
}

// DecodeSourceState reads what Encode wrote; it shares nothing with data. What is
// remembered comes in one piece.
func DecodeSourceState(data []byte) (*SourceState, error) {
	r := &reader{b: data}
	if v := r.byte("version"); r.err == nil && v != sourceStateVersion {
		return nil, fmt.Errorf("%w: %d of a source's state", ErrVersion, v)
	}
	s := &SourceState{Next: r.uvarint("position"), Hash: r.hash("hash"), Records: r.uvarint("records")}
	if c := r.blob("cursor"); len(c) > 0 {
		s.Cursor = append([]byte(nil), c...)
	}
	s.Event = r.event()
	s.Proc = r.varint("processing time")
	var known []Known
	for n := r.count("requests", maxStateKeys+maxStateProducers); n > 0 && r.err == nil; n-- {
		k := Known{Sent: r.sent(), Position: r.uvarint("position")}
		if r.err == nil && k.Position >= s.Next {
			r.fail("a request at position %d, the state ends before %d", k.Position, s.Next)
		}
		known = append(known, k)
	}
	if len(known) > 0 {
		s.Known = [][]Known{known}
	}
	return s, r.end("the state of a source")
}
