// Package datagen is the connector that makes rows up. A row follows from the
// seed and its position alone, so any range can be made again at any time, in any
// order, on any node.
package datagen

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	defaultRate = 10
	maxRate     = 100_000_000
	microsPerS  = 1_000_000
)

// System returns the connector.
func System() connector.System {
	return connector.System{Name: "datagen", Source: func(cfg connector.Config) (any, error) { return New(cfg) }}
}

// Source generates rows. It never changes, so anyone may use it.
type Source struct {
	rate    uint64 // rows a second
	rows    uint64 // how many there will ever be
	created int64
	cols    []column
}

var _ connector.Timed = (*Source)(nil)

// New returns the source that cfg describes. Options: rate, rows, seed, and for a
// column c fields.c.kind, .start, .end, .min, .max, .length, .max_past, .null_rate.
func New(cfg connector.Config) (*Source, error) {
	o := connector.NewOptions("datagen source", cfg.Options)
	if cfg.Format != "" && cfg.Format != "PLAIN" || cfg.Encode != "" && cfg.Encode != "JSON" && cfg.Encode != "NATIVE" {
		return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("datagen source has no FORMAT %s ENCODE %s", cfg.Format, cfg.Encode)}
	}
	for name := range cfg.Encoded {
		o.Failf("", "unknown option %q of ENCODE %s", name, cfg.Encode)
	}
	s := &Source{rows: math.MaxInt64, created: cfg.Created, rate: defaultRate}
	for _, name := range []string{"rate", "rows-per-second", "datagen.rows.per.second"} {
		if o.Has(name) {
			s.rate = uint64(o.Int(name, defaultRate, 1, maxRate))
		}
	}
	for _, name := range []string{"rows", "number-of-rows"} {
		if o.Has(name) {
			s.rows = uint64(o.Int(name, 0, 0, math.MaxInt64))
		}
	}
	seed := uint64(o.Int("seed", 0, math.MinInt64, math.MaxInt64))
	for i, c := range cfg.Columns {
		if c.Generated {
			s.cols = append(s.cols, column{kind: empty})
			continue
		}
		f := field{o: o, name: c.Name, typ: c.Type, cfg: cfg}
		col := f.column()
		col.seed = mix(mix(seed) + uint64(i+1)*golden)
		s.rows = min(s.rows, col.rows)
		s.cols = append(s.cols, col)
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// Available implements connector.Replayable.
func (s *Source) Available(start, now int64) uint64 {
	if now <= start {
		return 0
	}
	elapsed := uint64(now) - uint64(start)
	hi, n := bits.Mul64(elapsed/microsPerS, s.rate)
	more := elapsed % microsPerS * s.rate / microsPerS
	if hi != 0 || n+more < n {
		return s.rows
	}
	return min(n+more, s.rows)
}

// Comes implements connector.Timed.
func (s *Source) Comes(start int64, pos uint64) int64 {
	if pos >= s.rows {
		return math.MaxInt64
	}
	n := pos + 1 // so many rows are there from then on
	hi, lo := bits.Mul64(n%s.rate, microsPerS)
	rest, mod := bits.Div64(hi, lo, s.rate)
	if mod > 0 {
		rest++
	}
	if n/s.rate > uint64(math.MaxInt64-max(start, 0))/microsPerS-1 {
		return math.MaxInt64
	}
	return start + int64(n/s.rate*microsPerS+rest)
}

// at returns the logical time at which the row of that position comes, or an
// instant before: positions divided by the rate.
func (s *Source) at(pos uint64) int64 {
	sec := pos / s.rate
	if sec > 1<<42 { // beyond what a timestamp holds
		sec = 1 << 42
	}
	return s.created + int64(sec)*microsPerS + int64(pos%s.rate*microsPerS/s.rate)
}

// Read implements connector.Replayable.
func (s *Source) Read(from, to uint64, bu *batch.Builder) error {
	if from > to || to > s.rows {
		return fmt.Errorf("datagen: rows [%d, %d) of %d asked for", from, to, s.rows)
	}
	n := bu.Len()
	for i := range s.cols {
		s.cols[i].fill(s, bu.Col(i), n, from, to)
	}
	for range to - from {
		bu.EndRow(1)
	}
	return nil
}

const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64: a bijection whose outputs look random.
// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below maps r, any 64 bits, to [0, n), or to all 64 bits for n = 0.
func below(r, n uint64) uint64 {
	if n == 0 {
		return r
	}
	hi, _ := bits.Mul64(r, n)
	return hi
}

// unit maps r to [0, 1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }
