// Package nexmark is the connector that generates the auctions of the Nexmark
// benchmark: people who open auctions and bid on them. A row follows from the seed
// and its number alone, so any range can be made again at any time, on any node.
//
// Source: Tucker, Tufte, Papadimos, Maier, "NEXMark: a benchmark for queries over
// data streams", 2002, in the form that Apache Beam and github.com/nexmark/nexmark
// gave it: of every 50 events one is a person, three are auctions and 46 are bids;
// ids follow from the number of the event, so that a bid knows which auctions and
// people there are without looking.
package nexmark

import (
	"fmt"
	"math"
	"math/bits"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// kind is what an event is, numbered as in the column event_type.
type kind uint8

const (
	person kind = iota
	auction
	bid
	all // a table's: of all kinds
)

// chunkRows is how many rows are prepared at once.
const chunkRows = 256

// System returns the connector.
func System() connector.System {
	return connector.System{Name: "nexmark", Source: func(cfg connector.Config) (any, error) { return New(cfg) }}
}

// Source generates the events of one kind, or all. It never changes, so anyone may
// use it.
type Source struct {
	config
	cols   []column
	rows   uint64  // how many there will ever be
	order  []place // the rows of a period in the order of their arrival
	period uint64  // events after which order repeats
	text   text
}

// place is a row's place in a period.
type place struct {
	arrival uint32 // how many events came before it
	event   uint32 // its number among the events
	person  int32  // the last person there is when it is made
	auction int32  // the last auction there is; -1 is the last of the period before
	kind    kind
}

var _ connector.Replayable = (*Source)(nil)

// New returns the source that cfg describes.
func New(cfg connector.Config) (*Source, error) {
	o := options{connector.NewOptions("nexmark source", cfg.Options)}
	if cfg.Format != "" && cfg.Format != "PLAIN" || cfg.Encode != "" && cfg.Encode != "JSON" && cfg.Encode != "NATIVE" {
		return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("nexmark source has no FORMAT %s ENCODE %s", cfg.Format, cfg.Encode)}
	}
	for name := range cfg.Encoded {
		o.Failf("", "unknown option %q of ENCODE %s", name, cfg.Encode)
	}
	s := &Source{config: o.config()}
	if err := o.Err(); err != nil {
		return nil, err
	}
	s.text = newText(&s.config)
	s.order, s.period = s.places(), s.config.period()
	if err := s.columns(cfg.Columns); err != nil {
		return nil, err
	}
	if o.Has("nexmark.event.num") || o.Has("events.num") {
		for i := range s.cols {
			if s.cols[i].events < s.events {
				return nil, &types.Error{Code: types.CodeOutOfRange, Message: fmt.Sprintf("column %q of type %s is too small for the ids of %d events",
					cfg.Columns[i].Name, s.cols[i].typ, s.events), Hint: "Make it a bigint."}
			}
		}
	}
	for i := range s.cols {
		s.events = min(s.events, s.cols[i].events)
	}
	s.rows = s.before(s.events)
	return s, nil
}

// places lists the rows of a period: the i-th event to arrive is, within its group,
// the one at i*shuffler.
func (c *config) places() []place {
	var out []place
	for i := range c.period() {
		e := i/c.group*c.group + i*shuffler%c.group
		epoch, rem := int32(e/c.total()), e%c.total()
		p := place{arrival: uint32(i), event: uint32(e), person: epoch*int32(c.people) + int32(min(rem, c.people-1))}
		switch {
		case rem < c.people:
			p.kind, p.auction = person, epoch*int32(c.auctions)-1
		case rem < c.people+c.auctions:
			p.kind, p.auction = auction, epoch*int32(c.auctions)+int32(rem-c.people)
		default:
			p.kind, p.auction = bid, (epoch+1)*int32(c.auctions)-1
		}
		if c.kind == all || c.kind == p.kind {
			out = append(out, p)
		}
	}
	return out
}

// before returns how many rows are among the first n events to arrive.
func (s *Source) before(n uint64) uint64 {
	rest := n % s.period
	in := sort.Search(len(s.order), func(i int) bool { return uint64(s.order[i].arrival) >= rest })
	return n/s.period*uint64(len(s.order)) + uint64(in)
}

// Rows returns how many rows there will ever be: those among the first
// nexmark.event.num events.
func (s *Source) Rows() uint64 { return s.rows }

// RowsBefore returns how many rows are among the first n events of all kinds, in
// the order of their arrival.
func (s *Source) RowsBefore(n uint64) uint64 { return min(s.before(min(n, s.events)), s.rows) }

// Arrival returns how many events of all kinds come before row pos.
func (s *Source) Arrival(pos uint64) uint64 {
	n := uint64(len(s.order))
	return pos/n*s.period + uint64(s.order[pos%n].arrival)
}

// Available implements connector.Replayable: an event comes every
// nexmark.min.event.gap.in.ns.
func (s *Source) Available(start, now int64) uint64 {
	if now <= start {
		return 0
	}
	if s.gapNanos == 0 {
		return s.rows
	}
	hi, nanos := bits.Mul64(uint64(now)-uint64(start), 1000)
	if hi >= s.gapNanos {
		return s.rows
	}
	n, _ := bits.Div64(hi, nanos, s.gapNanos)
	return s.RowsBefore(n)
}

// millis returns the event time of event e, in milliseconds since 2000.
func (c *config) millis(e uint64) int64 {
	hi, lo := bits.Mul64(e, 1000)
	if hi >= c.rate {
		return math.MaxInt64 / 4000
	}
	q, _ := bits.Div64(hi, lo, c.rate)
	return c.base + int64(min(q, math.MaxInt64/4000))
}

// chunk is what columns need to know of up to chunkRows consecutive rows.
type chunk struct {
	n       int
	event   [chunkRows]uint64
	person  [chunkRows]uint64 // the last person, counted from 0
	auction [chunkRows]uint64
	kind    [chunkRows]kind
}

// Read implements connector.Replayable.
func (s *Source) Read(from, to uint64, bu *batch.Builder) error {
	if from > to || to > s.rows {
		return fmt.Errorf("nexmark: rows [%d, %d) of %d asked for", from, to, s.rows)
	}
	var c chunk
	for from < to {
		s.prepare(&c, from, min(to-from, chunkRows))
		for i := range s.cols {
			s.cols[i].append(s, &c, bu.Col(i), bu.Len())
		}
		for range c.n {
			bu.EndRow(1)
		}
		from += uint64(c.n)
	}
	return nil
}

// prepare fills c with n rows from the given one on.
func (s *Source) prepare(c *chunk, from, n uint64) {
	c.n = int(n)
	round, at := from/uint64(len(s.order)), int(from%uint64(len(s.order)))
	epochs := s.period / s.total()
	for i := range c.n {
		p := &s.order[at]
		c.event[i] = round*s.period + uint64(p.event)
		c.person[i] = round*epochs*s.people + uint64(int64(p.person))
		c.auction[i] = round*epochs*s.auctions + uint64(int64(p.auction))
		c.kind[i] = p.kind
		if at++; at == len(s.order) {
			at, round = 0, round+1
		}
	}
}

const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64: a bijection whose outputs look random.
// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw maps r, any 64 bits, to [0, n), and returns what is left of its randomness.
func draw(r, n uint64) (uint64, uint64) { return bits.Mul64(r, n) }
