package pattern

import (
	"errors"
	"strings"
	"testing"
)

func one(v int) *Node { return &Node{Op: Var, Var: v} }

func seq(kids ...*Node) *Node { return &Node{Op: Concat, Kids: kids} }

func or(kids ...*Node) *Node { return &Node{Op: Alt, Kids: kids} }

func rep(n *Node, lo, hi int) *Node { return &Node{Op: Repeat, Kids: []*Node{n}, Min: lo, Max: hi} }

func few(n *Node, lo, hi int) *Node {
	return &Node{Op: Repeat, Kids: []*Node{n}, Min: lo, Max: hi, Reluctant: true}
}

var names = []string{"a", "b", "c"}

// letters is a row for each letter, which fits the variables named by it; x fits all.
type letters struct {
	text string
	at   int
}

func (l *letters) Test(v int, _ int32, _ []int64) bool {
	c := l.text[l.at]
	return c == 'x' || c == names[v][0]
}

// search returns the variables of the match at the first row, "-" if there is none.
func search(t *testing.T, n *Node, text string, tracks ...Track) string {
	t.Helper()
	p, err := Compile(n)
	if err != nil {
		t.Fatal(err)
	}
	m, s := NewMachine(p, tracks), &Search{}
	m.Begin(s, 0)
	l := &letters{text: text}
	for s.Open() && l.at < len(text) {
		if _, why := m.Feed(s, l); why != NoLimit {
			t.Fatal(why)
		}
		l.at++
		if l.at%2 == 0 { // go on elsewhere
			m, s = NewMachine(p, tracks), reload(t, NewMachine(p, tracks), s)
		}
	}
	m.End(s, l.at == len(text))
	taken, ok := s.Match(nil)
	if !ok {
		return "-"
	}
	var b strings.Builder
	for i, x := range taken {
		if int(x.Row) != i {
			t.Fatalf("row %d of the match is row %d", i, x.Row)
		}
		b.WriteString(names[x.Var])
		if x.Excluded {
			b.WriteString("'")
		}
	}
	return b.String()
}

// reload saves a search and loads it, and what is not one.
func reload(t *testing.T, m *Machine, s *Search) *Search {
	t.Helper()
	saved := s.Save(nil)
	for n := range saved {
		if _, err := m.Load(&Search{}, saved[:n]); !errors.Is(err, ErrSaved) {
			t.Fatalf("%d of %d bytes of a search: %v", n, len(saved), err)
		}
	}
	out := &Search{}
	if rest, err := m.Load(out, append(saved, 1, 2)); err != nil || len(rest) != 2 {
		t.Fatalf("load: %v, %d bytes left", err, len(rest))
	}
	return out
}

func TestPreference(t *testing.T) {
	a, b, c := one(0), one(1), one(2)
	ab := or(a, b)
	for _, x := range []struct {
		p          *Node
		text, want string
		format     string
	}{
		{rep(a, 0, -1), "xxx", "aaa", "a*"},
		{few(a, 1, -1), "xxx", "a", "a+?"},
		{rep(ab, 2, 3), "xxxx", "aaa", "(a | b){2,3}"},
		{seq(few(a, 0, -1), rep(b, 0, -1)), "xx", "bb", "a*? b*"},
		{seq(rep(a, 0, -1), few(b, 0, 1), c), "xxx", "aac", "a* b?? c"},
		{or(seq(a, b), a), "xc", "a", "a b | a"},
		{or(a, seq(a, b)), "xx", "a", "a | a b"},
		{&Node{Op: Permute, Kids: []*Node{a, b, c}}, "xxx", "abc", "PERMUTE(a, b, c)"},
		{&Node{Op: Permute, Kids: []*Node{a, b, c}}, "cxx", "cab", "PERMUTE(a, b, c)"},
		{seq(a, &Node{Op: Exclude, Kids: []*Node{rep(b, 1, -1)}}, c), "abbc", "ab'b'c", "a {- b+ -} c"},
		{seq(&Node{Op: Start}, a, &Node{Op: End}), "a", "a", "^ a $"},
		{seq(a, &Node{Op: End}), "aa", "-", "a $"},
		{seq(), "a", "", "()"},
		{rep(few(a, 0, -1), 0, -1), "xxx", "aaa", "(a*?)*"},
		{rep(or(seq(), a), 0, -1), "xxx", "aaa", "(() | a)*"},
		{rep(or(seq(), a), 1, -1), "xxx", "aaa", "(() | a)+"},
		{few(or(seq(), a), 1, -1), "xxx", "", "(() | a)+?"},
		{rep(seq(rep(a, 0, 1), rep(b, 0, 1)), 0, -1), "xbxx", "abab", "(a? b?)*"},
		{seq(rep(or(&Node{Op: Start}, a), 0, -1), b), "xxb", "aab", "(^ | a)* b"},
	} {
		if got := x.p.Format(names); got != x.format {
			t.Errorf("prints as %s, want %s", got, x.format)
		}
		if got := search(t, x.p, x.text); got != x.want {
			t.Errorf("%s finds %q in %q, want %q", x.format, got, x.text, x.want)
		}
		// Threads that remember all they took are never dropped for one another.
		if got := search(t, x.p, x.text, Track{Kind: Every, Vars: 7, Rows: 1, Label: true}); got != x.want {
			t.Errorf("%s finds %q in %q with memory, want %q", x.format, got, x.text, x.want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	a := one(0)
	var parts []*Node
	for range 9 {
		parts = append(parts, rep(a, 0, 1))
	}
	nested := a
	for range 40 {
		nested = rep(or(nested, seq()), 0, -1)
	}
	for name, n := range map[string]*Node{
		"nested bounds":        rep(rep(a, 1000, 1000), 1000, 1000),
		"a permutation":        &Node{Op: Permute, Kids: parts},
		"in a loop":            rep(&Node{Op: Permute, Kids: parts}, 0, -1),
		"many that may be not": rep(rep(rep(a, 0, 1), 20000, -1), 0, -1),
	} {
		if _, err := Compile(n); !errors.As(err, &ErrTooLarge{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Compile(nested); err != nil {
		t.Errorf("loops in loops: %v", err)
	}
}

func TestAnalysis(t *testing.T) {
	p, err := Compile(seq(rep(one(0), 0, 1), rep(one(1), 2, 3), one(2)))
	if err != nil {
		t.Fatal(err)
	}
	if p.First() != 3 || p.Nullable() || p.Before(0) != 0 || p.Before(1) != 0 || p.Before(2) != 2 || p.Before(5) != -1 {
		t.Errorf("first %b, nullable %v, before %d %d %d %d", p.First(), p.Nullable(), p.Before(0), p.Before(1), p.Before(2), p.Before(5))
	}
}
