package expr

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

func intBlock(n int) *batch.Batch {
	in := &batch.Batch{N: n, Cols: []batch.Column{{Type: types.T(types.Int8)}, {Type: types.T(types.Int8)}}}
	x := uint64(88172645463325252)
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		in.Cols[0].I64 = append(in.Cols[0].I64, int64(x%20))
		in.Cols[1].I64 = append(in.Cols[1].I64, int64(x>>32%10))
	}
	return in
}

var abCols = []Col{{Index: 0, T: types.T(types.Int8), Name: "a"}, {Index: 1, T: types.T(types.Int8), Name: "b"}}

func benchFilterProject(b *testing.B, pred string, exprs ...string) {
	in := intBlock(batch.BlockRows)
	p, err := CompilePredicate(bind(b, pred, abCols...))
	if err != nil {
		b.Fatal(err)
	}
	var es []Expr
	for _, e := range exprs {
		es = append(es, bind(b, e, abCols...))
	}
	prog, err := Compile(es)
	if err != nil {
		b.Fatal(err)
	}
	out := make([]batch.Column, len(es))
	var ctx Ctx
	b.ReportAllocs()
	for b.Loop() {
		sub := *in
		sub.Sel = p.Select(&ctx, in)
		prog.Eval(&ctx, &sub, out)
	}
	b.ReportMetric(float64(batch.BlockRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkFilterProject(b *testing.B) {
	b.Run("half", func(b *testing.B) { benchFilterProject(b, "a > 10 and b < 5", "a + b", "a * 3") })
	b.Run("all", func(b *testing.B) { benchFilterProject(b, "a >= 0 and b < 50", "a + b", "a * 3") })
}

func benchProject(b *testing.B, e string, cols ...Col) {
	in := intBlock(batch.BlockRows)
	prog, err := Compile([]Expr{bind(b, e, abCols...)})
	if err != nil {
		b.Fatal(err)
	}
	out := make([]batch.Column, 1)
	var ctx Ctx
	b.ReportAllocs()
	for b.Loop() {
		prog.Eval(&ctx, in, out)
	}
	b.ReportMetric(float64(batch.BlockRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkProject(b *testing.B) {
	for _, e := range []string{"a + b", "a * 3", "a * b", "a < b", "a / 7", "case when b <> 0 then a / b end", "a::numeric + b::numeric", "a::text",
		"a::double precision * 0.5::double precision"} {
		b.Run(e, func(b *testing.B) { benchProject(b, e) })
	}
}
