package flow

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemill/tidemill/internal/state"
)

// drawFloat draws floats whose sums are hard: of all sizes, and some that cancel.
func drawFloat(r *rand.Rand, spread int) float64 {
	switch r.IntN(12) {
	case 0:
		return 0
	case 1:
		return math.Float64frombits(r.Uint64N(1 << 52)) // denormal
	case 2:
		return math.MaxFloat64 * (r.Float64() - 0.5)
	}
	return math.Ldexp(r.Float64()-0.5, r.IntN(2*spread+1)-spread)
}

// wantSum rounds the exact sum once, by way of math/big.
func wantSum(fs []float64, single bool) float64 {
	sum := new(big.Float).SetPrec(4000)
	for _, f := range fs {
		sum.Add(sum, new(big.Float).SetFloat64(f))
	}
	if single {
		f, _ := sum.Float32()
		return float64(f)
	}
	f, _ := sum.Float64()
	return f
}

func TestExactSumEqualsBigFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		spread := rapid.SampledFrom([]int{3, 40, 100, 200, 900}).Draw(t, "spread")
		x := newExactSums(state.NewMemory(0, nil, nil))
		var w [exactWords]uint64
		var fs []float64
		for range rapid.IntRange(1, 60).Draw(t, "values") {
			if len(fs) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(fs))
				x.add(w[:], fs[i], -1)
				fs[i] = fs[len(fs)-1]
				fs = fs[:len(fs)-1]
			} else {
				f, n := drawFloat(r, spread), 1+r.Int64N(3)
				x.add(w[:], f, n)
				for range n {
					fs = append(fs, f)
				}
			}
			for _, single := range []bool{false, true} {
				prec := 53
				if single {
					prec = 24
				}
				got, overflow := x.value(w[:], prec)
				want := wantSum(fs, single)
				if overflow != math.IsInf(want, 0) || !overflow && got != want {
					t.Fatalf("sum of %v is %v (overflow %v), want %v", fs, got, overflow, want)
				}
			}
		}
		for _, f := range fs {
			x.add(w[:], f, -1)
		}
		x.settle(w[:])
		if w != [exactWords]uint64{} {
			t.Fatalf("an empty sum leaves %x", w)
		}
	})
}

func TestExactSumOfSpecials(t *testing.T) {
	x := newExactSums(state.NewMemory(0, nil, nil))
	var w [exactWords]uint64
	at := func(want float64) {
		t.Helper()
		got, overflow := x.value(w[:], 53)
		if overflow || got != want && !(got != got && want != want) {
			t.Errorf("sum is %v (overflow %v), want %v", got, overflow, want)
		}
	}
	x.add(w[:], 1.5, 1)
	x.add(w[:], math.Inf(1), 1)
	at(math.Inf(1))
	x.add(w[:], math.Inf(-1), 1)
	at(math.NaN())
	x.add(w[:], math.Inf(1), -1)
	at(math.Inf(-1))
	x.add(w[:], math.Inf(-1), -1)
	at(1.5)
	x.add(w[:], math.NaN(), 2)
	at(math.NaN())
	x.add(w[:], math.NaN(), -2)
	at(1.5)
}

func TestExactSumReusesAccumulators(t *testing.T) {
	x := newExactSums(state.NewMemory(0, nil, nil))
	for range 1000 {
		var w [exactWords]uint64
		x.add(w[:], 1e300, 1)
		x.add(w[:], 1e-300, 1)
		x.reset(w[:])
	}
	if x.full.next > 2 {
		t.Errorf("%d accumulators for one sum at a time", x.full.next-1)
	}
}

func BenchmarkExactSum(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	fs := make([]float64, 4096)
	for i := range fs {
		fs[i] = r.Float64() * 1e6
	}
	x := newExactSums(state.NewMemory(0, nil, nil))
	var w [exactWords]uint64
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.add(w[:], fs[i&4095], 1)
	}
}
