package datagen

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

const (
	defaultLength = 10
	maxLength     = 1 << 16
	defaultScale  = 2
	// maxScale bounds decimals' digits after the point, maxDigits all their digits.
	maxScale  = 15
	maxDigits = 18
	// maxWide is the length of time that options may name.
	maxWide = 100 * 365 * 24 * time.Hour
)

// field reads the options of one column.
type field struct {
	o    *connector.Options
	name string
	typ  types.Type
	cfg  connector.Config
}

// opt returns the full name of the column's option. Names of options come in lower case.
func (f *field) opt(name string) string {
	full := "fields." + f.name + "." + name
	if _, ok := f.cfg.Options[full]; ok {
		return full
	}
	return strings.ToLower(full)
}

func (f *field) column() column {
	g := column{typ: f.typ, rows: math.MaxInt64, unit: 1, step: 1}
	if v := f.o.Str(f.opt("null_rate"), ""); v != "" {
		rate, ok := types.ParseFloatBytes([]byte(strings.TrimSpace(v)))
		if !ok || rate < 0 || rate > 1 {
			f.o.Bad(f.opt("null_rate"), v, "a number from 0 to 1")
		}
		g.nulls = fraction(rate)
		if rate > 0 && f.notNull() {
			f.o.Failf("", "option %q: column %q is NOT NULL", f.opt("null_rate"), f.name)
		}
	}
	word := "random"
	if f.isClock() {
		word = "sequence"
		if f.o.Has(f.opt("max_past")) || f.o.Has(f.opt("min")) || f.o.Has(f.opt("max")) {
			word = "random"
		}
	}
	word = f.o.Word(f.opt("kind"), word, "sequence", "random")
	g.kind = random
	if word == "sequence" {
		g.kind = sequence
	}
	switch f.typ.Layout() {
	case types.LayoutBool:
		f.needRandom(&g)
	case types.LayoutInt:
		f.integers(&g)
	case types.LayoutFloat:
		f.floats(&g)
	case types.LayoutDec:
		f.decimals(&g)
	case types.LayoutIvl:
		f.needRandom(&g)
		f.bounds(&g, "min", "max", 0, 24*3600*microsPerS)
	case types.LayoutStr:
		f.texts(&g)
	default:
		f.unsupported()
	}
	return g
}

func (f *field) notNull() bool {
	for _, c := range f.cfg.Columns {
		if c.Name == f.name {
			return c.NotNull
		}
	}
	return false
}

// fraction returns the threshold below which a share rate of all 64-bit numbers lies.
func fraction(rate float64) uint64 {
	if rate >= 1 {
		return math.MaxUint64
	}
	return uint64(rate * (1 << 53) * (1 << 11))
}

func (f *field) unsupported() {
	f.o.Failf("", "datagen cannot generate column %q of type %s", f.name, f.typ)
}

func (f *field) needRandom(g *column) {
	if g.kind == sequence {
		f.o.Failf("", "option %q: there is no sequence of type %s", f.opt("kind"), f.typ)
	}
}

// isClock reports whether values follow the time at which rows come.
func (f *field) isClock() bool {
	return f.typ.Kind == types.Date || f.typ.Kind == types.Timestamp || f.typ.Kind == types.TimestampTZ
}

// integers reads the options of everything that is an integer inside.
func (f *field) integers(g *column) {
	switch k := f.typ.Kind; {
	case types.IsInteger(k):
		most := map[types.Kind]int64{types.Int2: math.MaxInt16, types.Int4: math.MaxInt32, types.Int8: math.MaxInt64}[k]
		f.sequenceOr(g, 1, most, 0, min(most, math.MaxInt32))
	case k == types.Oid:
		f.sequenceOr(g, 1, math.MaxUint32, 0, math.MaxInt32)
	case k == types.Time:
		f.needRandom(g)
		f.bounds(g, "min", "max", 0, 24*3600*microsPerS-1)
	case f.isClock():
		f.times(g)
	default:
		f.unsupported()
	}
}

// times reads the options of dates and timestamps. A sequence begins at start, or
// when the source was created, and follows the rate; random ones lie up to max_past
// before that, or between min and max.
func (f *field) times(g *column) {
	if f.typ.Kind == types.Date {
		g.unit = 24 * 3600 * microsPerS
	}
	if f.o.Has(f.opt("min")) || f.o.Has(f.opt("max")) {
		if g.kind == sequence || f.o.Has(f.opt("max_past")) {
			f.o.Failf("", "column %q: options min and max go with random values and without max_past", f.name)
		}
		f.bounds(g, "min", "max", f.cfg.Created/g.unit-1, f.cfg.Created/g.unit)
		return
	}
	past := f.o.Duration(f.opt("max_past"), 24*time.Hour, 0, maxWide)
	if g.kind == random {
		g.past = uint64(past / time.Microsecond)
	} else if f.o.Has(f.opt("max_past")) {
		f.o.Failf("", "option %q: a sequence does not look back", f.opt("max_past"))
	}
	g.kind = clock
	if f.o.Has(f.opt("start")) {
		start, ok := f.value("start")
		if ok {
			g.lo = start*g.unit - f.cfg.Created
		}
	}
}

// sequenceOr reads start and end of a sequence, or min and max of random values.
func (f *field) sequenceOr(g *column, start, end, lo, hi int64) {
	if g.kind == random {
		f.bounds(g, "min", "max", lo, hi)
		return
	}
	f.bounds(g, "start", "end", start, end)
	if g.span != 0 && g.span <= math.MaxInt64 {
		g.rows = g.span
	}
}

// bounds reads two values of the column's type, the first not after the second.
func (f *field) bounds(g *column, first, second string, lo, hi int64) {
	given := false
	if v, ok := f.value(first); ok {
		lo, given = v, true
	}
	if v, ok := f.value(second); ok {
		hi = v
	} else if given && hi < lo {
		hi = lo
		if types.IsInteger(f.typ.Kind) {
			hi = map[types.Kind]int64{types.Int2: math.MaxInt16, types.Int4: math.MaxInt32, types.Int8: math.MaxInt64}[f.typ.Kind]
		}
	} else if lo > hi {
		lo = hi
	}
	if lo > hi {
		f.o.Failf("", "option %q is more than option %q", f.opt(first), f.opt(second))
	}
	g.lo, g.span = lo, uint64(hi)-uint64(lo)+1
}

// value reads the option as a value of the column's type, an integer inside.
func (f *field) value(name string) (int64, bool) {
	v, ok := f.parse(name, f.typ)
	if !ok {
		return 0, false
	}
	if f.typ.Kind == types.Interval {
		if v.V.Months != 0 || v.V.Days > 1e6 || v.V.Days < -1e6 || v.V.Micros > 1<<60 || v.V.Micros < -1<<60 {
			f.o.Bad(f.opt(name), f.o.Str(f.opt(name), ""), "an interval of days and times")
		}
		return v.V.Micros + int64(v.V.Days)*24*3600*microsPerS, true
	}
	return v.I, true
}

func (f *field) parse(name string, t types.Type) (types.Value, bool) {
	if !f.o.Has(f.opt(name)) {
		return types.Value{}, false
	}
	text := f.o.Str(f.opt(name), "")
	v, err := types.Parse(t, text, types.Style{})
	finite := err == nil && !math.IsNaN(v.F) && !math.IsInf(v.F, 0) && v.D.IsFinite()
	if f.isClock() && finite {
		finite = v.I > math.MinInt32 && v.I < math.MaxInt32 || f.typ.Kind != types.Date && v.I != types.TimestampNegInf && v.I != types.TimestampPosInf && types.ValidTimestamp(v.I)
	}
	if !finite {
		f.o.Bad(f.opt(name), text, fmt.Sprintf("a finite value of type %s", t))
		return v, false
	}
	return v, true
}

func (f *field) floats(g *column) {
	first, second := "min", "max"
	g.flo, g.fhi = 0, 1
	if g.kind == sequence {
		first, second = "start", "end"
		g.flo, g.fhi = 1, math.MaxFloat64
	}
	if v, ok := f.parse(first, f.typ); ok {
		g.flo = v.F
		g.fhi = max(g.fhi, g.flo)
	}
	if v, ok := f.parse(second, f.typ); ok {
		g.fhi = v.F
		if g.kind == random && !f.o.Has(f.opt(first)) {
			g.flo = min(g.flo, g.fhi)
		}
	}
	if g.flo > g.fhi {
		f.o.Failf("", "option %q is more than option %q", f.opt(first), f.opt(second))
	}
	if n := g.fhi - g.flo + 1; g.kind == sequence && n < 1<<53 {
		g.rows = uint64(n)
	}
}

// decimals reads the options of numeric columns: the values have the scale of the
// type, or that of the bounds.
func (f *field) decimals(g *column) {
	first, second := "min", "max"
	lo, hi := int64(0), int64(1000)
	g.scale = defaultScale
	if g.kind == sequence {
		first, second, g.scale = "start", "end", 0
		lo, hi = 1, math.MaxInt64
	}
	a, hasA := f.parse(first, types.T(types.Numeric))
	b, hasB := f.parse(second, types.T(types.Numeric))
	if hasA && hasB {
		g.scale = max(a.D.Scale, b.D.Scale)
	}
	digits := maxDigits
	if f.typ.Mod != 0 {
		g.scale = int16((f.typ.Mod-4)&0x7ff) << 5 >> 5
		digits = min(digits, int(f.typ.Mod-4)>>16)
	}
	if g.scale < 0 || g.scale > maxScale {
		f.o.Failf("", "datagen cannot generate column %q of type %s: its scale is not from 0 to %d", f.name, f.typ, maxScale)
		return
	}
	unit, limit := power10(int(g.scale)), power10(digits)-1
	lo, hi = min(lo*unit, limit), min(hi, limit/unit)*unit
	if hasA {
		lo = f.coefficient(first, a, unit, limit)
		hi = max(hi, lo)
	}
	if hasB {
		if hi = f.coefficient(second, b, unit, limit); !hasA {
			lo = min(lo, hi)
		}
	}
	if lo > hi {
		f.o.Failf("", "option %q is more than option %q", f.opt(first), f.opt(second))
	}
	g.lo, g.span = lo, uint64(hi)-uint64(lo)+1
	if g.kind == sequence {
		g.step = unit
		g.rows = (uint64(hi)-uint64(lo))/uint64(unit) + 1
	}
}

func power10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// coefficient returns v times unit, which must be a whole number from -limit to limit.
func (f *field) coefficient(name string, v types.Value, unit, limit int64) int64 {
	var arena []byte
	d, err := types.DecMul(v.D, []byte(v.S), types.DecFromInt64(unit), nil, &arena)
	var i int64
	if err == nil {
		i, err = types.DecToInt64Exact(d, arena)
	}
	if err != nil || i > limit || i < -limit {
		f.o.Bad(f.opt(name), f.o.Str(f.opt(name), ""), fmt.Sprintf("a number with the digits of type %s", f.typ))
	}
	return i
}

func (f *field) texts(g *column) {
	switch {
	case f.typ.Kind == types.Bytea:
		f.needRandom(g)
	case !types.IsString(f.typ.Kind):
		f.unsupported()
		return
	}
	if g.kind == sequence {
		g.lo = f.o.Int(f.opt("start"), 1, math.MinInt64, math.MaxInt64)
		end := f.o.Int(f.opt("end"), math.MaxInt64, math.MinInt64, math.MaxInt64)
		if g.lo > end {
			f.o.Failf("", "option %q is more than option %q", f.opt("start"), f.opt("end"))
		}
		if n := uint64(end) - uint64(g.lo) + 1; n != 0 && n <= math.MaxInt64 {
			g.rows = n
		}
		return
	}
	most := int64(maxLength)
	switch {
	case f.typ.Kind == types.Varchar && f.typ.Mod > 4:
		most = min(most, int64(f.typ.Mod-4))
	case f.typ.Kind == types.Name:
		most = types.MaxNameLen
	case f.typ.Kind == types.Char:
		most = 1
	}
	g.length = int(f.o.Int(f.opt("length"), min(defaultLength, most), 0, most))
}
