package format

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

func TestCSV(t *testing.T) {
	cols := []Column{col("a", types.Int8), col("b", types.Text), {Name: "g", Type: types.T(types.Int8), Skip: true}, col("t", types.Date)}
	for _, c := range []struct {
		opt  Options
		in   string
		rows []string
		bad  []string
	}{
		{Options{}, "a,b,t\n1,x,2001-02-03\n", []string{`1|x|\N|2001-02-03`}, nil},
		{Options{}, "\ufeffa,b\n1,x\n"[3:], []string{`1|x|\N|\N`}, nil},
		{Options{}, "B,other,A\nx,y,1", []string{`1|x|\N|\N`}, nil},
		{Options{}, "A,a\n1,2\n", []string{`2|\N|\N|\N`}, nil},
		{Options{}, "a,A\n1,2\n", []string{`1|\N|\N|\N`}, nil},
		{Options{}, "a,g\n1,2\n", []string{`1|\N|\N|\N`}, nil},
		{Options{}, "a,b\r\n1,\r\n2,\"\"\r\n\r\n3,\" \"\"q\"\"\n,\"\r\n", []string{`1|\N|\N|\N`, `2||\N|\N`, "3| \"q\"\n,|\\N|\\N"}, nil},
		{Options{}, "x,y\na,b\n1,x\n", []string{`1|x|\N|\N`}, []string{"header names none"}},
		{Options{}, "a,b\n1\n1,2,3\n2,y\n", []string{`2|y|\N|\N`}, []string{"1 fields, want 2", "3 fields, want 2"}},
		{Options{}, "a,b\none,x\n2,y\n", []string{`2|y|\N|\N`}, []string{`column "a": invalid input`}},
		{Options{}, "a,b\n1,x\"y\n2,\"y\"z\n3,ok\n", []string{`3|ok|\N|\N`}, []string{"quote inside", "after a quoted field"}},
		{Options{}, "a,b\n1,\"open\n2,y\n", []string{`2|y|\N|\N`}, []string{"unterminated"}},
		{Options{}, "a,b\n1,\xff\n2,a\x00b\n3,z\n", []string{`3|z|\N|\N`}, []string{"UTF-8", "NUL"}},
		{Options{NoHeader: true, Delimiter: ';'}, "1;x,y;2001-02-03\n", []string{`1|x,y|\N|2001-02-03`}, nil},
	} {
		rows, bad := run(NewCSV(cols, c.opt), cols, c.in)
		ok := same(rows, c.rows) && len(bad) == len(c.bad)
		for i := range bad {
			ok = ok && strings.Contains(bad[i], c.bad[i])
		}
		if !ok {
			t.Errorf("%q: rows %q, bad %q, want %q, %q", c.in, rows, bad, c.rows, c.bad)
		}
	}
}

func TestCSVNotNull(t *testing.T) {
	cols := []Column{{Name: "a", Type: types.T(types.Text), NotNull: true}}
	rows, bad := run(NewCSV(cols, Options{}), cols, "a,x\n,1\n\"\",1\n")
	if !same(rows, []string{""}) || len(bad) != 1 || len(rows) != 1 {
		t.Errorf("rows %q, bad %q", rows, bad)
	}
}

func TestAppendJSONBytes(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, "a\"b\\c": `"a\"b\\c"`, "\n\r\t\x01\x7f": "\"\\n\\r\\t\\u0001\x7f\"", "é😀": `"é😀"`, "a\xffb": "\"a\ufffdb\"", "\xe9": "\"\ufffd\"",
		"0123456789\xf0\x9f\x98": "\"0123456789\ufffd\ufffd\ufffd\"",
	} {
		if got := string(AppendJSONBytes(nil, []byte(in))); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		if got := string(AppendJSONString(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
