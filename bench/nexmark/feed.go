package nexmark

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	generator "github.com/tidemill/tidemill/internal/connector/nexmark"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// BaseMillis is the event time of the first event, in milliseconds since 1970: two
// minutes before the end of a day, so that days change early on.
const BaseMillis = 1_436_918_280_000

// procDelayMicros is by how much p_time is behind the time of the event.
const procDelayMicros = 3_000_000

// epochMillis is 2000-01-01 in milliseconds since 1970.
const epochMillis = 946_684_800_000

// Feeder generates the events that a query reads. One goroutine uses it.
type Feeder struct {
	streams []*stream
	rate    uint64 // events a second of event time
	events  uint64 // how many there are
	at      uint64 // how many were given
}

// stream is the rows of one table.
type stream struct {
	name    string
	key     string
	src     *generator.Source
	cols    []connector.Column // of the relation
	types   []types.Type
	timeCol int
	procCol int // -1 if there is none
	latest  int64
	next    uint64 // row
	marks   []int64
	blocks  []*batch.Builder // used again in every step
	// Of JSON: the rows as they are written, and what reads them.
	names   []string
	raw     *batch.Builder // all columns
	text    []byte
	decoder *format.JSON
}

// NewFeeder returns a feeder of the streams of p with the columns that keep has. As
// JSON, every event is written with all its columns, and the columns that keep has
// are read from that.
func NewFeeder(p *Pipeline, o Options, keep func(table, column string) bool) (*Feeder, error) {
	f := &Feeder{rate: o.Rate, events: o.Events}
	for _, t := range tables {
		if !slices.Contains(p.reads, t.Name) {
			continue
		}
		s, err := newStream(&t, o, keep)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", t.Name, err)
		}
		s.key = p.key(t.Name)
		f.streams = append(f.streams, s)
	}
	return f, nil
}

func newStream(t *Table, o Options, keep func(table, column string) bool) (*stream, error) {
	s := &stream{name: t.Name, procCol: -1, latest: flow.NoMark}
	cfg := connector.Config{Name: t.Name, Options: map[string]string{
		"nexmark.table.type": t.Kind, "nexmark.event.num": strconv.FormatUint(o.Events, 10), "nexmark.first.event.rate": strconv.FormatUint(o.Rate, 10),
		"nexmark.base.time": strconv.FormatInt(BaseMillis, 10), "nexmark.seed": strconv.FormatInt(o.Seed, 10),
	}}
	var written []types.Type
	var decoded []format.Column
	for _, c := range t.Columns {
		kept := keep(t.Name, c.Name)
		if kept {
			switch c.Name {
			case timeColumn:
				s.timeCol = len(s.cols)
			case procColumn:
				s.procCol = len(s.cols)
			}
			s.cols, s.types = append(s.cols, c), append(s.types, c.Type)
			decoded = append(decoded, format.Column{Name: c.Name, Type: c.Type, Skip: c.Name == procColumn})
		}
		if kept || o.JSON {
			// The connector leaves generated columns to the engine, here us.
			c.Generated = c.Name == procColumn
			cfg.Columns = append(cfg.Columns, c)
			if written = append(written, c.Type); !c.Generated {
				s.names = append(s.names, c.Name)
			}
		}
	}
	src, err := generator.New(cfg)
	if err != nil {
		return nil, err
	}
	s.src = src
	s.marks = slices.Repeat([]int64{flow.NoMark}, len(s.cols))
	if o.JSON {
		s.raw, s.decoder = batch.NewBuilder(written), format.NewJSON(decoded, format.Options{})
	}
	return s, nil
}

// Done reports whether all events were given.
func (f *Feeder) Done() bool { return f.at == f.events }

// Given returns how many events were given.
func (f *Feeder) Given() uint64 { return f.at }

// Now returns the logical time of the step with the events given so far.
func (f *Feeder) Now() int64 { return f.arrival(f.at) }

// arrival is the time at which the n-th event comes, microseconds since 2000.
func (f *Feeder) arrival(n uint64) int64 {
	return (BaseMillis-epochMillis)*1000 + procDelayMicros + int64(n/f.rate*1_000_000+n%f.rate*1_000_000/f.rate)
}

// Next returns the rows of the next n events, or of those that are left. They are
// valid until the next call.
func (f *Feeder) Next(n uint64) ([]flow.Feed, error) {
	f.at += min(n, f.events-f.at)
	feeds := make([]flow.Feed, 0, len(f.streams))
	for _, s := range f.streams {
		feed := flow.Feed{Rel: s.key}
		to := s.src.RowsBefore(f.at)
		for k := 0; s.next < to; k++ {
			if k == len(s.blocks) {
				s.blocks = append(s.blocks, batch.NewBuilder(s.types))
			}
			b, err := f.block(s, s.blocks[k], min(to-s.next, batch.BlockRows))
			if err != nil {
				return nil, fmt.Errorf("stream %s row %d: %w", s.name, s.next, err)
			}
			feed.Blocks = append(feed.Blocks, b)
		}
		if s.latest != flow.NoMark {
			s.marks[s.timeCol] = s.latest - LatenessMicros
		}
		feed.Marks = s.marks
		feeds = append(feeds, feed)
	}
	return feeds, nil
}

// block makes the next n rows of s.
func (f *Feeder) block(s *stream, bu *batch.Builder, n uint64) (*batch.Batch, error) {
	bu.Reset()
	first := s.next
	s.next += n
	if s.decoder == nil {
		if err := s.src.Read(first, s.next, bu); err != nil {
			return nil, err
		}
	} else if err := s.decode(first, bu); err != nil {
		return nil, err
	}
	b := bu.View()
	for _, t := range b.Cols[s.timeCol].I64 {
		s.latest = max(s.latest, t)
	}
	if s.procCol >= 0 {
		c := bu.Col(s.procCol)
		c.Truncate()
		for i := range int(n) {
			c.AppendInt(i, f.arrival(s.src.Arrival(first+uint64(i))))
		}
		b = bu.View()
	}
	return b, nil
}

// decode writes the rows from first on as lines of JSON, and reads them.
func (s *stream) decode(first uint64, bu *batch.Builder) error {
	if err := s.write(first, s.next); err != nil {
		return err
	}
	var bad error
	s.decoder.Decode(s.text, bu, func(b format.Bad) { bad = fmt.Errorf("decode %q: %s", b.Data, b.Reason) })
	return bad
}

func (s *stream) write(first, next uint64) error {
	s.raw.Reset()
	s.text = s.text[:0]
	if err := s.src.Read(first, next, s.raw); err != nil {
		return err
	}
	raw := s.raw.View()
	raw.Cols = raw.Cols[:len(s.names)] // p_time is not written
	for i := range raw.N {
		s.text = append(format.AppendJSONRow(s.text, s.names, raw, i, types.Style{}), '\n')
	}
	return nil
}

// Final returns a feed without rows after which no stream changes, which closes all
// windows.
func (f *Feeder) Final() []flow.Feed {
	var feeds []flow.Feed
	for _, s := range f.streams {
		feeds = append(feeds, flow.Feed{Rel: s.key, Marks: slices.Repeat([]int64{flow.FinalMark}, len(s.cols))})
	}
	return feeds
}

// Generate makes all events as Next does, but for reading JSON, and drops them: what
// a run costs before the system under test has anything to do.
func (f *Feeder) Generate(n uint64) error {
	for !f.Done() {
		if len(f.streams) > 0 && f.streams[0].decoder == nil {
			if _, err := f.Next(n); err != nil {
				return err
			}
			continue
		}
		f.at += min(n, f.events-f.at)
		for _, s := range f.streams {
			for to := s.src.RowsBefore(f.at); s.next < to; {
				first := s.next
				s.next += min(to-first, batch.BlockRows)
				if err := s.write(first, s.next); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
