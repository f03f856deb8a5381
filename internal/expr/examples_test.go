package expr

import (
	"os"
	"strings"
	"testing"
)

// TestExamples computes every example of the function table, and checks that the
// example calls its own overload and that no overload is without one.
func TestExamples(t *testing.T) {
	for _, f := range Funcs() {
		if f.vec == nil && f.row == nil {
			t.Errorf("%s(%s) has no kernel", f.Name, typeList(f.Args))
			continue
		}
		if f.Example == "" || f.Want == "" || f.Want == "?" {
			t.Errorf("%s(%s) has no example", f.Name, typeList(f.Args))
			continue
		}
		e := bind(t, f.Example)
		called := false
		Walk(e, func(x Expr) bool {
			c, ok := x.(*Call)
			called = called || ok && c.Fn == f
			return true
		})
		if !called {
			t.Errorf("%s(%s): example %s calls another overload: %s", f.Name, typeList(f.Args), f.Example, e)
			continue
		}
		if f.host {
			continue // TestHost
		}
		if f.Name == "random" {
			continue // TestRandom
		}
		if got := evalText(e); got != f.Want {
			t.Errorf("%s = %s, want %s", f.Example, got, f.Want)
		}
	}
}

// TestKernelsHaveEntries finds kernels that no entry of the table uses.
func TestKernelsHaveEntries(t *testing.T) {
	used := map[string]bool{}
	m := allKernels()
	for _, s := range specs() {
		k := s.name + "(" + s.args + ")"
		if _, ok := m[k]; !ok {
			k = s.name
		}
		used[k] = true
	}
	for k := range m {
		if !used[k] {
			t.Errorf("kernel %s is in no entry of the table", k)
		}
	}
}

func TestDumpExamples(t *testing.T) {
	out := os.Getenv("EXPR_DUMP")
	if out == "" {
		t.Skip("EXPR_DUMP names no file")
	}
	var b strings.Builder
	for _, f := range Funcs() {
		b.WriteString(f.Example + "\n")
	}
	if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
