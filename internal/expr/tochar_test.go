package expr

import (
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// TestToCharRows: the text of a row does not depend on the row before it.
func TestToCharRows(t *testing.T) {
	in := &batch.Batch{Cols: []batch.Column{{Type: types.T(types.Timestamp)}}}
	for _, base := range []int64{0, 490_147_140_000_000, -70_000_000_000_000_000, 490_147_140_000_000} {
		for _, step := range []int64{0, 1, -1, 999, types.MicrosPerSecond, types.MicrosPerMinute - 1, types.MicrosPerMinute, types.MicrosPerHour, -types.MicrosPerHour,
			12 * types.MicrosPerHour, types.MicrosPerDay - 1, types.MicrosPerDay, 40 * types.MicrosPerDay} {
			in.Cols[0].I64 = append(in.Cols[0].I64, base+step, base+step)
			in.N += 2
		}
	}
	for _, picture := range []string{"YYYY-MM-DD", "HH24:MI", "HH12 am", "MI", "YYYY-MM-DD HH24:MI:SS", "SSSS", "MS", "US", "FF2", "Day DDth FMMonth", "J IW", "x", "YYYY TZ"} {
		col := Col{Index: 0, T: in.Cols[0].Type, Name: "t"}
		text := "to_char(t, '" + picture + "')"
		whole := evalColumn(t, bind(t, text, col), in)
		for i := range in.N {
			one := &batch.Batch{N: 1, Cols: []batch.Column{{Type: in.Cols[0].Type, I64: in.Cols[0].I64[i : i+1]}}}
			if got, want := string(whole.StrAt(i)), string(evalColumn(t, bind(t, text, col), one).StrAt(0)); got != want {
				t.Fatalf("%s row %d, %d: %q, alone %q", text, i, in.Cols[0].I64[i], got, want)
			}
		}
	}
}

func evalColumn(t *testing.T, e Expr, in *batch.Batch) *batch.Column {
	t.Helper()
	prog, err := Compile([]Expr{e})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]batch.Column, 1)
	var ctx Ctx
	prog.Eval(&ctx, in, out)
	if len(ctx.Errs) > 0 {
		t.Fatal(ctx.Errs[0])
	}
	return &out[0]
}

func BenchmarkToChar(b *testing.B) {
	in := &batch.Batch{N: batch.BlockRows, Cols: []batch.Column{{Type: types.T(types.Timestamp)}}}
	for i := range in.N {
		in.Cols[0].I64 = append(in.Cols[0].I64, 490_147_140_000_000+int64(i)*types.MicrosPerSecond/10)
	}
	prog, err := Compile([]Expr{bind(b, "to_char(t, 'HH24:MI')", Col{Index: 0, T: in.Cols[0].Type, Name: "t"})})
	if err != nil {
		b.Fatal(err)
	}
	out := make([]batch.Column, 1)
	var ctx Ctx
	b.ReportAllocs()
	for b.Loop() {
		prog.Eval(&ctx, in, out)
	}
	b.ReportMetric(float64(in.N)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
