package types

import (
	"cmp"
	"strings"
)

// Microseconds in the units of time that have a fixed length.
const (
	MicrosPerMilli  = 1000
	MicrosPerSecond = 1000000
	MicrosPerMinute = 60 * MicrosPerSecond
	MicrosPerHour   = 60 * MicrosPerMinute
	MicrosPerDay    = 24 * MicrosPerHour
	daysPerMonth    = 30 // where an interval's months are turned into days
	monthsPerYear   = 12
)

// CompareFloat orders floats as SQL does: NaN equals itself and is above all
// others, -0 equals 0.
func CompareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a == a: // b is NaN
		return -1
	case b == b:
		return 1
	}
	return 0
}

// span is the length of v in microseconds, a month taken for 30 days.
func (v IntervalVal) span() Int128 {
	s := MulInt64(int64(v.Months)*daysPerMonth+int64(v.Days), MicrosPerDay)
	s, _ = s.AddInt64(v.Micros)
	return s
}

// CompareIvl orders intervals by length, a month taken for 30 days and a day for 24 hours.
func CompareIvl(a, b IntervalVal) int {
	if a.Months == b.Months && a.Days == b.Days {
		return cmp.Compare(a.Micros, b.Micros)
	}
	return a.span().Cmp(b.span())
}

// Compare orders two values of one layout as SQL does, text by its bytes (collation
// C). NULL equals NULL and comes after everything else.
func Compare(a, b Value) int {
	if a.Null || b.Null {
		switch {
		case a.Null && b.Null:
			return 0
		case a.Null:
			return 1
		}
		return -1
	}
	switch a.T.Layout() {
	case LayoutBool, LayoutInt:
		return cmp.Compare(a.I, b.I)
	case LayoutFloat:
		return CompareFloat(a.F, b.F)
	case LayoutDec:
		return CompareDec(a.D, arenaOf(a), b.D, arenaOf(b))
	case LayoutIvl:
		return CompareIvl(a.V, b.V)
	case LayoutStr:
		if a.T.Kind == Array && b.T.Kind == Array {
			return CompareArray([]byte(a.S), []byte(b.S))
		}
		if a.T.Kind == Record && b.T.Kind == Record {
			return CompareRecord([]byte(a.S), []byte(b.S))
		}
		return strings.Compare(a.S, b.S)
	}
	return 0
}

// Equal reports whether two values of one layout are equal, NULL being equal to NULL.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }
