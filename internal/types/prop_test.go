package types_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
	"pgregory.net/rapid"
)

var valueKinds = []types.Kind{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Text, types.Date, types.Time,
	types.Timestamp, types.TimestampTZ, types.Interval, types.Bytea, types.Oid}

// genValue draws a value of k, often one of few so that equal ones meet.
func genValue(t *rapid.T, k types.Kind, label string) types.Value {
	v := types.Value{T: types.T(k)}
	small := rapid.Bool().Draw(t, label+" small")
	i64 := func(lo, hi int64) int64 {
		if small {
			lo, hi = max(lo, -2), min(hi, 2)
		}
		return rapid.Int64Range(lo, hi).Draw(t, label)
	}
	switch k {
	case types.Bool:
		v.I = i64(0, 1)
	case types.Int2:
		v.I = i64(math.MinInt16, math.MaxInt16)
	case types.Int4:
		v.I = i64(math.MinInt32, math.MaxInt32)
	case types.Int8:
		v.I = i64(math.MinInt64, math.MaxInt64)
	case types.Oid:
		v.I = i64(0, math.MaxUint32)
	case types.Float4:
		v.F = float64(rapid.Float32().Draw(t, label))
	case types.Float8:
		v.F = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e23, 1e15, math.SmallestNonzeroFloat64})).Draw(t, label)
	case types.Numeric:
		s := rapid.SampledFrom([]string{"0", "0.00", "1", "1.0", "1.00", "-1", "-1.0", "10", "1e40", "1e40", "-1e40", "0.1", "NaN", "Infinity", "-Infinity", "99999999999999999999999999999999999999999"}).Draw(t, label)
		if !small {
			s = genDec(t, label)
		}
		w, err := types.Parse(types.T(k), s, types.Style{})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, label+" scaled") && w.D.IsFinite() {
			var arena []byte
			d, err := types.DecRound(w.D, []byte(w.S), int(w.D.Scale)+3, &arena)
			if err != nil {
				t.Fatal(err)
			}
			w = types.DecValue(d, arena)
		}
		v = w
	case types.Text, types.Bytea:
		v.S = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", "\x00\x00", "a", "a\x00", "a\x00b", "a\xff", "ab"})).Draw(t, label)
	case types.Date:
		v.I = i64(-2451545, 2145031948)
	case types.Time:
		v.I = i64(0, types.MicrosPerDay)
	case types.Timestamp, types.TimestampTZ:
		v.I = i64(-211813488000000000, 9223371331199999999)
	case types.Interval:
		v.V = types.IntervalVal{Micros: i64(math.MinInt64, math.MaxInt64), Days: int32(i64(math.MinInt32, math.MaxInt32)), Months: int32(i64(math.MinInt32, math.MaxInt32))}
		if small {
			v.V.Micros *= types.MicrosPerDay
			v.V.Days *= 30
		}
	}
	return v
}

// TestOrderHashKeys checks that keys order as Compare does and that equal values
// have equal keys and hashes.
func TestOrderHashKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(valueKinds).Draw(t, "kind")
		a, b := genValue(t, k, "a"), genValue(t, k, "b")
		if rapid.IntRange(0, 3).Draw(t, "array") == 0 {
			a, b = types.ArrayValue(k, []types.Value{a, types.NullOf(a.T)}), types.ArrayValue(k, []types.Value{b, b})
		}
		if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			a = types.NullOf(a.T)
		}
		c := types.Compare(a, b)
		if d := types.Compare(b, a); d != -c {
			t.Fatalf("compare %+v %+v: %d and back %d", a, b, c, d)
		}
		tail := types.IntValue(types.Int8, 0)
		key := func(v types.Value, desc, nullsFirst bool) []byte {
			return types.AppendKey(types.AppendKey([]byte("x"), v, desc, nullsFirst), tail, false, false)
		}
		if got := bytes.Compare(key(a, false, false), key(b, false, false)); got != c {
			t.Fatalf("keys of %+v and %+v: %d, compare %d", a, b, got, c)
		}
		if got := bytes.Compare(key(a, true, true), key(b, true, true)); got != -c {
			t.Fatalf("descending keys of %+v and %+v: %d, compare %d", a, b, got, c)
		}
		if c == 0 && a.T.Kind != types.Array && types.Hash64(a) != types.Hash64(b) {
			t.Fatalf("%+v and %+v are equal and hash differently", a, b)
		}
	})
}

// TestPrintParse checks that what is printed reads back, in text and binary.
func TestPrintParse(t *testing.T) {
	stylesToRead := []types.Style{{}, {Location: zone("America/New_York")}, {IntervalStyle: types.IntervalISO8601}, {IntervalStyle: types.IntervalPostgresVerbose},
		{DateStyle: types.DateSQL, DateOrder: types.OrderDMY}, {DateStyle: types.DatePostgres}, {DateStyle: types.DateGerman, DateOrder: types.OrderDMY}, {ByteaEscape: true}}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(valueKinds).Draw(t, "kind")
		v := genValue(t, k, "v")
		st := rapid.SampledFrom(stylesToRead).Draw(t, "style")
		if k == types.Interval && (v.V.Months == math.MinInt32 || v.V.Days == math.MinInt32 || v.V.Micros > 1<<53 || v.V.Micros < -1<<53) {
			return // ISO and verbose forms go through float64 or a sign that does not fit, as in PostgreSQL
		}
		text := string(types.AppendText(nil, v, st))
		back, err := types.Parse(types.T(k), text, st)
		if err != nil || types.Compare(v, back) != 0 || v.V != back.V {
			t.Fatalf("%s %q from %+v reads back as %+v (%v)", k, text, v, back, err)
		}
		if again := string(types.AppendText(nil, back, st)); again != text {
			t.Fatalf("%s %q prints again as %q", k, text, again)
		}
		if k == types.Text && !strings.Contains(v.S, "\xff") || k != types.Text {
			bin := types.AppendBinary(nil, v)
			if back, err = types.ParseBinary(types.T(k), bin); err != nil || types.Compare(v, back) != 0 {
				t.Fatalf("%s: binary of %+v reads back as %+v (%v)", k, v, back, err)
			}
		}
	})
}

// TestFastParsers checks that a fast parser that answers agrees with the full one.
func TestFastParsers(t *testing.T) {
	for k, cases := range textCases {
		for _, s := range cases {
			for _, s := range []string{s, s + "Z", s + "0", "+" + s, s + "+01:30"} {
				checkFast(t, k, s)
			}
		}
	}
	if x, ok := types.ParseTimestampTZBytes([]byte("2001-02-03T04:05:06.5-08:00")); !ok || x != mustParse(t, types.TimestampTZ, "2001-02-03 12:05:06.5+00").I {
		t.Errorf("ISO with an offset: %d %v", x, ok)
	}
}

func checkFast(t *testing.T, k types.Kind, s string) {
	b := []byte(s)
	var fast types.Value
	ok := false
	switch k {
	case types.Int8:
		fast.I, ok = types.ParseIntBytes(b)
	case types.Float8:
		fast.F, ok = types.ParseFloatBytes(b)
	case types.Numeric:
		fast.D, ok = types.ParseDecimalBytes(b)
	case types.Date:
		fast.I, ok = types.ParseDateBytes(b)
	case types.Timestamp:
		fast.I, ok = types.ParseTimestampBytes(b)
	case types.TimestampTZ:
		fast.I, ok = types.ParseTimestampTZBytes(b)
	}
	if !ok {
		return
	}
	// A space keeps the full parsers of times from trying the fast one first.
	full, err := types.Parse(types.T(k), " "+s, types.Style{})
	fast.T = types.T(k)
	if err != nil || types.Compare(fast, full) != 0 || fast.D.Scale != full.D.Scale {
		t.Errorf("%s %q: fast %+v, full %+v (%v)", k, s, fast, full, err)
	}
}

// TestHashGolden pins the hashes: stored shards depend on them.
func TestHashGolden(t *testing.T) {
	var b strings.Builder
	for _, x := range []int64{0, 1, -1, 42, math.MaxInt64, math.MinInt64} {
		fmt.Fprintf(&b, "int %d %016x\n", x, types.HashInt(x))
	}
	for _, f := range []float64{0, 1, -1.5, math.Inf(1), math.NaN()} {
		fmt.Fprintf(&b, "float %v %016x\n", f, types.HashFloat(f))
	}
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 97, 200} {
		s := strings.Repeat("tidemill", 25)[:n]
		fmt.Fprintf(&b, "bytes %d %016x\n", n, types.HashBytes([]byte(s)))
		if types.HashString(s) != types.HashBytes([]byte(s)) {
			t.Errorf("HashString differs at %d bytes", n)
		}
	}
	for _, s := range numbers {
		d, arena := dec(t, s)
		fmt.Fprintf(&b, "numeric %s %016x\n", s, types.HashDec(d, arena))
	}
	for _, s := range intervals {
		fmt.Fprintf(&b, "interval %s %016x\n", s, types.HashIvl(mustParse(t, types.Interval, s).V))
	}
	fmt.Fprintf(&b, "combine %016x\n", types.CombineHash(types.HashInt(1), types.HashInt(2)))
	const file = "testdata/hash.golden"
	want, err := os.ReadFile(file)
	if os.Getenv("TIDEMILL_WRITE_GOLDEN") == "1" {
		os.MkdirAll("testdata", 0o755)
		err = os.WriteFile(file, []byte(b.String()), 0o644)
		want = []byte(b.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Fatalf("hashes changed, which loses every stored shard:\n%s", b.String())
	}
}

// TestHashSpread checks that bits used for shards and slots are evenly filled by
// keys as they come in practice.
func TestHashSpread(t *testing.T) {
	const n, buckets = 1 << 16, 256
	gens := map[string]func(i int) uint64{
		"dense":   func(i int) uint64 { return types.HashInt(int64(i)) },
		"stride":  func(i int) uint64 { return types.HashInt(int64(i) << 20) },
		"floats":  func(i int) uint64 { return types.HashFloat(float64(i)) },
		"strings": func(i int) uint64 { return types.HashBytes(fmt.Appendf(nil, "user-%08d", i)) },
		"long":    func(i int) uint64 { return types.HashBytes(fmt.Appendf(nil, "%060d", i)) },
		"pairs": func(i int) uint64 {
			return types.CombineHash(types.HashInt(int64(i%256)), types.HashInt(int64(i/256)))
		},
		"equal pairs": func(i int) uint64 { return types.CombineHash(types.HashInt(int64(i)), types.HashInt(int64(i))) },
	}
	for name, gen := range gens {
		seen := make(map[uint64]bool, n)
		var top, low [buckets]int
		for i := range n {
			h := gen(i)
			seen[h] = true
			top[h>>56]++
			low[h&(buckets-1)]++
		}
		if len(seen) != n {
			t.Errorf("%s: %d of %d hashes differ", name, len(seen), n)
		}
		for b := range buckets {
			// 256 expected, deviation 16: eight deviations do not happen.
			if max(top[b], low[b]) > 384 || min(top[b], low[b]) < 128 {
				t.Errorf("%s: bucket %d has %d and %d of %d", name, b, top[b], low[b], n/buckets)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for k, cases := range textCases {
		for _, s := range cases {
			f.Add(uint8(k), s)
		}
	}
	for _, s := range arrays {
		f.Add(uint8(types.Array), s)
	}
	f.Fuzz(func(t *testing.T, kind uint8, s string) {
		typ := types.T(types.Kind(kind) % types.NumKinds)
		if typ.Kind == types.Array {
			typ.Elem = types.Text
		}
		if len(s) > 1000 {
			return
		}
		v, err := types.Parse(typ, s, types.Style{})
		if err != nil || v.Null || v.V.Micros == math.MinInt64 { // which PostgreSQL cannot read back either
			return
		}
		text := string(types.AppendText(nil, v, types.Style{}))
		back, err := types.Parse(typ, text, types.Style{})
		if err != nil || types.Compare(v, back) != 0 {
			t.Fatalf("%s: %q prints as %q, which reads as %+v (%v)", typ, s, text, back, err)
		}
	})
}

func FuzzParseBinary(f *testing.F) {
	f.Add(uint8(types.Numeric), []byte{0, 1, 0, 0, 0, 0, 0, 2, 0, 5})
	f.Add(uint8(types.Array), types.AppendBinary(nil, types.ArrayValue(types.Int4, []types.Value{types.IntValue(types.Int4, 1), types.NullOf(types.T(types.Int4))})))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		typ := types.T(types.Kind(kind) % types.NumKinds)
		if typ.Kind == types.Array {
			typ.Elem = types.Int4
		}
		v, err := types.ParseBinary(typ, b)
		if err != nil || v.Null {
			return
		}
		back, err := types.ParseBinary(typ, types.AppendBinary(nil, v))
		if err != nil || types.Compare(v, back) != 0 {
			t.Fatalf("%s: %+v reads back as %+v (%v)", typ, v, back, err)
		}
	})
}

func FuzzReadArray(f *testing.F) {
	f.Add([]byte(types.ArrayValue(types.Text, []types.Value{types.TextValue("a")}).S))
	f.Fuzz(func(t *testing.T, b []byte) {
		types.ArrayElems(b)
		types.RecordFields(b)
	})
}
