package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

func col(name string, k types.Kind) Column { return Column{Name: name, Type: types.T(k)} }

// run decodes data and returns rows as text, NULL as \N, and the reasons of bad records.
func run(d Decoder, cols []Column, data string) (rows, bad []string) {
	bu := batch.NewBuilder(typesOf(cols))
	d.Decode([]byte(data), bu, func(b Bad) {
		if b.Off < 0 || b.Off+len(b.Data) > len(data) || string(b.Data) != data[b.Off:b.Off+len(b.Data)] {
			bad = append(bad, "wrong place")
		}
		bad = append(bad, b.Reason)
	})
	return text(bu.View()), bad
}

func text(b *batch.Batch) []string {
	var rows []string
	for i := range b.N {
		var fields []string
		for _, v := range b.RowValues(i) {
			if v.Null {
				fields = append(fields, `\N`)
			} else {
				fields = append(fields, string(types.AppendText(nil, v, types.Style{})))
			}
		}
		rows = append(rows, strings.Join(fields, "|"))
	}
	return rows
}

func same(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

func TestJSONValues(t *testing.T) {
	for _, c := range []struct {
		kind types.Kind
		in   string
		want string // what it prints as; an error begins with !
	}{
		{types.Int8, `1`, "1"}, {types.Int8, `-0`, "0"}, {types.Int8, `"17"`, "17"}, {types.Int8, `1.0`, "1"},
		{types.Int8, `1e3`, "1000"}, {types.Int8, `1.5`, "!not in the range"}, {types.Int8, `9223372036854775807`, "9223372036854775807"},
		{types.Int8, `9223372036854775808`, "!range"}, {types.Int8, `-9223372036854775808`, "-9223372036854775808"},
		{types.Int8, `01`, "!number"}, {types.Int8, `-`, "!number"}, {types.Int8, `1.`, "!digit"}, {types.Int8, `1e`, "!digit"}, {types.Int8, `.5`, "!value"},
		{types.Int8, `true`, "!invalid input"}, {types.Int8, `{}`, "!invalid input"}, {types.Int8, `null`, `\N`}, {types.Int8, `nul`, "!value"},
		{types.Int4, `2147483648`, "!range"}, {types.Int2, `32768`, "!range"}, {types.Int2, `-32768`, "-32768"}, {types.Int4, `"2147483648"`, "!range"},
		{types.Float8, `1.5e300`, "1.5e+300"}, {types.Float8, `1e400`, "!out of range"}, {types.Float8, `"NaN"`, "NaN"}, {types.Float8, `0.1`, "0.1"}, {types.Float8, `7`, "7"},
		{types.Float4, `0.1`, "0.1"}, {types.Float4, `"-Infinity"`, "-Infinity"},
		{types.Numeric, `1.10`, "1.10"}, {types.Numeric, `123456789012345678901234567890123456789012345678901.5`, "123456789012345678901234567890123456789012345678901.5"},
		{types.Numeric, `1e2`, "100"}, {types.Numeric, `"NaN"`, "NaN"},
		{types.Bool, `true`, "t"}, {types.Bool, `false`, "f"}, {types.Bool, `"yes"`, "t"}, {types.Bool, `2`, "!invalid input"},
		{types.Text, `"a\"\\\/\b\f\n\r\tz"`, "a\"\\/\b\f\n\r\tz"}, {types.Text, `"\u00e9\ud83d\ude00"`, "é😀"}, {types.Text, `"\u0000"`, "!u0000"},
		{types.Text, `"\ud83d"`, "!surrogate"}, {types.Text, `"\ud83dx"`, "!surrogate"}, {types.Text, `"\x"`, "!escape"}, {types.Text, `"\u12g4"`, "!hexadecimal"},
		{types.Text, "\"a\tb\"", "!control"}, {types.Text, "\"\xff\"", "!UTF-8"}, {types.Text, `"unterminated`, "!end of string"}, {types.Text, `"é 12345678 é"`, "é 12345678 é"},
		{types.Text, `12.50`, "12.50"}, {types.Text, `true`, "true"}, {types.Text, `{"a": [1, "x"]}`, `{"a": [1, "x"]}`}, {types.Text, `[1,]`, "!value"}, {types.Text, `""`, ""},
		{types.Varchar, `"abc"`, "abc"},
		{types.Date, `"2001-02-03"`, "2001-02-03"}, {types.Date, `"2001-02-30"`, "!date"}, {types.Time, `"01:02:03.5"`, "01:02:03.5"},
		{types.Timestamp, `"2001-02-03T04:05:06Z"`, "2001-02-03 04:05:06"}, {types.Timestamp, `1700000000123`, "2023-11-14 22:13:20.123"},
		{types.Timestamp, `-1`, "1969-12-31 23:59:59.999"}, {types.Timestamp, `1.5`, "!whole number"}, {types.Timestamp, `9223372036854775807`, "!out of range"},
		{types.Timestamp, `"yesterdayish"`, "!invalid input"},
		{types.TimestampTZ, `"2001-02-03 04:05:06+02"`, "2001-02-03 02:05:06+00"}, {types.TimestampTZ, `"2001-02-03 04:05:06"`, "2001-02-03 04:05:06+00"},
		{types.TimestampTZ, `0`, "1970-01-01 00:00:00+00"}, {types.Interval, `"1 day 02:00"`, "1 day 02:00:00"},
	} {
		cols := []Column{col("a", types.Int8), col("v", c.kind)}
		rows, bad := run(NewJSON(cols, Options{}), cols, `{"a":1,"v":2}`[:7]+`"v": `+c.in+" }\n{\"v\":null,\"a\":7}\n")
		if len(rows) == 0 || rows[len(rows)-1] != `7|\N` {
			t.Errorf("%v %s: the record behind is lost: %q", types.T(c.kind), c.in, rows)
			continue
		}
		if reason, ok := strings.CutPrefix(c.want, "!"); ok {
			if len(rows) != 1 || len(bad) != 1 || !strings.Contains(bad[0], reason) {
				t.Errorf("%v %s: rows %q, bad %q, want %q", types.T(c.kind), c.in, rows, bad, reason)
			}
		} else if len(bad) != 0 || len(rows) != 2 || rows[0] != "1|"+c.want {
			t.Errorf("%v %s: rows %q, bad %q, want %q", types.T(c.kind), c.in, rows, bad, c.want)
		}
	}
}

func TestJSONRecords(t *testing.T) {
	cols := []Column{col("a", types.Int8), col("b", types.Text)}
	for _, c := range []struct {
		in   string
		rows []string
		bad  int
	}{
		{"", nil, 0}, {" \n\n ", nil, 0}, {`{}`, []string{`\N|\N`}, 0},
		{`{"a":1,"b":"x"}` + "\r\n" + `{"b":"y","a":2}`, []string{"1|x", "2|y"}, 0},
		{`{"a":1,"a":2}`, []string{`2|\N`}, 0},
		{`{"A":1}`, []string{`1|\N`}, 0}, {`{"A":1,"a":2}`, []string{`2|\N`}, 0}, {`{"a":2,"A":1}`, []string{`2|\N`}, 0},
		{`{"\u0061":5,"x":{"y":[{}]},"z":null}`, []string{`5|\N`}, 0},
		{`{"\u0000":5}`, []string{`\N|\N`}, 0},
		{`{"a":1} x` + "\n" + `{"a":2}`, []string{`2|\N`}, 1},
		{`{"a":1}{"a":3}` + "\n" + `{"a":2}`, []string{`2|\N`}, 1},
		{`7` + "\n" + `"x"` + "\n" + `null` + "\n" + `{"a":2}`, []string{`2|\N`}, 3},
		{`{"a":1,` + "\n" + `{"a":2}`, []string{`2|\N`}, 1},
		{"{\n  \"a\": 1,\n  \"b\": \"x\"\n}\n{\"a\":2}\n", []string{"1|x", `2|\N`}, 0},
		{"\x01\n{\"a\":2}\x01\n{\"a\":3}", []string{`3|\N`}, 2},
		{`[]`, nil, 0}, {`[{"a":1},{"a":2}]`, []string{`1|\N`, `2|\N`}, 0},
		{" [ {\"a\":1} ,\n {\"a\":2} ] \n {\"a\":3}", []string{`1|\N`, `2|\N`, `3|\N`}, 0},
		{`[{"a":1},{"a":"x"},{"a":3}]`, []string{`1|\N`, `3|\N`}, 1},
		{`[{"a":1},{"a":tru, "b":"]}"},{"a":3}]`, []string{`1|\N`, `3|\N`}, 1},
		{`[{"a":1},7,{"a":3}]`, []string{`1|\N`, `3|\N`}, 1},
		{`[{"a":1},{"a":2`, []string{`1|\N`}, 1}, {`[`, nil, 1}, {`[{"a":1}`, []string{`1|\N`}, 1}, {`[{"a":1},]`, []string{`1|\N`}, 1},
		{`{"b":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}\n" + `{"a":2}`, []string{`2|\N`}, 1},
	} {
		rows, bad := run(NewJSON(cols, Options{}), cols, c.in)
		if !same(rows, c.rows) || len(bad) != c.bad {
			t.Errorf("%q: rows %q, bad %q, want %q and %d bad", c.in, rows, bad, c.rows, c.bad)
		}
	}
}

func TestJSONNotNullSkipAndEpoch(t *testing.T) {
	cols := []Column{{Name: "a", Type: types.T(types.Int8), NotNull: true}, {Name: "g", Type: types.T(types.Text), NotNull: true, Skip: true}, col("t", types.Timestamp)}
	rows, bad := run(NewJSON(cols, Options{EpochMicros: 1_000_000}), cols, `{"a":1,"g":"x","t":60}`+"\n{\"t\":1}\n{\"a\":null}\n")
	if !same(rows, []string{`1|\N|1970-01-01 00:01:00`}) || len(bad) != 2 || !strings.Contains(bad[0], `column "a": null value`) {
		t.Errorf("rows %q, bad %q", rows, bad)
	}
}

func TestJSONRecordLength(t *testing.T) {
	cols := []Column{col("a", types.Int8), col("b", types.Text)}
	long := `{"b":"` + strings.Repeat("x", MaxRecordBytes) + `"}`
	for _, in := range []string{long + "\n" + `{"a":2}`, `[` + long + `,{"a":2}]`} {
		rows, bad := run(NewJSON(cols, Options{}), cols, in)
		if !same(rows, []string{`2|\N`}) || len(bad) != 1 || !strings.Contains(bad[0], "longer than") {
			t.Errorf("rows %q, bad %.200q", rows, bad)
		}
	}
}

// TestDecodePart cuts input anywhere and must decode the same.
func TestDecodePart(t *testing.T) {
	cols := []Column{col("a", types.Int8), col("b", types.Text)}
	jsonIn := `{"a":1,"b":"x"}` + "\n\n" + `{"a":x}` + "\n" + `[{"a":2},{"a":3}] [{"a":4}]` + "\n" + `{"a":5,"b":"é\n"}`
	csvIn := "b,a\r\n\"line\nline \"\"q\"\"\",1\n\n,2\nx\"y,3\n\"\",4\nz,5"
	for _, c := range []struct {
		make func() Decoder
		in   string
		bad  int
	}{
		{func() Decoder { return NewJSON(cols, Options{}) }, jsonIn, 1},
		{func() Decoder { return NewCSV(cols, Options{}) }, csvIn, 1},
	} {
		want, _ := run(c.make(), cols, c.in)
		if len(want) < 4 {
			t.Fatalf("rows %q", want)
		}
		for cut := range c.in {
			for max := 1; max < 4; max++ {
				d, bu, bad, pos := c.make(), batch.NewBuilder(typesOf(cols)), 0, 0
				for _, end := range []int{cut, len(c.in)} {
					for {
						n := d.DecodePart([]byte(c.in[pos:end]), end == len(c.in), max, bu, func(Bad) { bad++ })
						if pos += n; n == 0 {
							break
						}
					}
				}
				if got := text(bu.View()); pos != len(c.in) || !same(got, want) || bad != c.bad {
					t.Fatalf("cut at %d, %d at once: took %d of %d, rows %q, %d bad, want %q", cut, max, pos, len(c.in), got, bad, want)
				}
			}
		}
	}
}

// TestJSONAcceptsWhatEncodingJSONDoes compares decisions over mutated records.
func TestJSONAcceptsWhatEncodingJSONDoes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	cols := []Column{col("a", types.Text), col("b", types.Text)}
	seeds := []string{`{"a":1,"b":"x\n\u00e9"}`, `{"a":{"c":[1,2.5e-7,true,null,"\\"]},"zz":[]}`, `{ "a" : -0.0 , "q":"\"" }`, `{"b":"0123456789é","x":{"y":{"z":false}}}`}
	alphabet := "{}[]\",:\\u0123456789eE+-. truefalsn/bé\t"
	accepted, refused := 0, 0
	for range 60000 {
		b := []byte(seeds[rnd.IntN(len(seeds))])
		for range rnd.IntN(4) {
			p := rnd.IntN(len(b))
			switch rnd.IntN(4) {
			case 0:
				b[p] = alphabet[rnd.IntN(len(alphabet))]
			case 1:
				b = append(b[:p], b[p+1:]...)
			case 2:
				b = append(b[:p], append([]byte{alphabet[rnd.IntN(len(alphabet))]}, b[p:]...)...)
			case 3:
				q := rnd.IntN(len(b))
				b = append(b[:p:p], b[min(p, q):]...)
			}
			if len(b) == 0 {
				b = []byte("{")
			}
		}
		if b[0] != '{' || !utf8.Valid(b) {
			continue
		}
		bu := batch.NewBuilder(typesOf(cols))
		reason := ""
		NewJSON(cols, Options{}).DecodePart(b, true, 10, bu, func(bad Bad) { reason = bad.Reason })
		// What JSON allows and text does not is told apart.
		if strings.Contains(reason, `\u0000`) || strings.Contains(reason, "surrogate") {
			continue
		}
		if want := json.Valid(b); want != (reason == "") || want != (bu.Len() == 1) {
			t.Fatalf("%q: encoding/json says %v; got %d rows, %q", b, want, bu.Len(), reason)
		}
		if reason != "" {
			refused++
			continue
		}
		accepted++
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatal(err)
		}
		if raw, ok := members["a"]; ok && raw[0] != 'n' {
			want := string(raw)
			if raw[0] == '"' {
				json.Unmarshal(raw, &want)
			}
			if got := string(bu.View().Cols[0].StrAt(0)); got != want {
				t.Fatalf("%q: got %q, want %q", b, got, want)
			}
		}
	}
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d accepted, %d refused: the test compares nothing", accepted, refused)
	}
}

func randomValue(rnd *rand.Rand, ty types.Type) types.Value {
	if rnd.IntN(6) == 0 {
		return types.NullOf(ty)
	}
	v := types.Value{T: ty}
	switch ty.Kind {
	case types.Bool:
		v.I = int64(rnd.IntN(2))
	case types.Int2:
		v.I = int64(int16(rnd.Uint32()))
	case types.Int4:
		v.I = int64(int32(rnd.Uint32()))
	case types.Int8:
		v.I = int64(rnd.Uint64()) >> rnd.IntN(64)
	case types.Float4:
		v.F = float64(float32(rnd.NormFloat64() * 1e6))
	case types.Float8:
		v.F = rnd.NormFloat64() * []float64{1, 1e-300, 1e300}[rnd.IntN(3)]
	case types.Numeric:
		s := fmt.Sprintf("%d%d.%d", rnd.Int64(), rnd.Uint64(), rnd.Uint32())[rnd.IntN(30):]
		if strings.HasPrefix(s, ".") {
			s = "0" + s
		}
		if rnd.IntN(10) == 0 {
			s = []string{"NaN", "Infinity", "-Infinity", strings.Repeat("7", 60)}[rnd.IntN(4)]
		}
		n, err := types.Parse(ty, s, types.Style{})
		if err != nil {
			panic(err)
		}
		v = n
	case types.Date:
		v.I = int64(rnd.IntN(2000000)) - 700000
	case types.Time:
		v.I = rnd.Int64N(86400e6)
	case types.Timestamp, types.TimestampTZ:
		v.I = rnd.Int64N(4e17) - 2e17
	case types.Interval:
		v.V = types.IntervalVal{Micros: rnd.Int64N(1e13) - 5e12, Days: int32(rnd.IntN(100) - 50), Months: int32(rnd.IntN(100) - 50)}
	default:
		pieces := []string{"a", "\"", "\\", "\n", "\r", "\t", "\x01", "é", "😀", ",", " ", "null", "{", "}", "\u2028", "0"}
		for range rnd.IntN(12) {
			v.S += pieces[rnd.IntN(len(pieces))]
		}
	}
	return v
}

// TestRoundTrip encodes random rows and decodes them again.
func TestRoundTrip(t *testing.T) {
	kinds := []types.Kind{types.Bool, types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric, types.Text, types.Varchar, types.Date,
		types.Time, types.Timestamp, types.TimestampTZ, types.Interval}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var cols []Column
		var names []string
		for i := range 1 + rnd.IntN(8) {
			names = append(names, fmt.Sprintf("c%d\"é", i))
			cols = append(cols, col(names[i], kinds[rnd.IntN(len(kinds))]))
		}
		bu := batch.NewBuilder(typesOf(cols))
		for range rnd.IntN(150) {
			row := make([]types.Value, len(cols))
			for i := range cols {
				row[i] = randomValue(rnd, cols[i].Type)
			}
			bu.AppendRow(row, 1)
		}
		in := bu.View()
		var asJSON, asArray, asCSV []byte
		for i, n := range names {
			if i > 0 {
				asCSV = append(asCSV, ',')
			}
			asCSV = AppendCSVField(asCSV, []byte(n), ',', '"', '"', false)
		}
		asCSV, asArray = append(asCSV, '\n'), append(asArray, '[')
		for i := range in.N {
			line := AppendJSONRow(nil, names, in, i, types.Style{})
			if !json.Valid(line) || !json.Valid(AppendJSONArray(nil, in, i, types.Style{})) || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("seed %d: not one line of JSON: %s", seed, line)
			}
			if asJSON = append(append(asJSON, line...), '\n'); i > 0 {
				asArray = append(asArray, ',')
			}
			asArray = append(asArray, line...)
			asCSV = AppendCSVRow(asCSV, in, i, types.Style{})
		}
		asArray = append(asArray, ']')
		want := text(in)
		for name, c := range map[string]struct {
			d    Decoder
			data []byte
		}{"json": {NewJSON(cols, Options{}), asJSON}, "array": {NewJSON(cols, Options{}), asArray}, "csv": {NewCSV(cols, Options{}), asCSV}} {
			got, bad := run(c.d, cols, string(c.data))
			if len(bad) != 0 || !same(got, want) {
				for i := range want {
					if i >= len(got) || got[i] != want[i] {
						t.Logf("row %d: want %q", i, want[i])
						break
					}
				}
				t.Fatalf("seed %d, %s: bad %.300q\n%s", seed, name, bad, c.data[:min(len(c.data), 500)])
			}
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":"x\u00e9","t":"2001-02-03 04:05:06","n":1.5}`))
	f.Add([]byte(`[{"a":1},{"a":tru}, 7,{"b":[{}]}]`))
	f.Add([]byte("{\"a\":\n1}\n{"))
	cols := []Column{col("a", types.Int8), col("b", types.Text), col("t", types.Timestamp), col("n", types.Numeric), col("i", types.Interval)}
	f.Fuzz(func(t *testing.T, rec []byte) {
		d := NewJSON(cols, Options{})
		bu := batch.NewBuilder(typesOf(cols))
		d.Decode(rec, bu, func(Bad) {})
		consistent(t, bu.View())
		around(t, cols, d, rec, `{"a":42}`+"\n")
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("1,x,2001-02-03,1.5,1 day\n"))
	f.Add([]byte("\"1\",\"x\"\"\n\",,,\n,\"\"\r\n"))
	cols := []Column{col("a", types.Int8), col("b", types.Text), col("t", types.Timestamp), col("n", types.Numeric), col("i", types.Interval)}
	f.Fuzz(func(t *testing.T, rec []byte) {
		d := NewCSV(cols, Options{NoHeader: true})
		bu := batch.NewBuilder(typesOf(cols))
		d.Decode(rec, bu, func(Bad) {})
		consistent(t, bu.View())
		around(t, cols, d, bytes.ReplaceAll(rec, []byte(`"`), nil), "42,,,,\n")
	})
}

// around puts one line of rec between good records, which must survive.
func around(t *testing.T, cols []Column, d Decoder, rec []byte, good string) {
	rec, _, _ = bytes.Cut(rec, []byte("\n"))
	rec, _, _ = bytes.Cut(rec, []byte("\r"))
	in := append(append([]byte(good), rec...), "\n"+good...)
	bu := batch.NewBuilder(typesOf(cols))
	bad := 0
	if n := d.DecodePart(in, true, 1<<30, bu, func(Bad) { bad++ }); n != len(in) {
		t.Fatalf("took %d of %d bytes", n, len(in))
	}
	b := bu.View()
	consistent(t, b)
	if b.N < 2 || b.Cols[0].I64[0] != 42 || b.Cols[0].I64[b.N-1] != 42 || b.Cols[0].Null(0) || b.Cols[0].Null(b.N-1) {
		t.Fatalf("%q harms its neighbours: %q", rec, text(b))
	}
}

func consistent(t *testing.T, b *batch.Batch) {
	for i := range b.Cols {
		c := &b.Cols[i]
		if n := len(c.I64) + len(c.Str) + len(c.Dec) + len(c.Ivl); n != b.N {
			t.Fatalf("column %d has %d values of %d", i, n, b.N)
		}
		for r := range b.N {
			if v := c.Value(r); c.Type.Kind == types.Text && !utf8.ValidString(v.S) {
				t.Fatalf("invalid text %q", v.S)
			}
		}
	}
}
