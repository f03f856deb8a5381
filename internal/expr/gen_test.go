package expr

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// TestMain lets the many properties below draw fewer cases each than rapid would.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		if err := flag.Set("rapid.checks", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// sampleTexts are texts that mean something to some function.
var sampleTexts = []string{"", " ", "a", "b", "abc", "aXbXc", "X", "xyx", "Jos\u00e9 \u00c4pfel", "hour", "month", "week", "epoch", "UTC", "America/New_York", "  pad ", "12",
	"-7", "1.5", "t", "true", "2001-02-03", "2001-02-03 04:05:06", "1 day", "a%", "%b_", "a_c", "[a-c]+", "(b)(c)", "YYYY-MM-DD", "999.99", "i", "g", "O'Reilly", "back\\slash", "%s"}

var sampleInts = []int64{0, 1, -1, 2, 3, 5, 7, 10, 31, 100, 255, 2000, 32767, -32768, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}

// sample draws a value of type t that is not NULL.
func sample(rt *rapid.T, t types.Type, label string) types.Value {
	v := types.Value{T: t}
	pick := func(from []string) types.Value {
		v, err := types.Parse(t, rapid.SampledFrom(from).Draw(rt, label), types.Style{})
		if err != nil {
			rt.Fatal(err)
		}
		return v
	}
	switch t.Kind {
	case types.Bool:
		return types.BoolValue(rapid.Bool().Draw(rt, label))
	case types.Int2, types.Int4, types.Int8:
		for v.I = rapid.SampledFrom(sampleInts).Draw(rt, label); !fits(t.Kind, v.I); {
			v.I /= 1 << 16
		}
		return v
	case types.Oid, types.Regclass:
		v.I = int64(rapid.SampledFrom([]uint32{0, 16, 23, 1043, 99999, math.MaxUint32}).Draw(rt, label))
		return v
	case types.Float4:
		v.F = rapid.SampledFrom([]float64{0, 1, -1.5, 0.5, 2, 100, float64(float32(3e38)), 1.401298464324817e-45, math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(rt, label)
		return v
	case types.Float8:
		v.F = rapid.SampledFrom([]float64{0, 1, -1.5, 0.5, 2, 2.5, 100, 1e300, 1e-300, 1e18, math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(rt, label)
		return v
	case types.Numeric:
		return pick([]string{"0", "1", "-1", "0.5", "-2.50", "3", "12345.678", "1e20", "-1e-10", "99999999999999999999999999999999999999999.5", "NaN", "Infinity", "-Infinity"})
	case types.Text, types.Varchar, types.Name, types.Bytea:
		v.S = rapid.SampledFrom(sampleTexts).Draw(rt, label)
		return v
	case types.Char:
		v.S = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, label)
		return v
	case types.Date:
		return pick([]string{"2000-01-01", "2001-02-28", "2004-02-29", "1999-12-31", "0001-01-01", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"})
	case types.Time:
		return pick([]string{"00:00", "04:05:06.789", "23:59:59.999999", "24:00", "12:00"})
	case types.Timestamp, types.TimestampTZ:
		return pick([]string{"2000-01-01 00:00", "2001-02-28 23:59:59.999999", "2004-02-29 12:00", "1999-12-31 05:06:07", "2024-03-10 07:30", "infinity", "-infinity", "294276-12-31 23:59:59", "0044-03-15 BC"})
	case types.Interval:
		return pick([]string{"0", "1 day", "1 mon -3 days 04:05:06", "-1 year", "15 minutes", "-36:00:00", "40 days", "00:00:00.000001", "178000000 years"})
	case types.Array:
		n := rapid.IntRange(0, 3).Draw(rt, label)
		vs := make([]types.Value, n)
		for i := range vs {
			if vs[i] = sample(rt, t.ElemType(), label); rapid.IntRange(0, 4).Draw(rt, label) == 0 {
				vs[i] = types.NullOf(t.ElemType())
			}
		}
		return types.ArrayValue(t.Elem, vs)
	}
	rt.Fatalf("no samples of %s", t)
	return v
}

// concrete gives the argument types that a test calls f with.
func concrete(f *Func) []types.Type {
	out := make([]types.Type, len(f.Args))
	for i, a := range f.Args {
		if out[i] = a; isPseudo(a.Kind) {
			if out[i] = types.T(types.Int4); a.Kind == kindAnyArray {
				out[i] = types.ArrayOf(types.T(types.Int4))
			}
		}
	}
	return out
}

// drawBatch draws a block of n rows with NULLs and a selection, or none.
func drawBatch(rt *rapid.T, ts []types.Type, n int) *batch.Batch {
	bu := batch.NewBuilder(ts)
	nulls := rapid.Bool().Draw(rt, "nulls")
	for range n {
		row := make([]types.Value, len(ts))
		for c, t := range ts {
			if row[c] = sample(rt, t, "v"); nulls && rapid.IntRange(0, 3).Draw(rt, "null") == 0 {
				row[c] = types.NullOf(t)
			}
		}
		bu.AppendRow(row, 1)
	}
	in := bu.Seal()
	if rapid.Bool().Draw(rt, "selected") {
		in.Sel = []uint32{}
		for i := range n {
			if rapid.Bool().Draw(rt, "sel") {
				in.Sel = append(in.Sel, uint32(i))
			}
		}
	}
	return in
}

func testCtx() *Ctx { return &Ctx{Now: 12345678, Random: func() float64 { return 0.25 }} }

// show prints a value or the error of its row.
func show(v types.Value, err error) string {
	if err != nil {
		return "ERROR: " + err.Error()
	}
	if v.Null {
		return "NULL"
	}
	return valueText(v)
}

// rowErrors gives the first error of each row.
func rowErrors(ctx *Ctx) map[int]error {
	m := map[int]error{}
	for _, e := range ctx.Errs {
		if m[e.Row] == nil {
			m[e.Row] = e.Err
		}
	}
	return m
}

// checkRows compares the evaluation of e over in with that of each selected row alone.
func checkRows(rt *rapid.T, p *Program, e Expr, in *batch.Batch) {
	ctx := testCtx()
	var out [1]batch.Column
	p.Eval(ctx, in, out[:])
	errs := rowErrors(ctx)
	one, err := Compile([]Expr{e})
	if err != nil {
		rt.Fatal(err)
	}
	for k, n := 0, in.Len(); k < n; k++ {
		i := in.Row(k)
		bu := batch.NewBuilder(in.Types())
		bu.AppendFrom(in, i, 1)
		c := testCtx()
		var got [1]batch.Column
		one.Eval(c, bu.View(), got[:])
		var alone error
		if len(c.Errs) > 0 {
			alone = c.Errs[0].Err
			if flat(e) && !got[0].Null(0) {
				rt.Fatalf("%s: a row in error is not NULL", e)
			}
		}
		want, have := show(got[0].Value(0), alone), show(out[0].Value(i), errs[i])
		if want != have {
			rt.Fatalf("%s over %v: in a block %s, alone %s", e, in.RowValues(i), have, want)
		}
	}
	for row := range errs {
		if in.Sel != nil && !strings.Contains(fmt.Sprint(in.Sel, " "), fmt.Sprint(row)) {
			rt.Fatalf("%s: error in row %d, which is not selected", e, row)
		}
	}
}

// flat reports whether no argument of e is computed: COALESCE may hide the NULL of
// a row in error.
func flat(e Expr) bool {
	for _, c := range Children(e) {
		if len(Children(c)) > 0 {
			return false
		}
	}
	return true
}

// TestEveryFunctionByRow checks each overload: a block under any selection, with NULLs
// and with constant arguments, gives what each row alone gives.
func TestEveryFunctionByRow(t *testing.T) {
	for _, f := range Funcs() {
		if f.host {
			continue
		}
		check := rapid.MakeCheck(func(rt *rapid.T) {
			ts := concrete(f)
			if f.Variadic {
				ts = append(ts, ts[len(ts)-1])
			}
			ret := f.Ret
			if isPseudo(ret.Kind) {
				if ret.Kind = types.Int4; f.Ret.Kind == kindAnyArray {
					ret = types.ArrayOf(types.T(types.Int4))
				}
			}
			in := drawBatch(rt, ts, rapid.IntRange(0, 5).Draw(rt, "rows"))
			args := make([]Expr, len(ts))
			konst := rapid.IntRange(-3, len(ts)-1).Draw(rt, "constant")
			for i, a := range ts {
				args[i] = Col{Index: i, T: a}
				if i == konst {
					args[i] = Const{V: sample(rt, a, "const")}
				}
			}
			e := &Call{Fn: f, Args: args, T: ret}
			p, err := Compile([]Expr{e})
			if err != nil {
				rt.Fatal(err)
			}
			checkRows(rt, p, e, in)
			checkRows(rt, p, e, drawBatch(rt, ts, rapid.IntRange(0, 5).Draw(rt, "rows again")))
		})
		t.Run(f.Name+"("+typeList(f.Args)+")", check)
	}
}

var castKinds = []types.Kind{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Text, types.Varchar, types.Date,
	types.Time, types.Timestamp, types.TimestampTZ, types.Interval, types.Oid, types.Name, types.Char, types.Regclass, types.Bytea}

// TestEveryCastByRow does the same for conversions between all kinds.
func TestEveryCastByRow(t *testing.T) {
	for _, from := range castKinds {
		for _, to := range castKinds {
			if !types.CanCast(from, to, types.CastExplicit) {
				continue
			}
			t.Run(from.String()+" to "+to.String(), rapid.MakeCheck(func(rt *rapid.T) {
				tt := types.T(to)
				if to == types.Varchar {
					tt.Mod = 4 + int32(rapid.IntRange(1, 6).Draw(rt, "n"))
				} else if to == types.Numeric && rapid.Bool().Draw(rt, "mod") {
					tt.Mod = types.NumericMod(6, 2)
				}
				e := &Cast{Arg: Col{T: types.T(from)}, T: tt, Explicit: rapid.Bool().Draw(rt, "explicit")}
				p, err := Compile([]Expr{e})
				if err != nil {
					rt.Fatalf("%s -> %s: %v", from, to, err)
				}
				checkRows(rt, p, e, drawBatch(rt, []types.Type{types.T(from)}, 4))
			}))
		}
	}
}

// TestNestedByRow checks lazy nodes and predicates over random expressions.
func TestNestedByRow(t *testing.T) {
	i4, b := types.T(types.Int4), types.T(types.Bool)
	cols := []types.Type{i4, i4, types.T(types.Text), b, b}
	var num, cond func(rt *rapid.T, depth int) Expr
	op := func(name string, args ...Expr) Expr { return callOf(name, args...) }
	num = func(rt *rapid.T, depth int) Expr {
		if depth == 0 {
			if rapid.Bool().Draw(rt, "const") {
				return Const{V: sample(rt, i4, "c")}
			}
			return Col{Index: rapid.IntRange(0, 1).Draw(rt, "col"), T: i4}
		}
		switch rapid.IntRange(0, 3).Draw(rt, "num") {
		case 0:
			return op(rapid.SampledFrom([]string{"+", "-", "*", "/", "%"}).Draw(rt, "op"), num(rt, depth-1), num(rt, depth-1))
		case 1:
			c := &Case{T: i4, Whens: []When{{cond(rt, depth-1), num(rt, depth-1)}, {cond(rt, depth-1), num(rt, depth-1)}}}
			if rapid.Bool().Draw(rt, "else") {
				c.Else = num(rt, depth-1)
			}
			return c
		case 2:
			return &Coalesce{T: i4, Args: []Expr{num(rt, depth-1), num(rt, depth-1)}}
		}
		return op("length", &Case{T: types.T(types.Text), Whens: []When{{cond(rt, depth-1), Col{Index: 2, T: types.T(types.Text)}}}, Else: Const{V: types.TextValue("other")}})
	}
	cond = func(rt *rapid.T, depth int) Expr {
		if depth == 0 {
			return Col{Index: rapid.IntRange(3, 4).Draw(rt, "col"), T: b}
		}
		switch rapid.IntRange(0, 6).Draw(rt, "cond") {
		case 0:
			return op(rapid.SampledFrom([]string{"=", "<>", "<", "<=", ">", ">="}).Draw(rt, "cmp"), num(rt, depth-1), num(rt, depth-1))
		case 1:
			return &Logic{Or: rapid.Bool().Draw(rt, "or"), Args: []Expr{cond(rt, depth-1), cond(rt, depth-1), cond(rt, depth-1)}}
		case 2:
			return &Not{Arg: cond(rt, depth-1)}
		case 3:
			return &IsNull{Arg: num(rt, depth-1), Negate: rapid.Bool().Draw(rt, "not")}
		case 4:
			return &IsBool{Arg: cond(rt, depth-1), Want: Truth(rapid.IntRange(0, 2).Draw(rt, "truth")), Negate: rapid.Bool().Draw(rt, "not")}
		case 5:
			return &Distinct{L: num(rt, depth-1), R: num(rt, depth-1), Negate: rapid.Bool().Draw(rt, "not")}
		}
		return &InList{Arg: num(rt, depth-1), List: []types.Value{sample(rt, i4, "in"), sample(rt, i4, "in")}, HasNull: rapid.Bool().Draw(rt, "null"), Negate: rapid.Bool().Draw(rt, "not")}
	}
	rapid.Check(t, func(rt *rapid.T) {
		e := num(rt, 3)
		p, err := Compile([]Expr{e})
		if err != nil {
			rt.Fatal(err)
		}
		in := drawBatch(rt, cols, 6)
		checkRows(rt, p, e, in)
		c := cond(rt, 3)
		if p, err = Compile([]Expr{c}); err != nil {
			rt.Fatal(err)
		}
		checkRows(rt, p, c, in)
		checkPredicate(rt, c, p, in)
	})
}

// checkPredicate compares Select with the rows where the program says true. A
// predicate may skip what a program computes, and so its errors, but not the reverse.
func checkPredicate(rt *rapid.T, c Expr, p *Program, in *batch.Batch) {
	pred, err := CompilePredicate(c)
	if err != nil {
		rt.Fatal(err)
	}
	ctx, pctx := testCtx(), testCtx()
	var out [1]batch.Column
	p.Eval(ctx, in, out[:])
	sel := pred.Select(pctx, in)
	failed, skipped := rowErrors(ctx), rowErrors(pctx)
	for row := range skipped {
		if failed[row] == nil {
			rt.Fatalf("%s: the predicate fails for row %d only", c, row)
		}
	}
	k := 0
	for j, n := 0, in.Len(); j < n; j++ {
		i := in.Row(j)
		picked := k < len(sel) && int(sel[k]) == i
		if picked {
			k++
		}
		if want := !out[0].Null(i) && out[0].U8[i] != 0; want != picked && failed[i] == nil {
			rt.Fatalf("%s over %v: selected %v, value %v", c, in.RowValues(i), picked, out[0].Value(i))
		}
	}
	if k != len(sel) {
		rt.Fatalf("%s: selected %v of %v", c, sel, in.Sel)
	}
}
