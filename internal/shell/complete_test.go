package shell

import (
	"context"
	"reflect"
	"testing"
)

func TestTabCompletesWordsAndNames(t *testing.T) {
	c := &completer{names: []string{"accounts", "acc_count", "Mixed", `a"b`, "owner"}, asked: true}
	for _, x := range []struct {
		line string
		want []string
	}{
		{"sel", []string{"select"}},
		{"SEL", []string{"SELECT"}},
		{"select * from acc", []string{"accounts", "acc_count"}},
		{"SELECT * FROM ACCO", []string{"accounts"}},
		{"SELECT count(own", []string{"owner"}},
		{"SELECT t.own", []string{"owner"}},
		{"SELECT 1;sel", []string{"select"}},
		{"SELECT a FROM t WHERE x=own", []string{"owner"}},
		{"SELECT * FROM Mi", []string{`"Mixed"`}},
		{`SELECT * FROM "Mi`, []string{`"Mixed"`}},
		{`SELECT "acco`, []string{`"accounts"`}},
		{`SELECT "a"`, []string{`"a""b"`}},
		{`\d acco`, []string{"accounts"}},
		{"SELECT zzz", nil},
	} {
		if got := c.complete(context.Background(), x.line); !reflect.DeepEqual(got, x.want) {
			t.Errorf("complete(%q) = %q, want %q", x.line, got, x.want)
		}
	}
}
