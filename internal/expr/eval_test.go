package expr

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

func intCols(t *testing.T, rows ...[]any) *batch.Batch {
	t.Helper()
	i4 := types.T(types.Int4)
	bu := batch.NewBuilder([]types.Type{i4, i4})
	for _, r := range rows {
		var vs []types.Value
		for _, x := range r {
			if x == nil {
				vs = append(vs, types.NullOf(i4))
			} else {
				vs = append(vs, types.IntValue(types.Int4, int64(x.(int))))
			}
		}
		bu.AppendRow(vs, 1)
	}
	return bu.Seal()
}

var i4Cols = []Col{{Index: 0, T: types.T(types.Int4), Name: "a"}, {Index: 1, T: types.T(types.Int4), Name: "b"}}

func evalRows(t *testing.T, e Expr, in *batch.Batch) (string, []RowError) {
	t.Helper()
	p, err := Compile([]Expr{e})
	if err != nil {
		t.Fatal(err)
	}
	var ctx Ctx
	var out [1]batch.Column
	p.Eval(&ctx, in, out[:])
	var b []string
	for k := range in.Len() {
		b = append(b, show(out[0].Value(in.Row(k)), nil))
	}
	return strings.Join(b, " "), ctx.Errs
}

// TestLazy checks that errors do not surface for rows that do not reach them.
func TestLazy(t *testing.T) {
	in := intCols(t, []any{0, 1}, []any{2, 10}, []any{nil, 3}, []any{5, nil})
	for _, c := range []struct{ e, want, errs string }{
		{"case when a <> 0 then b / a end", "NULL 5 NULL NULL", ""},
		{"case when a = 0 then 1 / a else b / a end", "NULL 5 NULL NULL", "0"},
		{"a <> 0 and b / a > 1", "f t NULL NULL", ""},
		{"a = 0 or b / a > 1", "t t NULL NULL", ""},
		{"b / a > 1 or a = 0", "t t NULL NULL", "0"},
		{"coalesce(a, 1 / (b - 3))", "0 2 NULL 5", "2"},
		{"coalesce(b, 1 / a)", "1 10 3 0", ""},
		{"b / a", "NULL 5 NULL NULL", "0"},
		{"case when b is null then 2 when false then 1 / 0 end", "NULL NULL NULL 2", ""},
		{"case when a > 100 then 1 / 0 else 7 end", "7 7 7 7", ""},
	} {
		got, errs := evalRows(t, bind(t, c.e, i4Cols...), in)
		var rows []string
		for _, e := range errs {
			rows = append(rows, show(types.IntValue(types.Int4, int64(e.Row)), nil))
			if e.Err.Code != types.CodeDivisionByZero || e.Err.Message != "division by zero" {
				t.Errorf("%s: %v", c.e, e.Err)
			}
		}
		if got != c.want || strings.Join(rows, " ") != c.errs {
			t.Errorf("%s: %s with errors in rows %v; want %s, %s", c.e, got, rows, c.want, c.errs)
		}
	}
}

// TestSelect checks predicates over a selection, and that rows in error are left out.
func TestSelect(t *testing.T) {
	in := intCols(t, []any{0, 1}, []any{2, 10}, []any{nil, 3}, []any{5, nil}, []any{3, 4})
	for _, c := range []struct {
		e    string
		sel  []uint32
		want string
		errs int
	}{
		{"a > 1", nil, "1 3 4", 0},
		{"a > 1 and b < 5", nil, "4", 0},
		{"a > 1 or b = 1", nil, "0 1 3 4", 0},
		{"a > 1 or b = 1", []uint32{0, 2, 3}, "0 3", 0},
		{"10 / a > 1", nil, "1 3 4", 1},
		{"a <> 0 and 10 / a > 1", nil, "1 3 4", 0},
		{"a is null", []uint32{}, "", 0},
		{"a is null or b is null", nil, "2 3", 0},
		{"not a = b", nil, "0 1 4", 0},
		{"true", []uint32{1, 2}, "1 2", 0},
		{"a + b > 5", nil, "1 4", 0},
	} {
		p, err := CompilePredicate(bind(t, c.e, i4Cols...))
		if err != nil {
			t.Fatal(err)
		}
		sub := *in
		sub.Sel = c.sel
		var ctx Ctx
		var got []string
		for _, i := range p.Select(&ctx, &sub) {
			got = append(got, show(types.IntValue(types.Int4, int64(i)), nil))
		}
		if strings.Join(got, " ") != c.want || len(ctx.Errs) != c.errs {
			t.Errorf("%s of %v: %v with %d errors; want %s with %d", c.e, c.sel, got, len(ctx.Errs), c.want, c.errs)
		}
	}
}

// edges lists single values and errors; pg_test.go asks PostgreSQL for
// the same.
var edges = []struct{ e, want string }{
	{"2147483647 + 1", "22003 integer out of range"},
	{"32767::smallint + 1::smallint", "22003 smallint out of range"},
	{"9223372036854775807::bigint + 1::bigint", "22003 bigint out of range"},
	{"9223372036854775807::bigint * 2", "22003 bigint out of range"},
	{"4611686018427387904::bigint * 2::bigint", "22003 bigint out of range"},
	{"4611686018427387903::bigint * 2::bigint", "9223372036854775806"},
	{"- ((-2147483647) - 1)", "22003 integer out of range"},
	{"abs((-2147483647) - 1)", "22003 integer out of range"},
	{"((-2147483647) - 1) / -1", "22003 integer out of range"},
	{"((-2147483647) - 1) % -1", "0"},
	{"1 / 0", "22012 division by zero"},
	{"1 % 0", "22012 division by zero"},
	{"1.5 / 0", "22012 division by zero"},
	{"1.5::double precision / 0::double precision", "22012 division by zero"},
	{"'1e300'::text::double precision * '1e300'::text::double precision", "22003 value out of range: overflow"},
	{"'x'::text::integer", "22P02 invalid input syntax for type integer: \"x\""},
	{"'99999999999'::text::integer", "22003 value \"99999999999\" is out of range for type integer"},
	{"99999999999::bigint::integer", "22003 integer out of range"},
	{"'1e10'::text::double precision::integer", "22003 integer out of range"},
	{"2.5::double precision::integer", "2"},
	{"2.5::numeric::integer", "3"},
	{"-7 / 2", "-3"},
	{"-7 % 3", "-1"},
	{"'abcdef'::varchar(3)", "abc"},
	{"12345.678::numeric(6,2)", "22003 numeric field overflow"},
	{"123.456::numeric(5,1)", "123.5"},
	{"true::text", "true"},
	{"true::integer", "1"},
	{"sqrt(-1::double precision)", "2201F cannot take square root of a negative number"},
	{"ln(0::numeric)", "2201E cannot take logarithm of zero"},
	{"substring('abc', 1, -1)", "22011 negative substring length not allowed"},
	{"substring('abcdef', -1, 4)", "ab"},
	{"split_part('a,b', ',', 0)", "22023 field position must not be zero"},
	{"split_part('a,b,c', ',', -1)", "c"},
	{"chr(0)", "54000 null character not permitted"},
	{"date_trunc('fish', timestamp '2001-01-01 00:00')", "22023 unit \"fish\" not recognized for type timestamp without time zone"},
	{"extract(hour from date '2001-01-01')", "0A000 unit \"hour\" not supported for type date"},
	{"timestamp '2001-01-01 00:00' at time zone 'Nowhere/Land'", "22023 time zone \"Nowhere/Land\" not recognized"},
	{"make_date(2001, 2, 29)", "22008 date field value out of range: 2001-02-29"},
	{"'abc' like 'a\\'", "22025 LIKE pattern must not end with escape character"},
	{"date '2001-01-31' + interval '1 month'", "2001-02-28 00:00:00"},
	{"timestamp '2001-03-31 10:00' - interval '1 month'", "2001-02-28 10:00:00"},
	{"age(timestamp '2001-03-01 00:00', timestamp '2001-01-31 00:00')", "1 mon 1 day"},
	{"timestamptz '2024-03-10 07:30:00+00' at time zone 'America/New_York'", "2024-03-10 03:30:00"},
	{"timestamp '2024-03-10 02:30:00' at time zone 'America/New_York'", "2024-03-10 07:30:00+00"},
	{"timestamp '2024-11-03 01:30:00' at time zone 'America/New_York'", "2024-11-03 06:30:00+00"},
	{"to_char(1234567.891, 'FM9,999,999.00')", "1,234,567.89"},
	{"to_char(0.1, '0.99')", " 0.10"},
	{"to_char(-0.1, '99.99')", "  -.10"},
	{"to_char(485, '9999PR')", "  485 "},
	{"to_char(-485, '9999MI')", " 485-"},
	{"to_char(12, '0000')", " 0012"},
	{"to_char('1000000000'::text::bigint, '999')", " ###"},
	{"to_char(12345, '999')", " ###"},
	{"to_char(timestamp '2001-02-03 16:05:06.789', 'FMMonth FMDDth, YYYY HH12:MI:SS.US PM Day ID IW Q DDD')", ""},
	{"to_char(timestamp '2001-02-03 16:05:06.789', 'Month|DAY|dy|MON|am|cc|WW|J|Y,YYY|YY')", ""},
	{"1 = any (ARRAY[2, NULL])", "NULL"},
	{"1 <> all (ARRAY[2, 3])", "t"},
	{"format('%s %5s|%-5s|%I %L', 'a', 'b', 'c', 'D e', 'it''s')", ""},
	{"'aXbXc' ~ 'X(.)X'", "t"},
	{"power(2.0, 0.5)", "1.4142135623730950"},
	{"power(2, 100)", ""},
	{"power(2.0, 100)", ""},
	{"power(2.0, -3)", ""},
	{"exp(-20.5)", ""},
	{"exp(2000.5)", ""},
	{"power(12345.678, 200.5)", ""},
	{"ln(123456789012345678901234567890.5)", ""},
	{"ln(0.000000001)", ""},
	{"ln(0.99999)", ""},
	{"power(1.0000001, 0.3)", ""},
	{"ln(1.05)", ""},
	{"sqrt(1000000000000000000000000::numeric)", ""},
	{"log(2.0, 10.0)", ""},
	{"round(-2.5)", "-3"},
	{"round(2.5::double precision)", "2"},
	{"width_bucket(10.0, 10.0, 0.0, 5)", ""},
	{"'infinity'::timestamp + interval '1 day'", "infinity"},
	{"interval '1 month' * 1.5::double precision", "1 mon 15 days"},
	{"interval '1 year 2 mons 3 days 04:05:06' / 3.5::double precision", ""},
	{"date_bin('15 minutes', timestamp '2000-12-31 23:59', timestamp '2001-01-01 00:00')", "2000-12-31 23:45:00"},
	{"(ARRAY[1,2])[5]", "NULL"},
	{"ARRAY['1','2']::integer[]", "{1,2}"},
	{"ARRAY[1.5,2]::integer[]", "{2,2}"},
	{"concat(NULL, 'a', 1.50, true)", "a1.50t"},
	{"overlay('abcdef' placing 'X' from 3 for 0)", ""},
	{"lpad('abc', 2)", "ab"},
	{"translate('abc', 'ac', 'x')", ""},
	{"initcap('heLLo wORLD-x 9a')", ""},
	{"regexp_replace('abcabc', 'B', 'x', 'gi')", ""},
	{"'NaN'::double precision = 'NaN'::double precision", "t"},
	{"'NaN'::double precision > 1::double precision", "t"},
	{"-5 << 1", "-10"},
	{"interval '30 days' = interval '1 month'", "t"},
	{"to_hex(-1)", "ffffffff"},
	{"2 ^ 10", "1024"},
	{"gcd(-12, 18)", "6"},
	{"lcm(1000000, 999999)", "22003 integer out of range"},
	{"date '2001-01-01' - 3000000", "22008 date out of range"},
	{"to_date('2001-02-30', 'YYYY-MM-DD')", ""},
	{"to_timestamp('2001-02-03 4:5:6 PM', 'YYYY-MM-DD HH:MI:SS PM')", ""},
	{"repeat('x', -1)", ""},
	{"left('héllo', -1)", "héll"},
	{"position('l' in 'héllo')", "3"},
}

// TestEdges checks those of the cases above whose answer is written down.
func TestEdges(t *testing.T) {
	for _, c := range edges {
		if c.want == "" {
			continue
		}
		if got := edgeText(bind(t, c.e)); got != c.want {
			t.Errorf("%s = %s, want %s", c.e, got, c.want)
		}
	}
}

func edgeText(e Expr) string {
	v, err := EvalConst(&Ctx{Now: 1}, e)
	if err != nil {
		te := err.(*types.Error)
		return te.Code + " " + te.Message
	}
	if !v.Null {
		v.T = e.Type()
	}
	return show(v, nil)
}

// TestAllocs checks that warm programs and predicates do not allocate.
func TestAllocs(t *testing.T) {
	in := intBlock(batch.BlockRows)
	text := batch.Column{Type: types.T(types.Text)}
	for i := range in.N {
		text.AppendStr(i, []byte([]string{" pad ", "abc", "2001-02-03", "x"}[i%4]))
	}
	in.Cols = append(in.Cols, text)
	cols := append([]Col{{Index: 2, T: types.T(types.Text), Name: "s"}}, abCols...)
	var ctx Ctx
	for _, e := range []string{"a + b", "a * 3 - b", "a < b and s <> 'abc'", "case when b <> 0 then a / b else 7 end", "coalesce(a, b)", "upper(s) || a", "btrim(s)",
		"substr(s, 2, 3)", "s like '%b%'", "a::numeric * 1.5", "a::text", "a::double precision / 2.0", "date_trunc('hour', timestamp '2001-01-01 00:00:00')",
		"s ~ '^a'", "length(s)", "abs(a) % 3", "concat(s, a)", "replace(s, 'b', 'xx')"} {
		p, err := Compile([]Expr{bind(t, e, cols...)})
		if err != nil {
			t.Fatal(err)
		}
		out := make([]batch.Column, 1)
		p.Eval(&ctx, in, out)
		if n := testing.AllocsPerRun(5, func() { p.Eval(&ctx, in, out) }); n > 0 {
			t.Errorf("%s: %v allocations a block", e, n)
		}
	}
	p, err := CompilePredicate(bind(t, "a > 10 and (b < 5 or s = 'abc')", cols...))
	if err != nil {
		t.Fatal(err)
	}
	p.Select(&ctx, in)
	if n := testing.AllocsPerRun(5, func() { p.Select(&ctx, in) }); n > 0 {
		t.Errorf("predicate: %v allocations a block", n)
	}
}

type testHost struct{}

func (testHost) Call(name string, args []types.Value) (types.Value, *types.Error) {
	if args[0].I == 13 {
		return types.Value{}, &types.Error{Code: types.CodeUndefinedObject, Message: "no object 13"}
	}
	return types.TextValue(name + " of " + show(args[0], nil)), nil
}

func TestHost(t *testing.T) {
	e := bind(t, "pg_get_viewdef(7::oid)")
	if v, err := EvalConst(&Ctx{Host: testHost{}}, e); err != nil || v.S != "pg_get_viewdef of 7" {
		t.Errorf("%v %v", v, err)
	}
	if _, err := EvalConst(&Ctx{Host: testHost{}}, bind(t, "pg_get_viewdef(13::oid)")); err == nil || err.Error() != "no object 13" {
		t.Errorf("error of the host: %v", err)
	}
	if _, err := EvalConst(&Ctx{}, e); err == nil || err.(*types.Error).Code != types.CodeFeature {
		t.Errorf("without a host: %v", err)
	}
}

func TestRandom(t *testing.T) {
	e := bind(t, "random()")
	if v, err := EvalConst(testCtx(), e); err != nil || v.F != 0.25 {
		t.Errorf("%v %v", v, err)
	}
	if !HasVolatile(e) || IsConst(e) {
		t.Error("random() is volatile")
	}
}

// TestParams checks that parameters and the time are those of each evaluation.
func TestParams(t *testing.T) {
	i4 := types.T(types.Int4)
	p, err := Compile([]Expr{callOf("+", Param{Index: 0, T: i4}, Col{T: i4}), Now{}})
	if err != nil {
		t.Fatal(err)
	}
	in := intCols(t, []any{1, 0}, []any{2, 0})
	out := make([]batch.Column, 2)
	for n := range int64(3) {
		p.Eval(&Ctx{Now: n, Params: []types.Value{types.IntValue(types.Int4, n*10)}}, in, out)
		if out[0].I64[1] != n*10+2 || out[1].I64[1] != n {
			t.Errorf("round %d: %v %v", n, out[0].I64, out[1].I64)
		}
	}
	ctx := Ctx{Params: []types.Value{types.NullOf(i4)}}
	if p.Eval(&ctx, in, out); !out[0].Null(0) {
		t.Error("a NULL parameter")
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"generate_series", "1|5", "1 2 3 4 5"},
		{"generate_series", "5|1|-2", "5 3 1"},
		{"generate_series", "1|0", ""},
		{"generate_series", "1|2|0", "ERROR: step size cannot equal zero"},
		{"generate_series", "2147483646|2147483647", "2147483646 2147483647"},
		{"generate_series", "9223372036854775806::bigint|9223372036854775807::bigint", "9223372036854775806 9223372036854775807"},
		{"generate_series", "1.1|2.0|0.4", "1.1 1.5 1.9"},
		{"generate_series", "timestamp '2001-01-31 00:00'|timestamp '2001-04-01 00:00'|interval '1 month'", "2001-01-31 00:00:00 2001-02-28 00:00:00 2001-03-28 00:00:00"},
		{"unnest", "ARRAY[1,NULL,3]", "1 NULL 3"},
		{"generate_series", "NULL::integer|5", ""},
	} {
		var args []Expr
		for _, a := range strings.Split(c.args, "|") {
			args = append(args, bind(t, a))
		}
		fn, cast, ret, err := ResolveSet(c.name, typesOf(args))
		if err != nil {
			t.Fatal(err)
		}
		cols := make([]batch.Column, len(args))
		for i, a := range args {
			v, err := EvalConst(&Ctx{}, coerce(a, cast[i]))
			if err != nil {
				t.Fatal(err)
			}
			cols[i].Type = cast[i]
			cols[i].AppendValue(0, v)
		}
		for _, size := range []int{1, 2, 100} { // whatever the blocks' size
			var got []string
			for skip, more := 0, true; more; {
				dst := batch.Column{Type: ret}
				var n int
				var e *types.Error
				n, more, e = fn.Expand(&Ctx{}, cols, 0, &dst, 0, skip, size)
				for i := range n {
					got = append(got, show(dst.Value(i), nil))
				}
				if e != nil {
					got = append(got, "ERROR: "+e.Message)
				}
				skip += n
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s(%s) by %d: %s, want %s", c.name, c.args, size, strings.Join(got, " "), c.want)
			}
		}
	}
}

// TestString checks that what computes differently prints differently.
func TestString(t *testing.T) {
	seen := map[string]string{}
	for _, e := range []string{"a", "b", "a + b", "b + a", "a - b", "a + 1", "a + 1::bigint", "a::bigint + 1", "'1'::text", "1", "1.0", "1.00", "a = 1", "not a = 1", "a is null",
		"a is not null", "a = 1 and b = 2", "a = 1 or b = 2", "case when a = 1 then 2 end", "case when a = 1 then 2 else 3 end", "coalesce(a, b)", "length('x')",
		"timestamp '2001-01-01 00:00'", "date '2001-01-01'", "a::numeric(5,2)", "a::numeric", "null", "null::integer", "null::text", "true", "'true'::text"} {
		s := bind(t, e, i4Cols...).String()
		if o, ok := seen[s]; ok || s == "" {
			t.Errorf("%s and %s both print %q", e, o, s)
		}
		seen[s] = e
		if !Equal(bind(t, e, i4Cols...), bind(t, e, i4Cols...)) {
			t.Errorf("%s does not equal itself", e)
		}
	}
	up := Transform(bind(t, "a + b * 2", i4Cols...), func(x Expr) Expr {
		if c, ok := x.(Col); ok {
			c.Index += 10
			return c
		}
		return x
	})
	if got := Columns(up); len(got) != 2 || got[0] != 10 || got[1] != 11 {
		t.Errorf("columns of %s: %v", up, got)
	}
}
