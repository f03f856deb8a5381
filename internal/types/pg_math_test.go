package types_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/types"
)

var (
	stamps = []string{"2001-02-16 20:38:40.123456", "1999-12-31 23:59:59.999999", "2000-01-01 00:00:00", "2004-02-29 12:00:00", "0001-01-01 00:00:00", "0044-03-15 12:00:00 BC",
		"0001-12-31 23:00:00 BC", "1970-01-01 00:00:00", "1969-12-31 23:59:59.5", "2024-12-30 00:00:00", "2021-01-03 05:06:07", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "2021-03-14 08:30:00", "2021-11-07 05:30:00"}
	intervals = []string{"1 day", "1 mon", "-1 mon", "1 year 2 mons 3 days 04:05:06.789", "-1 year -2 mons +3 days -04:05:06.789", "30 days 24:00:00", "1 mon 40 days 50:00:00", "-1 mon +40 days -50:00:00", "100000 years", "0.000001 s",
		"2147483647 days", "35 days -1 s", "1 mon -1 s", "-35 days 1 s", "11 years", "1234 years 5 mons", "00:00:00", "2562047788:00:54.775807"}
	fields = []string{"microseconds", "milliseconds", "second", "minute", "hour", "day", "month", "quarter", "week", "year", "isoyear", "decade", "century", "millennium", "julian", "dow", "isodow", "doy", "epoch", "timezone", "timezone_hour", "timezone_minute", "foo"}
)

func mustParse(t testing.TB, k types.Kind, s string) types.Value {
	t.Helper()
	v, err := types.Parse(types.T(k), s, types.Style{})
	if err != nil {
		t.Fatalf("%s %q: %v", k, s, err)
	}
	return v
}

func text(k types.Kind, v types.Value, err error) string {
	v.T = types.T(k)
	return describe(string(types.AppendText(nil, v, types.Style{})), err)
}

func ts(k types.Kind, x int64, err error) string { return text(k, types.Value{I: x}, err) }

func ivl(v types.IntervalVal, err error) string { return text(types.Interval, types.Value{V: v}, err) }

// same compares what we got with what PostgreSQL answers to a query.
func same(t *testing.T, ask func(string) string, got, query string, args ...any) {
	t.Helper()
	q := fmt.Sprintf(query, args...)
	if want := ask(q); got != want {
		t.Errorf("%s:\n got %s\nwant %s", q, got, want)
	}
}

func asker(t *testing.T) func(string) string {
	c := pgtest.Connect(t)
	return func(q string) string { return describePG(pgtest.Query(t, c, "SELECT "+q)) }
}

func TestTimesAgainstPostgres(t *testing.T) {
	ask := asker(t)
	ny := zone("America/New_York")
	for _, s := range stamps {
		x := mustParse(t, types.Timestamp, s).I
		for _, f := range fields {
			extractLikePostgres(t, ask, s, x, f, ny)
		}
		for _, i := range intervals {
			v := mustParse(t, types.Interval, i).V
			a, err := types.AddInterval(x, v)
			same(t, ask, ts(types.Timestamp, a, err), "timestamp '%s' + interval '%s'", s, i)
			a, err = types.SubInterval(x, v)
			same(t, ask, ts(types.Timestamp, a, err), "timestamp '%s' - interval '%s'", s, i)
		}
		for _, o := range stamps {
			y := mustParse(t, types.Timestamp, o).I
			d, err := types.DiffTimestamps(x, y)
			if err != nil && strings.Contains(s+o, "294276") {
				continue // PostgreSQL 15 does not notice that the difference overflows
			}
			same(t, ask, ivl(d, err), "timestamp '%s' - timestamp '%s'", s, o)
			if strings.Contains(s+o, "infinity") {
				continue // age overflows there in PostgreSQL 15; we say so
			}
			d, err = types.Age(x, y)
			same(t, ask, ivl(d, err), "age(timestamp '%s', timestamp '%s')", s, o)
		}
		a, err := types.TimestampInZone(x, ny)
		same(t, ask, ts(types.Timestamp, a, err), "timestamptz '%s UTC' AT TIME ZONE 'America/New_York'", s)
		a, err = types.TimestampFromZone(x, ny)
		same(t, ask, ts(types.TimestampTZ, a, err), "timestamp '%s' AT TIME ZONE 'America/New_York'", s)
	}
	b, err := types.BinTimestamp(types.IntervalVal{Micros: 15 * types.MicrosPerMinute}, mustParse(t, types.Timestamp, stamps[0]).I, mustParse(t, types.Timestamp, "2030-01-01 00:02:30").I)
	same(t, ask, ts(types.Timestamp, b, err), "date_bin('15 minutes', timestamp '%s', timestamp '2030-01-01 00:02:30')", stamps[0])
	for _, d := range [][3]int64{{2001, 2, 29}, {2004, 2, 29}, {-44, 3, 15}, {0, 1, 1}, {1, 1, 1}, {5874898, 1, 1}, {-4800, 1, 1}, {2001, 13, 1}} {
		x, err := types.MakeDate(d[0], d[1], d[2])
		same(t, ask, ts(types.Date, x, err), "make_date(%d, %d, %d)", d[0], d[1], d[2])
	}
	for _, d := range []struct {
		h, m int64
		s    float64
	}{{1, 2, 3.5}, {24, 0, 0}, {24, 0, 0.1}, {23, 59, 60}, {1, 60, 0}, {8, 15, 23.5}, {25, 1, 2.5}} {
		x, err := types.MakeTime(d.h, d.m, d.s)
		same(t, ask, ts(types.Time, x, err), "make_time(%d, %d, %v)", d.h, d.m, d.s)
	}
}

func extractLikePostgres(t *testing.T, ask func(string) string, s string, x int64, name string, loc *time.Location) {
	t.Helper()
	f, known := types.ParseField(name)
	if name == "epoch" && strings.HasPrefix(s, "294276") {
		return // PostgreSQL rounds to whole seconds there; we do not
	}
	num := func(k types.Kind, d types.Decimal, null, ok bool) string {
		switch {
		case !known || !ok:
			return describe("", types.ErrField(name, k))
		case null:
			return "NULL"
		}
		return string(types.AppendDecimal(nil, d, nil))
	}
	d, null, ok := types.ExtractTimestamp(f, x)
	same(t, ask, num(types.Timestamp, d, null, ok), "extract(%s FROM timestamp '%s')", name, s)
	zoned := s
	if !strings.Contains(s, "infinity") {
		zoned = s + " UTC"
	}
	ask("set_config('timezone', 'America/New_York', false)")
	d, null, ok = types.ExtractTimestampTZ(f, x, loc)
	same(t, ask, num(types.TimestampTZ, d, null, ok), "extract(%s FROM timestamptz '%s')", name, zoned)
	if known {
		z, ok, err := types.TruncTimestampTZ(f, x, loc)
		if !ok {
			err = types.ErrTruncField(name, types.TimestampTZ)
		}
		got := describe(string(types.AppendText(nil, types.IntValue(types.TimestampTZ, z), types.Style{Location: loc})), err)
		same(t, ask, got, "date_trunc('%s', timestamptz '%s')", name, zoned)
	}
	ask("set_config('timezone', 'UTC', false)")
	if !known {
		return
	}
	z, ok, err := types.TruncTimestamp(f, x)
	if !ok {
		err = types.ErrTruncField(name, types.Timestamp)
	}
	same(t, ask, ts(types.Timestamp, z, err), "date_trunc('%s', timestamp '%s')", name, s)
	day := types.TimestampToDate(x)
	d, null, ok = types.ExtractDate(f, day)
	same(t, ask, num(types.Date, d, null, ok), "extract(%s FROM date '%s')", name, ts(types.Date, day, nil))
	if tod, fin := types.TimestampTimeOfDay(x); fin {
		d, ok = types.ExtractTime(f, tod)
		same(t, ask, num(types.Time, d, false, ok), "extract(%s FROM time '%s')", name, ts(types.Time, tod, nil))
	}
}

func TestIntervalsAgainstPostgres(t *testing.T) {
	ask := asker(t)
	for _, s := range intervals {
		v := mustParse(t, types.Interval, s).V
		for _, name := range fields {
			f, known := types.ParseField(name)
			got := ""
			if d, ok := types.ExtractInterval(f, v); known && ok {
				got = string(types.AppendDecimal(nil, d, nil))
			} else {
				got = describe("", types.ErrField(name, types.Interval))
			}
			same(t, ask, got, "extract(%s FROM interval '%s')", name, s)
			if w, ok := types.TruncInterval(f, v); known && ok {
				same(t, ask, ivl(w, nil), "date_trunc('%s', interval '%s')", name, s)
			}
		}
		w, err := types.JustifyHours(v)
		same(t, ask, ivl(w, err), "justify_hours(interval '%s')", s)
		w, err = types.JustifyDays(v)
		same(t, ask, ivl(w, err), "justify_days(interval '%s')", s)
		w, err = types.JustifyInterval(v)
		same(t, ask, ivl(w, err), "justify_interval(interval '%s')", s)
		for _, f := range []float64{2, 0.5, 1.0 / 3, -1.7, 0.1, 1e10, 0} {
			w, err = types.MulInterval(v, f)
			same(t, ask, ivl(w, err), "interval '%s' * float8 '%v'", s, f)
			w, err = types.DivInterval(v, f)
			same(t, ask, ivl(w, err), "interval '%s' / float8 '%v'", s, f)
		}
		for _, o := range intervals {
			u := mustParse(t, types.Interval, o).V
			w, err = types.AddIntervals(v, u)
			same(t, ask, ivl(w, err), "interval '%s' + interval '%s'", s, o)
			w, err = types.SubIntervals(v, u)
			same(t, ask, ivl(w, err), "interval '%s' - interval '%s'", s, o)
			same(t, ask, fmt.Sprint(types.CompareIvl(v, u)), "interval_cmp('%s', '%s')", s, o)
		}
	}
}

var numbers = []string{"0", "0.00", "1", "-1", "1.10", "3", "7.000", "0.001", "-0.0001", "123456789.987654321", "99999999999999999999", "1e30", "-1e-20", "170141183460469231731687303715884105727",
	"1e45", "12345678901234567890123456789012345678901234567890.5", "9999.9999", "10000", "0.9999", "NaN", "Infinity", "-Infinity", "2.5", "-2.5", "1e-40", "20000.00001", "33333333333.333"}

func TestDecimalsAgainstPostgres(t *testing.T) {
	ask := asker(t)
	ops := []struct {
		sql string
		op  decOp
	}{{"+", types.DecAdd}, {"-", types.DecSub}, {"*", types.DecMul}, {"/", types.DecDiv}, {"%%", types.DecMod}}
	for _, a := range numbers {
		x, xa := dec(t, a)
		for _, b := range numbers {
			y, ya := dec(t, b)
			for _, op := range ops {
				arena := []byte("junk")
				r, err := op.op(x, xa, y, ya, &arena)
				same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "numeric '%s' "+op.sql+" numeric '%s'", a, b)
			}
			var arena []byte
			r, err := types.DecDivTrunc(x, xa, y, ya, &arena)
			same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "div(numeric '%s', numeric '%s')", a, b)
			same(t, ask, fmt.Sprint(types.CompareDec(x, xa, y, ya)), "numeric_cmp('%s', '%s')", a, b)
		}
		unaryLikePostgres(t, ask, a)
	}
	for _, f := range []string{"0.1", "1e15", "123456789012345678", "1e-10", "3.14159265358979", "1e300", "-0", "NaN", "inf", "1.5e-300", "123456.789"} {
		v := mustParse(t, types.Float8, f)
		var arena []byte
		d, err := types.DecFromFloat64(v.F, &arena)
		same(t, ask, describe(string(types.AppendDecimal(nil, d, arena)), err), "float8 '%s'::numeric", f)
		if f == "1e300" || f == "1.5e-300" {
			continue
		}
		v = mustParse(t, types.Float4, f)
		arena = nil
		d, err = types.DecFromFloat4(v.F, &arena)
		same(t, ask, describe(string(types.AppendDecimal(nil, d, arena)), err), "float4 '%s'::numeric", f)
	}
}

func unaryLikePostgres(t *testing.T, ask func(string) string, a string) {
	t.Helper()
	x, xa := dec(t, a)
	for _, op := range []struct {
		sql string
		op  func(types.Decimal, []byte, *[]byte) (types.Decimal, error)
	}{{"-(numeric '%s')", types.DecNeg}, {"abs(numeric '%s')", types.DecAbs}, {"ceil(numeric '%s')", types.DecCeil}, {"floor(numeric '%s')", types.DecFloor}, {"trim_scale(numeric '%s')", types.DecTrimScale}} {
		var arena []byte
		r, err := op.op(x, xa, &arena)
		if op.sql[0] == 't' && len(arena) == 0 {
			arena = xa
		}
		same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), op.sql, a)
	}
	for _, s := range []int{0, 2, 5, -1, -3, 50} {
		var arena []byte
		r, err := types.DecRound(x, xa, s, &arena)
		same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "round(numeric '%s', %d)", a, s)
		arena = nil
		r, err = types.DecTrunc(x, xa, s, &arena)
		same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "trunc(numeric '%s', %d)", a, s)
	}
	for _, k := range []types.Kind{types.Int2, types.Int4, types.Int8} {
		n, err := types.DecToInt(k, x, xa)
		same(t, ask, describe(fmt.Sprint(n), err), "(numeric '%s')::%s", a, k.TypName())
	}
	f, err := types.DecToFloat64(x, xa)
	same(t, ask, describe(string(types.AppendFloat8(nil, f)), err), "(numeric '%s')::float8", a)
	f, err = types.DecToFloat4(x, xa)
	same(t, ask, describe(string(types.AppendFloat4(nil, f)), err), "(numeric '%s')::float4", a)
}

// TestBinaryAgainstPostgres compares binary forms with the server's send functions.
func TestBinaryAgainstPostgres(t *testing.T) {
	ask := asker(t)
	check := func(typ types.Type, s string) {
		v, err := types.Parse(typ, s, types.Style{})
		if err != nil {
			return
		}
		got := types.AppendBinary(nil, v)
		send := map[types.Kind]string{types.Timestamp: "timestamp_send", types.TimestampTZ: "timestamptz_send", types.Date: "date_send", types.Time: "time_send", types.Interval: "interval_send",
			types.Numeric: "numeric_send", types.Name: "namesend", types.Array: "array_send"}[typ.Kind]
		if send == "" {
			send = typ.TypName() + "send"
		}
		same(t, ask, fmt.Sprintf("\\x%x", got), "%s(%s::%s)", send, quote(s), typ.String())
		back, err := types.ParseBinary(typ, got)
		if err != nil || types.Compare(v, back) != 0 || text(typ.Kind, v, nil) != text(typ.Kind, back, nil) && typ.Kind != types.Array {
			t.Errorf("%s %q: read back as %+v (%v)", typ, s, back, err)
		}
	}
	for kind, cases := range textCases {
		for _, s := range cases {
			check(types.T(kind), s)
		}
	}
	for _, s := range numbers {
		check(types.T(types.Numeric), s)
	}
	for _, s := range arrays {
		check(types.ArrayOf(types.T(types.Text)), s)
	}
	check(types.ArrayOf(types.T(types.Int4)), "{1,NULL,-3}")
	check(types.ArrayOf(types.T(types.Numeric)), "{1.10,NULL,1e50}")
}

var arrays = []string{"{}", "{a}", `{a,"b c",NULL}`, `{"NULL","","\\","\"","{","}",","," x "}`, `{ a , b c ,  "d" }`, `{a\,b}`, "{null,nUll}", "a", "{a", "{a,}", "{,a}", `{"a}`, "{a}}", `{"a"b}`, "", " { } ", "{a} ", "{a} x", `{é, "ü"}`}

func TestArraysAgainstPostgres(t *testing.T) {
	ask := asker(t)
	for _, s := range arrays {
		v, err := types.Parse(types.ArrayOf(types.T(types.Text)), s, types.Style{})
		same(t, ask, describe(string(types.AppendText(nil, v, types.Style{})), err), "%s::text[]", quote(s))
	}
	for _, s := range []string{"{1,2,NULL}", "{1,x}", "{99999999999}", `{"1"," 2"}`} {
		v, err := types.Parse(types.ArrayOf(types.T(types.Int4)), s, types.Style{})
		same(t, ask, describe(string(types.AppendText(nil, v, types.Style{})), err), "%s::int[]", quote(s))
	}
	rec := types.RecordValue([]types.Value{types.IntValue(types.Int4, 1), types.TextValue("a b"), types.NullOf(types.T(types.Text)), types.TextValue(""), types.TextValue(`q"\`)})
	same(t, ask, string(types.AppendText(nil, rec, types.Style{})), `ROW(1, 'a b'::text, NULL::text, '', E'q"\\')`)
}

// TestCatalogAgainstPostgres checks names, identifiers, categories and casts.
func TestCatalogAgainstPostgres(t *testing.T) {
	ask := asker(t)
	for k := types.Kind(0); k < types.NumKinds; k++ {
		if k == types.Unknown || k == types.Array {
			continue
		}
		oid := types.OID(types.T(k))
		same(t, ask, fmt.Sprintf("%s %s %d %d %c %v", k, k.TypName(), types.TypeLen(types.T(k)), types.ArrayOID(k), types.Category(k), boolText(types.IsPreferred(k))),
			"format_type(oid, NULL) || ' ' || typname || ' ' || typlen || ' ' || typarray || ' ' || typcategory::text || ' ' || typispreferred FROM pg_type WHERE oid = %d", oid)
		if back, ok := types.FromOID(oid); !ok || back != types.T(k) {
			t.Errorf("FromOID(%d) = %v", oid, back)
		}
		for to := types.Kind(1); to < types.NumKinds; to++ {
			if to == k || to == types.Array || to == types.Void || to == types.Record || k == types.Void || k == types.Record {
				continue
			}
			got := "n"
			for ctx, c := range []string{"i", "a", "e"} {
				if types.CanCast(k, to, types.CastContext(ctx)) {
					got = c
					break
				}
			}
			// Without an entry, casts to strings are by assignment and from them explicit.
			fallback := "n"
			if types.Category(to) == 'S' {
				fallback = "a"
			} else if types.Category(k) == 'S' {
				fallback = "e"
			}
			want := ask(fmt.Sprintf("coalesce((SELECT castcontext::text FROM pg_cast WHERE castsource = %d AND casttarget = %d), '%s')", oid, types.OID(types.T(to)), fallback))
			if got != want {
				t.Errorf("cast %s to %s: got %s, want %s", k, to, got, want)
			}
		}
	}
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
