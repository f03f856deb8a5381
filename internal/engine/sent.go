package engine

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// sentBook is what a source remembers of the requests and messages in its log: the
// newest keys, and of each producer the last one. What it holds follows from the
// blocks alone, in their order.
type sentBook struct {
	maxKeys, maxProducers int

	keys map[string]uint64 // number of the last one with that key
	// list has the keys in pieces of sentPiece, the first of which begins with the number
	// first. What is in it does not change, so that a checkpoint may read it.
	list  [][]wire.Known
	begin uint64 // number of the first key of list
	next  uint64 // number of the next key

	producers map[string]*sentProducer
	first     *sentProducer // whose last request is the oldest
	last      *sentProducer
}

// sentPiece is how many keys are kept together.
const sentPiece = 1024

// sentProducer is the last request of a producer, in a list by position.
type sentProducer struct {
	wire.Known
	before, after *sentProducer
}

func newSentBook() *sentBook {
	return &sentBook{maxKeys: connector.MaxKeys, maxProducers: connector.MaxProducers,
		keys: map[string]uint64{}, producers: map[string]*sentProducer{}}
}

// add notes what the block at a position names. Positions do not decrease.
func (b *sentBook) add(position uint64, sent []wire.Sent) {
	for _, s := range sent {
		if s.Producer != "" {
			b.addProducer(wire.Known{Sent: s, Position: position})
		} else {
			b.addKey(wire.Known{Sent: s, Position: position})
		}
	}
}

func (b *sentBook) addKey(k wire.Known) {
	if n := len(b.list); n == 0 || len(b.list[n-1]) == sentPiece {
		b.list = append(b.list, make([]wire.Known, 0, sentPiece))
	}
	last := &b.list[len(b.list)-1]
	*last = append(*last, k)
	b.keys[k.Key] = b.next
	b.next++
	if b.next <= uint64(b.maxKeys) {
		return
	}
	low := b.next - uint64(b.maxKeys) // of those that are remembered
	if old := b.at(low - 1).Key; b.keys[old] == low-1 {
		delete(b.keys, old)
	}
	if low-b.begin >= sentPiece {
		b.list[0] = nil
		b.list = b.list[1:]
		b.begin += sentPiece
	}
}

// at returns the key of a number.
func (b *sentBook) at(n uint64) *wire.Known {
	n -= b.begin
	return &b.list[n/sentPiece][n%sentPiece]
}

func (b *sentBook) addProducer(k wire.Known) {
	p := b.producers[k.Producer]
	if p == nil {
		if len(b.producers) >= b.maxProducers {
			delete(b.producers, b.first.Producer)
			b.unlink(b.first)
		}
		p = &sentProducer{}
		b.producers[k.Producer] = p
	} else {
		b.unlink(p)
	}
	p.Known = k
	p.before = b.last
	if b.last != nil {
		b.last.after = p
	} else {
		b.first = p
	}
	b.last = p
}

func (b *sentBook) unlink(p *sentProducer) {
	if p.before != nil {
		p.before.after = p.after
	} else {
		b.first = p.after
	}
	if p.after != nil {
		p.after.before = p.before
	} else {
		b.last = p.before
	}
	p.before, p.after = nil, nil
}

// key returns what is known of a key.
func (b *sentBook) key(key string) (wire.Known, bool) {
	n, ok := b.keys[key]
	if !ok {
		return wire.Known{}, false
	}
	return *b.at(n), true
}

// check says of a request whether it is in the log, and what it was answered then;
// counted is false if that is no longer known. An error refuses the request.
func (b *sentBook) check(s connector.Sent) (k wire.Known, known, counted bool, err error) {
	if s.Producer == "" {
		k, known = b.key(s.Key)
		if known && k.Digest != s.Digest {
			err = &types.Error{Code: types.CodeKeyReused, Message: fmt.Sprintf("idempotency key %q came before with other content", s.Key),
				Detail: fmt.Sprintf("That request is at position %d.", k.Position), Hint: "Take a new key for each request, and the same one only to repeat it."}
		}
		return k, known, known, err
	}
	last := uint64(0)
	if p := b.producers[s.Producer]; p != nil {
		k, last = p.Known, p.Sequence
	}
	switch {
	case s.Sequence == last+1:
		return wire.Known{}, false, false, nil
	case s.Sequence > last:
		hint := "Send what was left out first."
		if last == 0 {
			hint = fmt.Sprintf("A producer that is not known begins with 1; the %d that sent something last are known.", b.maxProducers)
		}
		return k, false, false, &types.Error{Code: types.CodeSequenceGap, Hint: hint,
			Message: fmt.Sprintf("producer %q: sequence %d is expected, %d came", s.Producer, last+1, s.Sequence)}
	case s.Sequence < last:
		return k, true, false, nil
	case k.Digest != s.Digest:
		return k, true, true, &types.Error{Code: types.CodeKeyReused, Message: fmt.Sprintf("producer %q: sequence %d came before with other content", s.Producer, s.Sequence),
			Detail: fmt.Sprintf("That request is at position %d.", k.Position)}
	}
	return k, true, true, nil
}

// below returns what the blocks before a position name, oldest first, the keys and then
// the producers. Whatever a later block has displaced is not among it, and will be
// displaced again when that block is read. It is quick: the keys are shared.
func (b *sentBook) below(position uint64) [][]wire.Known {
	from, to := b.begin, b.next
	if b.next > uint64(b.maxKeys) {
		from = b.next - uint64(b.maxKeys)
	}
	for to > from && b.at(to-1).Position >= position {
		to--
	}
	var out [][]wire.Known
	for n := from; n < to; {
		piece := b.list[(n-b.begin)/sentPiece]
		at := (n - b.begin) % sentPiece
		end := min(uint64(len(piece)), at+to-n)
		out = append(out, piece[at:end:end])
		n += end - at
	}
	producers := make([]wire.Known, 0, len(b.producers))
	for p := b.first; p != nil && p.Position < position; p = p.after {
		producers = append(producers, p.Known)
	}
	if len(producers) > 0 {
		out = append(out, producers)
	}
	return out
}
