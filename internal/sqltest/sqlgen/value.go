package sqlgen

import (
	"fmt"
	"math"
	"slices"
)

// kind is a column type.
type kind int

const (
	boolean kind = iota
	int2
	int4
	int8
	float8
	numeric
	text
	date
	timestamp
	interval
	timeOfDay
	timestamptz
	float4
)

var kindNames = [...]string{"boolean", "smallint", "integer", "bigint", "double precision", "numeric", "text", "date", "timestamp", "interval",
	"time", "timestamptz", "real"}

func (k kind) String() string { return kindNames[k] }

// limit is the largest value that arithmetic may reach.
func (k kind) limit() float64 {
	return [...]float64{1, math.MaxInt16, math.MaxInt32, math.MaxInt64 / 2, 1 << 36, 1e15, 1, 1e5, 1e5, 1e4, 0, 0, 0}[k]
}

func (k kind) isInt() bool { return k >= int2 && k <= int8 }

// value is an expression and what is known of it.
type value struct {
	sql string
	k   kind
	// canon: equal values print alike (1.0 = 1.00, 1 day = 24 hours, 0 = -0 do not).
	canon bool
	// size bounds the magnitude; +Inf means no arithmetic.
	size float64
	// exact: a float whose sums need no rounding.
	exact bool
	// plain: a column by its qualified name, which a subquery may refer to from within.
	plain bool
	// varies: it holds a column.
	varies bool
}

var (
	ints   = []kind{int2, int4, int8}
	all    = []kind{boolean, int2, int4, int8, float8, numeric, text, date, timestamp, interval, timeOfDay, timestamptz, float4}
	common = []kind{int4, int4, int8, text, text, numeric, int2, float8, date, timestamp, boolean, interval, int4, text, numeric, timeOfDay, timestamptz, float4}
)

func (g *gen) kind() kind { return pick(g, common...) }

var (
	texts      = []string{"", "a", "b", "ab", "Abc", "a%b", "a_c", "b ", "a longer text than fits in a word"}
	edgeTexts  = []string{"é", "日本", "'", "\\", "a", "A", "NULL", "0", "-1"}
	numerics   = []string{"0.00", "1.00", "1.50", "2.25", "-3.10", "10.00", "99.99"}
	freeNums   = []string{"0", "1", "1.0", "1.00", "2.5", "2.50", "-1", "-1.000", "1234567.125", "100"}
	floats     = []string{"0", "1", "1.5", "-2.25", "0.25", "8", "-1"}
	edgeFloats = []string{"NaN", "Infinity", "-Infinity", "1e300", "-1e-300", "0.1", "3.141592653589793", "1e15", "123456789012345680"}
	dates      = []string{"2001-01-01", "2001-01-02", "2001-01-31", "2000-02-29", "1999-12-31"}
	edgeDates  = []string{"infinity", "-infinity", "0001-01-01", "9999-12-31", "4713-01-01 BC", "2001-01-01"}
	stamps     = []string{"2001-01-01 00:00:00", "2001-01-01 12:30:00", "2001-01-02 00:00:00", "2000-02-29 23:59:59.999999", "1999-12-31 23:00:00.5"}
	edgeStamps = []string{"infinity", "-infinity", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"}
	times      = []string{"00:00:00", "12:30:00", "23:59:59.999999", "24:00:00", "01:02:03.5"}
	zoned      = []string{"2001-01-01 00:00:00+00", "2001-01-01 00:00:00+02", "2000-12-31 22:00:00+00", "2001-06-01 12:00:00.25-05"}
	reals      = []string{"0", "1.5", "-2.25", "0.1", "3.4e38", "NaN", "-1e-30", "16777217"}
	intervals  = []string{"1 day", "24:00:00", "1 mon", "30 days", "02:03:04.5", "-1 day", "00:00:00", "1 year 2 mons", "-1 mon +1 day"}
	edgeInts   = map[kind][]string{int2: {"32767", "-32768", "0", "1"}, int4: {"2147483647", "-2147483648", "0", "1"},
		int8: {"9223372036854775807", "-9223372036854775808", "2147483648", "0", "1"}}
)

// bare returns a value of a kind as written in a string literal, and its size.
func (g *gen) bare(k kind, edge bool) string {
	if edge {
		switch k {
		case int2, int4, int8:
			return pick(g, edgeInts[k]...)
		case float8:
			return pick(g, edgeFloats...)
		case numeric:
			return pick(g, freeNums...)
		case text:
			return pick(g, edgeTexts...)
		case date:
			return pick(g, edgeDates...)
		case timestamp:
			return pick(g, edgeStamps...)
		}
	}
	switch k {
	case boolean:
		return pick(g, "true", "false")
	case int2, int4, int8:
		return fmt.Sprint(pick(g, 1, 2, 3, 0, 4, 5, 10, -1, -7, 20))
	case float8:
		return pick(g, floats...)
	case numeric:
		return pick(g, numerics...)
	case text:
		return pick(g, texts...)
	case date:
		return pick(g, dates...)
	case timestamp:
		return pick(g, stamps...)
	case timeOfDay:
		return pick(g, times...)
	case timestamptz:
		return pick(g, zoned...)
	case float4:
		return pick(g, reals...)
	}
	return pick(g, intervals...)
}

// sizeOf is the size of values that bare makes.
func sizeOf(k kind, edge bool) float64 {
	switch {
	case edge && k != boolean && k != interval && k != numeric:
		return math.Inf(1)
	case edge && k == numeric:
		return 2e6
	case k == numeric:
		return 100
	case k == interval:
		return 500 // days
	case k == timeOfDay || k == timestamptz || k == float4:
		return math.Inf(1)
	}
	return 20
}

// canonical reports whether equal values made by bare print alike.
func canonical(k kind, edge bool) bool {
	return k != interval && (k != numeric || !edge)
}

func quote(s string) string {
	out := []byte{'\''}
	for _, c := range []byte(s) {
		if c == '\'' {
			out = append(out, '\'')
		}
		out = append(out, c)
	}
	return string(append(out, '\''))
}

// cell writes a value for INSERT.
func (g *gen) cell(k kind, edge bool) string {
	s := g.bare(k, edge)
	switch k {
	case boolean, int2, int4, int8:
		return s
	case numeric:
		return s
	}
	return quote(s)
}

// literal writes a constant whose type is k wherever it stands.
func (g *gen) literal(k kind) value {
	v := value{k: k, canon: canonical(k, false), size: sizeOf(k, false), exact: k == float8}
	if g.chance(6) {
		v.sql = "NULL::" + k.String()
		return v
	}
	s := g.bare(k, false)
	switch k {
	case boolean:
		v.sql = s
	case int4:
		v.sql = s
		if s[0] == '-' {
			v.sql = "(" + s + ")"
		}
	case numeric:
		v.sql = s
		if s[0] == '-' {
			v.sql = "(" + s + ")"
		}
	case int2, int8, float8:
		v.sql = "(" + s + ")::" + k.String()
	case text:
		v.sql = quote(s) + "::text"
	default:
		v.sql = k.String() + " " + quote(s)
	}
	return v
}

// canon makes equal values print alike.
func (g *gen) canon(v value) value {
	if v.canon {
		return v
	}
	switch v.k {
	case numeric:
		v.sql = "round(" + v.sql + ", 4)"
	case interval:
		v.sql = "justify_interval(" + v.sql + ")"
	case float8:
		v.sql = "(" + v.sql + " + 0)"
	}
	v.canon, v.plain = true, false
	return v
}

// ofKind returns the values among vs that are of kind k and pass ok.
func ofKind(vs []value, k kind, ok func(value) bool) []value {
	var out []value
	for _, v := range vs {
		if v.k == k && (ok == nil || ok(v)) {
			out = append(out, v)
		}
	}
	return out
}

func without(ks []kind, k kind) []kind {
	return slices.DeleteFunc(slices.Clone(ks), func(x kind) bool { return x == k })
}
