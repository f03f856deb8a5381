package sql

import (
	"bufio"
	"os"
	"reflect"
	"strings"
	"testing"
)

// corpus reads the statements of a file in testdata, one a line; lines that begin with # are comments.
func corpus(t testing.TB, name string) []string {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var l []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); s != "" && !strings.HasPrefix(s, "#") {
			l = append(l, s)
		}
	}
	if err := lines.Err(); err != nil || len(l) == 0 {
		t.Fatalf("%s: %d statements, %v", name, len(l), err)
	}
	return l
}

func all(t testing.TB) []string {
	return append(corpus(t, "postgres.sql"), corpus(t, "streaming.sql")...)
}

// parseOne reads exactly one statement.
func parseOne(t testing.TB, text string) Stmt {
	t.Helper()
	l, err := Parse(text, Options{})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	if len(l) != 1 {
		t.Fatalf("%s: %d statements", text, len(l))
	}
	return l[0]
}

// checkRoundTrip prints s and reads it back, in both forms.
func checkRoundTrip(t testing.TB, text string, s Stmt) {
	t.Helper()
	for _, out := range []string{Format(s), FormatParens(s)} {
		l, err := Parse(out, Options{MaxDepth: 1 << 20})
		if err != nil || len(l) != 1 {
			t.Errorf("%s\nprinted: %s\n%d statements, %v", text, out, len(l), err)
			continue
		}
		if !Equal(s, l[0]) {
			t.Errorf("%s\nprinted: %s\nreads as another tree, which prints as %s", text, out, Format(l[0]))
		}
	}
	if out := Format(s); out != Format(parseOne(t, out)) {
		t.Errorf("%s\nprinted: %s\nis no fixed point: %s", text, out, Format(parseOne(t, out)))
	}
}

func TestRoundTrip(t *testing.T) {
	for _, text := range all(t) {
		l, err := Parse(text, Options{})
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if len(l) != 1 {
			t.Errorf("%s: %d statements", text, len(l))
			continue
		}
		if s := l[0]; s.Pos() != 0 || s.End() != len(text) {
			t.Errorf("%s: range %d..%d of %d", text, s.Pos(), s.End(), len(text))
		}
		checkRoundTrip(t, text, l[0])
		checkPositions(t, text, reflect.ValueOf(l[0]))
	}
}

// checkPositions verifies that every node lies within the text and that a node's first byte is no white space.
func checkPositions(t testing.TB, text string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			checkPositions(t, text, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkPositions(t, text, v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == spanType {
			if s := v.Interface().(Span); s.Start < 0 || s.Start >= s.Stop || s.Stop > len(text) {
				t.Errorf("%s: range %v", text, s)
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Type == atType {
				if at := int(v.Field(i).Int()); at < 0 || at >= len(text) || isSpace(text[at]) {
					t.Errorf("%s: %s at offset %d", text, v.Type().Name(), at)
				}
				continue
			}
			checkPositions(t, text, v.Field(i))
		}
	}
}
