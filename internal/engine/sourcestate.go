package engine

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/wire"
)

// blockState is what a source's log has come to behind a block.
type blockState struct {
	seq     uint64 // of the block; of a source without a stream, the position behind its last row
	hash    wire.Hash
	records uint64
	cursor  []byte
	event   *wire.Event
	proc    int64
}

// stateAfter is where a block leaves its source.
func stateAfter(seq uint64, hash wire.Hash, blk *wire.Source) blockState {
	return blockState{seq: seq, hash: hash, records: blk.First + blk.Count, cursor: blk.Cursor, event: blk.Event, proc: blk.Proc}
}

// committed notes that the step which took from the source last is committed. Called
// by the leader.
func (s *source) committed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = s.inStep
}

// save returns all that going on behind the last committed step needs, for a
// checkpoint: with it nothing of the source's stream before that step's end is read
// again. Called by the leader when nothing is staged; what it returns does not change.
func (s *source) save() *wire.SourceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &wire.SourceState{Next: s.done.seq, Hash: s.done.hash, Records: s.done.records, Cursor: s.done.cursor, Event: s.done.event, Proc: s.done.proc}
	if s.log != nil {
		st.Next++
	}
	st.Known = s.sent.below(st.Next)
	return st
}

// restore takes the source to where save was called, and returns the position that
// the next step takes from. It is called once, before anything else is read of the
// source's stream.
func (s *source) restore(data []byte) (next uint64, err error) {
	st, err := wire.DecodeSourceState(data)
	if err != nil {
		return 0, fmt.Errorf("source %q: %w", s.def.Name, err)
	}
	if st.Next < s.first() {
		return 0, fmt.Errorf("source %q: %w: its state ends at position %d", s.def.Name, wire.ErrDamaged, st.Next)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = blockState{seq: st.Next, hash: st.Hash, records: st.Records, cursor: st.Cursor, event: st.Event, proc: st.Proc}
	if s.log != nil {
		s.done.seq--
	}
	s.inStep = s.done
	for _, part := range st.Known {
		for _, k := range part {
			s.sent.add(k.Position, []wire.Sent{k.Sent})
		}
	}
	if s.replayable != nil {
		s.said = st.Next
	}
	s.lastSeq, s.lastHash = s.done.seq, st.Hash
	s.records, s.cursor = st.Records, st.Cursor
	if s.event != nil {
		s.event.restore(st.Event, s.e.micros())
	}
	s.proc = max(s.proc, st.Proc)
	return st.Next, nil
}
