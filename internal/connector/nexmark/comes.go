package nexmark

import (
	"math"
	"math/bits"

	"github.com/tidemill/tidemill/internal/connector"
)

var _ connector.Timed = (*Source)(nil)

// Comes implements connector.Timed: the inverse of Available.
func (s *Source) Comes(start int64, pos uint64) int64 {
	if pos >= s.rows {
		return math.MaxInt64
	}
	// Row pos is there once that many events have come.
	hi, lo := bits.Mul64(s.Arrival(pos)+1, s.gapNanos)
	if hi >= 1000 {
		return math.MaxInt64
	}
	micros, rest := bits.Div64(hi, lo, 1000)
	if rest > 0 {
		micros++
	}
	if s.gapNanos == 0 {
		micros = 1 // Available says so of any time after start
	}
	if micros > uint64(math.MaxInt64-max(start, 0)) {
		return math.MaxInt64
	}
	return start + int64(micros)
}
