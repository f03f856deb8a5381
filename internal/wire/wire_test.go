package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

var rewrite = flag.Bool("rewrite", false, "renew the golden bytes")

var allTypes = []types.Type{
	types.T(types.Bool), types.T(types.Int4), types.T(types.Int8), types.T(types.Float8), types.T(types.Numeric),
	types.T(types.Text), {Kind: types.Varchar, Mod: 14}, types.T(types.Timestamp), types.T(types.Interval), types.T(types.Unknown),
	{Kind: types.Array, Elem: types.Int4},
}

// randomBatch makes n rows of all layouts; bits says how wide numbers are.
func randomBatch(rng *rand.Rand, n int, nulls, weights bool, bits int) *batch.Batch {
	bu := batch.NewBuilder(allTypes)
	num := func() int64 {
		if bits >= 64 {
			return int64(rng.Uint64())
		}
		return int64(rng.Uint64()>>(64-bits)) - 1<<(bits-1)
	}
	for range n {
		row := make([]types.Value, len(allTypes))
		for i, t := range allTypes {
			v := types.Value{T: t}
			switch t.Layout() {
			case types.LayoutBool:
				v.I = rng.Int64N(2)
			case types.LayoutInt:
				v.I = num()
			case types.LayoutFloat:
				v.F = float64(num()) / 8
			case types.LayoutDec:
				v.D = decimal(rng, num(), bits)
				if v.D.Form == types.DecBig {
					v.S = strings.Repeat("x", int(v.D.Lo))
				}
			case types.LayoutIvl:
				v.V = types.IntervalVal{Micros: num(), Days: int32(num()), Months: int32(num())}
			case types.LayoutStr:
				v.S = strings.Repeat(string(rune('a'+rng.IntN(3))), rng.IntN(4)*bits/4)
			}
			v.Null = t.Layout() == types.LayoutNone || nulls && rng.IntN(3) == 0
			if v.Null {
				v = types.NullOf(t)
			}
			row[i] = v
		}
		w := int64(1)
		if weights {
			for w = 0; w == 0; {
				w = rng.Int64N(7) - 3
			}
		}
		bu.AppendRow(row, w)
	}
	return bu.Seal()
}

func decimal(rng *rand.Rand, v int64, bits int) types.Decimal {
	d := types.Decimal{Hi: v >> 63, Lo: uint64(v), Scale: 2}
	if bits > 8 {
		switch rng.IntN(5) {
		case 0:
			d.Scale = int16(rng.IntN(20))
		case 1:
			d.Hi = rng.Int64()
		case 2:
			d = types.Decimal{Form: types.DecBig, Lo: uint64(rng.IntN(40)), Scale: 3, Hi: -1}
		case 3:
			d = types.Decimal{Form: types.DecNaN}
		}
	}
	return d
}

func sameRows(t *testing.T, got, want *batch.Batch) {
	t.Helper()
	if got.Len() != want.Len() || !reflect.DeepEqual(got.Types(), want.Types()) {
		t.Fatalf("got %d rows of %v, want %d of %v", got.Len(), got.Types(), want.Len(), want.Types())
	}
	for k := range want.Len() {
		g, w := got.Row(k), want.Row(k)
		if !reflect.DeepEqual(got.RowValues(g), want.RowValues(w)) || got.Weight(g) != want.Weight(w) {
			t.Fatalf("row %d: got %v weight %d, want %v weight %d", k, got.RowValues(g), got.Weight(g), want.RowValues(w), want.Weight(w))
		}
	}
}

func TestBatchesComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, bits := range []int{1, 3, 8, 20, 33, 63, 64} {
		for _, n := range []int{0, 1, 2, 3, 63, 64, 65, 1000} {
			for flags := range 4 {
				b := randomBatch(rng, n, flags&1 != 0, flags&2 != 0, bits)
				enc := AppendBatch([]byte("before"), b)
				got, rest, err := DecodeBatch(append(enc[6:], "after"...))
				if err != nil || string(rest) != "after" {
					t.Fatalf("%d bits, %d rows: %v, rest %q", bits, n, err, rest)
				}
				sameRows(t, got, b)
			}
		}
	}
}

func TestSelectedRowsAreEncoded(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(3, 4)), 100, true, true, 16)
	b.Sel = []uint32{3, 4, 50, 99}
	got, _, err := DecodeBatch(AppendBatch(nil, b))
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, got, b)
}

func TestIntegersArePackedTight(t *testing.T) {
	n := 4096
	cases := map[string]struct {
		at   func(i int) int64
		most int
	}{
		"equal":     {func(int) int64 { return 1 << 60 }, 40},
		"ascending": {func(i int) int64 { return 1<<60 + int64(i)*1000 }, 40},
		"small":     {func(i int) int64 { return 1<<60 + int64(i*7919%16) }, 40 + n/2},
		"extremes":  {func(i int) int64 { return []int64{math.MinInt64, math.MaxInt64}[i%2] }, 40 + n/8*8},
	}
	for name, c := range cases {
		bu := batch.NewBuilder([]types.Type{types.T(types.Int8)})
		for i := range n {
			bu.Col(0).AppendInt(i, c.at(i))
			bu.EndRow(1)
		}
		b := bu.Seal()
		enc := AppendBatch(nil, b)
		if len(enc) > c.most {
			t.Errorf("%s: %d bytes, want at most %d", name, len(enc), c.most)
		}
		got, _, err := DecodeBatch(enc)
		if err != nil {
			t.Fatal(name, err)
		}
		sameRows(t, got, b)
	}
}

func sampleRecords(t testing.TB) map[string][]byte {
	rng := rand.New(rand.NewPCG(5, 6))
	rows := randomBatch(rng, 10, true, true, 20)
	ddl, err := (&DDL{After: 7, Now: 99, SQL: "CREATE TABLE t (a int)", Command: catalog.Command{Kind: catalog.CreateRelation,
		Relation: &catalog.Relation{Schema: "public", Name: "t", Columns: []catalog.Column{{Name: "a", Type: types.T(types.Int4)}}}, First: 16400},
		Engine: "0.1", Made: []Output{{16400, batch.Digest{Hi: 3, Lo: 4}}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	bodies := []struct {
		name string
		kind Kind
		body []byte
	}{
		{"epoch", KindEpoch, (&Epoch{Node: "n1", At: 12345, Engine: "0.1"}).Encode()},
		{"tx", KindTx, (&Tx{Changes: []Change{{Tx: 1, Table: 16384, Rows: rows}}}).Encode()},
		{"step", KindStep, (&Step{N: 8, Now: -5, Txs: 1, Ranges: []Range{{16390, 3, 9}}, Circuit: Hash{1, 2}, Engine: "0.1", Shards: 256,
			Outputs: []Output{{16391, batch.Digest{Hi: 1, Lo: 2}}}, Rejected: 2, Quarantined: 1,
			Marks: []Mark{{16390, 2, 86_400_000_000}, {16391, 0, -7}}, Late: []Late{{16385, 3}},
			Skipped: []Skipped{{16390, 77, 5, "view v fails", []byte{1, 2}}, {16390, 78, 6, "", nil}}, Retried: []Retried{{16390, 12, rows}}, Rebuilt: []catalog.ID{16391, 16392},
			Forwarded: []Forwarded{{1 << 63, 7}, {5, 1 << 40}},
			Changes:   []Change{{Tx: 0, Table: 16385, Rows: rows}}}).Encode()},
		{"ckpt", KindCkpt, (&Checkpoint{Step: 8, Manifest: Hash{9}, Sinks: []SinkPosition{{Sink: 12, Step: 7}}}).Encode()},
		{"ddl", KindDDL, ddl},
		{"src", KindSource, (&Source{First: 10, Count: 11, Rows: rows, Bad: []BadRecord{{3, "not JSON", []byte("{")}}, Cursor: []byte("c"), Proc: 77,
			Event: &Event{Mark: 1_000_000, Late: 4, Parts: []Part{{0, 1_000_000}, {9, math.MinInt64}}},
			Sent:  []Sent{{Key: "k-1", Digest: 1 << 63, Rows: 10, Bad: 1}, {Producer: "p", Sequence: 7}}}).Encode()},
	}
	out := map[string][]byte{}
	var prev Hash
	for i, b := range bodies {
		rec, h := Seal(Header{Kind: b.kind, Epoch: uint64(i + 1), Prev: prev}, b.body)
		out[b.name] = rec
		prev = h
	}
	return out
}

// decode decodes any record, and encodes what it read.
func decode(rec []byte) (again []byte, err error) {
	h, body, _, err := Open(rec)
	if err != nil {
		return nil, err
	}
	switch h.Kind {
	case KindEpoch:
		var e *Epoch
		if e, err = DecodeEpoch(body); err == nil {
			again = e.Encode()
		}
	case KindTx:
		var x *Tx
		if x, err = DecodeTx(body); err == nil {
			again = x.Encode()
		}
	case KindStep:
		var s *Step
		if s, err = DecodeStep(body); err == nil {
			again = s.Encode()
		}
	case KindCkpt:
		var c *Checkpoint
		if c, err = DecodeCheckpoint(body); err == nil {
			again = c.Encode()
		}
	case KindDDL:
		var d *DDL
		if d, err = DecodeDDL(body); err == nil {
			again, err = d.Encode()
		}
	case KindSource:
		var s *Source
		if s, err = DecodeSource(body); err == nil {
			again = s.Encode()
		}
	}
	if err != nil {
		return nil, err
	}
	again, _ = Seal(h, again)
	return again, nil
}

// TestGoldenBytes holds the stored form: what is in testdata was written by an
// older program and must be read and written the same for ever.
func TestGoldenBytes(t *testing.T) {
	for name, rec := range sampleRecords(t) {
		file := "testdata/" + name + ".hex"
		if *rewrite {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(rec)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rec, want) {
			t.Errorf("%s: the stored form has changed", name)
		}
		again, err := decode(want)
		if err != nil || !bytes.Equal(again, want) {
			t.Errorf("%s: read and written again it differs (%v)", name, err)
		}
	}
}

// TestVersion4 reads records of version 4, whose commands do not say what they made.
func TestVersion4(t *testing.T) {
	for _, name := range []string{"epoch", "tx", "step", "ckpt", "ddl", "src"} {
		text, err := os.ReadFile("testdata/v4/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		rec, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if rec[2] != 4 {
			t.Fatalf("%s is of version %d", name, rec[2])
		}
		if _, err := decode(rec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, body, _, _ := Open(rec)
		switch name {
		case "step":
			if s, err := DecodeStep(body); err != nil || s.Rebuilt != nil || len(s.Retried) != 1 {
				t.Errorf("step: %+v, %v", s, err)
			}
		case "ddl":
			if d, err := DecodeDDL(body); err != nil || d.Made != nil || d.Engine != "" || d.After != 7 {
				t.Errorf("ddl: %+v, %v", d, err)
			}
		}
	}
}

// TestVersion1 reads records of version 1, which hold no watermarks.
func TestVersion1(t *testing.T) {
	for _, name := range []string{"epoch", "tx", "step", "ckpt", "ddl", "src"} {
		text, err := os.ReadFile("testdata/v1/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		rec, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if rec[2] != 1 {
			t.Fatalf("%s is of version %d", name, rec[2])
		}
		if _, err := decode(rec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, body, _, _ := Open(rec)
		switch name {
		case "step":
			if s, err := DecodeStep(body); err != nil || s.N != 8 || s.Marks != nil || len(s.Changes) != 1 {
				t.Errorf("step: %+v, %v", s, err)
			}
		case "src":
			if s, err := DecodeSource(body); err != nil || s.Event != nil || string(s.Cursor) != "c" {
				t.Errorf("src: %+v, %v", s, err)
			}
		}
	}
}

// TestVersion2 reads records of version 2, whose sources name no requests.
func TestVersion2(t *testing.T) {
	for _, name := range []string{"epoch", "tx", "step", "ckpt", "ddl", "src"} {
		text, err := os.ReadFile("testdata/v2/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		rec, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if rec[2] != 2 {
			t.Fatalf("%s is of version %d", name, rec[2])
		}
		if _, err := decode(rec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "src" {
			continue
		}
		_, body, _, _ := Open(rec)
		if s, err := DecodeSource(body); err != nil || s.Sent != nil || s.Event == nil || s.Event.Late != 4 || s.Proc != 77 {
			t.Errorf("src: %+v, %v", s, err)
		}
	}
}

// TestVersion3 reads records of version 3, whose steps leave no rows out.
func TestVersion3(t *testing.T) {
	for _, name := range []string{"epoch", "tx", "step", "ckpt", "ddl", "src"} {
		text, err := os.ReadFile("testdata/v3/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		rec, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if rec[2] != 3 {
			t.Fatalf("%s is of version %d", name, rec[2])
		}
		if _, err := decode(rec); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "step" {
			continue
		}
		_, body, _, _ := Open(rec)
		if s, err := DecodeStep(body); err != nil || s.Skipped != nil || s.Retried != nil || len(s.Late) != 1 || len(s.Changes) != 1 {
			t.Errorf("step: %+v, %v", s, err)
		}
	}
}

// TestSourceState writes and reads a source's state, and damages it.
func TestSourceState(t *testing.T) {
	s := &SourceState{Next: 12, Hash: Hash{3, 4}, Records: 99, Cursor: []byte("at 7"), Event: &Event{Mark: 5, Late: 1, Parts: []Part{{2, 5}}}, Proc: 8,
		Known: [][]Known{{{Sent{Key: "a", Digest: 5, Rows: 2, Bad: 1}, 3}, {Sent{Producer: "p", Sequence: 9, Rows: 4}, 11}}}}
	data := s.Encode()
	got, err := DecodeSourceState(data)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range data {
		if _, err := DecodeSourceState(data[:i]); err == nil {
			t.Fatalf("cut to %d bytes it is read", i)
		}
		for _, v := range []byte{0, 1, 0x7f, 0xff} {
			bad := bytes.Clone(data)
			bad[i] = v
			DecodeSourceState(bad) // must not panic
		}
	}
	s.Known[0][1].Position = 12
	if _, err := DecodeSourceState(s.Encode()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a request behind the state: %v", err)
	}
}

func TestEveryDamageIsSeen(t *testing.T) {
	for name, rec := range sampleRecords(t) {
		for i := range rec {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(rec)
				bad[i] ^= bit
				if _, _, _, err := Open(bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
					t.Fatalf("%s: byte %d flipped by %x: %v", name, i, bit, err)
				}
			}
			if _, _, _, err := Open(rec[:i]); err == nil {
				t.Fatalf("%s: cut to %d bytes it opens", name, i)
			}
		}
	}
}

// TestBodiesWithRightChecksums damages bodies under a right checksum: decoding
// must give an error or a batch that can be read, and never panic.
func TestBodiesWithRightChecksums(t *testing.T) {
	for _, rec := range sampleRecords(t) {
		h, body, _, _ := Open(rec)
		for i := range body {
			for _, v := range []byte{0, 1, 2, 0x7f, 0x80, 0xff} {
				bad := bytes.Clone(body)
				bad[i] = v
				touch(h.Kind, bad)
			}
			touch(h.Kind, body[:i])
		}
	}
}

// touch decodes a body and reads every value of its batches.
func touch(kind Kind, body []byte) {
	var bs []*batch.Batch
	switch kind {
	case KindTx:
		if x, err := DecodeTx(body); err == nil {
			for _, c := range x.Changes {
				bs = append(bs, c.Rows)
			}
		}
	case KindSource:
		if s, err := DecodeSource(body); err == nil {
			bs = append(bs, s.Rows)
		}
	case KindStep:
		if s, err := DecodeStep(body); err == nil {
			for _, c := range s.Changes {
				bs = append(bs, c.Rows)
			}
		}
	default:
		rec, _ := Seal(Header{Kind: kind}, body)
		decode(rec)
	}
	for _, b := range bs {
		for i := range b.N {
			b.RowValues(i)
			b.Weight(i)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, rec := range sampleRecords(f) {
		h, body, _, _ := Open(rec)
		f.Add(byte(h.Kind), body)
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) { touch(Kind(kind), body) })
}

func BenchmarkEncodeBatch(b *testing.B) {
	rows := randomBatch(rand.New(rand.NewPCG(7, 8)), 4096, false, false, 20)
	b.SetBytes(rows.SizeBytes())
	b.ReportAllocs()
	for b.Loop() {
		AppendBatch(nil, rows)
	}
}

func BenchmarkDecodeBatch(b *testing.B) {
	rows := randomBatch(rand.New(rand.NewPCG(7, 8)), 4096, false, false, 20)
	enc := AppendBatch(nil, rows)
	b.SetBytes(rows.SizeBytes())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeBatch(enc); err != nil {
			b.Fatal(err)
		}
	}
}
