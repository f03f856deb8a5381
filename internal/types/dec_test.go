package types_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
	"pgregory.net/rapid"
)

func dec(t testing.TB, s string) (types.Decimal, []byte) {
	t.Helper()
	v, err := types.Parse(types.T(types.Numeric), s, types.Style{})
	if err != nil {
		t.Fatal(err)
	}
	return v.D, []byte(v.S)
}

// genDec draws decimals around the borders of 64 and 128 bits.
func genDec(t *rapid.T, label string) string {
	n := rapid.IntRange(1, 60).Draw(t, label+" digits")
	if rapid.Bool().Draw(t, label+" short") {
		n = n%18 + 1
	}
	var b strings.Builder
	if rapid.Bool().Draw(t, label+" neg") {
		b.WriteByte('-')
	}
	point := rapid.IntRange(0, n).Draw(t, label+" point")
	for i := range n {
		if i == point && i > 0 {
			b.WriteByte('.')
		}
		b.WriteByte(byte('0' + rapid.IntRange(0, 9).Draw(t, label)))
	}
	return b.String()
}

type decOp func(a types.Decimal, aa []byte, b types.Decimal, ba []byte, arena *[]byte) (types.Decimal, error)

func TestDecimalAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		as, bs := genDec(t, "a"), genDec(t, "b")
		a, aa := parseDec(t, as)
		b, ba := parseDec(t, bs)
		ra, _ := new(big.Rat).SetString(as)
		rb, _ := new(big.Rat).SetString(bs)
		check := func(name string, op decOp, want *big.Rat) {
			arena := []byte("x") // results must not rely on an empty arena
			got, err := op(a, aa, b, ba, &arena)
			if err != nil {
				t.Fatalf("%s %s %s: %v", as, name, bs, err)
			}
			text := string(types.AppendDecimal(nil, got, arena))
			if r, ok := new(big.Rat).SetString(text); !ok || r.Cmp(want) != 0 {
				t.Fatalf("%s %s %s = %s, want %s", as, name, bs, text, want.FloatString(60))
			}
		}
		check("+", types.DecAdd, new(big.Rat).Add(ra, rb))
		check("-", types.DecSub, new(big.Rat).Sub(ra, rb))
		check("*", types.DecMul, new(big.Rat).Mul(ra, rb))
		if rb.Sign() != 0 {
			q := new(big.Rat).Quo(ra, rb)
			whole := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
			check("div", types.DecDivTrunc, whole)
			check("%", types.DecMod, new(big.Rat).Sub(ra, new(big.Rat).Mul(rb, whole)))
			var arena []byte
			got, _ := types.DecDiv(a, aa, b, ba, &arena)
			gr, _ := new(big.Rat).SetString(string(types.AppendDecimal(nil, got, arena)))
			half := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(got.Scale)), nil))
			half.Mul(half, big.NewRat(1, 2))
			if diff := gr.Sub(gr, q); diff.Abs(diff).Cmp(half) > 0 {
				t.Fatalf("%s / %s is off by more than half of the last place %d", as, bs, got.Scale)
			}
		}
		if c := types.CompareDec(a, aa, b, ba); c != ra.Cmp(rb) {
			t.Fatalf("compare %s %s: %d", as, bs, c)
		}
		if got := string(types.AppendDecimal(nil, a, aa)); normal(got) != normal(as) {
			t.Fatalf("%s prints as %s", as, got)
		}
		// Another scale, the same number: equal, and the same hash.
		var arena []byte
		more, err := types.DecRound(a, aa, int(a.Scale)+rapid.IntRange(1, 40).Draw(t, "more"), &arena)
		if err != nil || !types.EqualDec(a, aa, more, arena) || types.HashDec(a, aa) != types.HashDec(more, arena) {
			t.Fatalf("%s and %s differ (%v)", as, types.AppendDecimal(nil, more, arena), err)
		}
	})
}

func parseDec(t *rapid.T, s string) (types.Decimal, []byte) {
	v, err := types.Parse(types.T(types.Numeric), s, types.Style{})
	if err != nil {
		t.Fatal(err)
	}
	return v.D, []byte(v.S)
}

// normal drops what numeric does not print: leading zeros and the sign of zero.
func normal(s string) string {
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimLeft(strings.TrimPrefix(s, "-"), "0")
	if s == "" || s[0] == '.' {
		s = "0" + s
	}
	if neg && strings.Trim(s, "0.") != "" {
		s = "-" + s
	}
	return s
}

// TestNoAllocs holds the data path to no allocation.
func TestNoAllocs(t *testing.T) {
	a, _ := dec(t, "12345678901234.25")
	b, _ := dec(t, "0.125")
	var arena []byte
	buf := make([]byte, 0, 256)
	n := testing.AllocsPerRun(100, func() {
		s, _ := types.DecAdd(a, nil, b, nil, &arena)
		s, _ = types.DecMul(s, nil, b, nil, &arena)
		s, _ = types.DecDiv(s, nil, a, nil, &arena)
		types.HashDec(s, nil)
		types.CompareDec(s, nil, a, nil)
		buf = types.AppendDecimal(buf[:0], s, nil)
		buf = types.AppendFloat8(buf, 1234.5678)
		buf = types.AppendTimestamp(buf, 35000000123456, &types.Style{})
		buf = types.AppendInterval(buf, types.IntervalVal{Micros: 1, Days: 2, Months: 3}, types.IntervalPostgres)
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
