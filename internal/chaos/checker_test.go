package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// expect compares what was found with how many of each class there must be.
func expect(t *testing.T, what string, f *findings, want map[class]int) {
	t.Helper()
	for c := range classes {
		if f.counts[c] != want[c] {
			t.Errorf("%s: %d %s, want %d: %q", what, f.counts[c], classNames[c], want[c], f.words)
		}
	}
}

// someInserts is a history of statements: acknowledged, unknown and there, unknown and not
// there, refused, acknowledged. rows is what is there.
func someInserts() (h *inserts, rows []event) {
	h = &inserts{}
	for i, s := range []struct {
		n  int64
		o  outcome
		in bool
	}{{3, acked, true}, {2, unknown, true}, {2, unknown, false}, {1, refused, false}, {200, acked, true}} {
		k, r := h.begin(int64(i), s.n)
		h.end(k, s.o)
		if s.in {
			rows = append(rows, r...)
		}
	}
	return h, rows
}

func TestInsertsChecker(t *testing.T) {
	h, rows := someInserts()
	refusedID := h.stmts[3].first
	without := func(id int64) []event {
		return slices.DeleteFunc(slices.Clone(rows), func(e event) bool { return e.id == id })
	}
	changed := slices.Clone(rows)
	changed[0].n++
	for _, c := range []struct {
		name string
		rows []event
		want map[class]int
	}{
		{"all is well", rows, nil},
		{"a lost row", without(50), map[class]int{lost: 1, wrong: 1}}, // and its statement is torn
		{"a lost statement", slices.DeleteFunc(slices.Clone(rows), func(e event) bool { return e.id <= 3 }), map[class]int{lost: 3}},
		{"a row twice", append(slices.Clone(rows), rows[7]), map[class]int{duplicated: 1}},
		{"a row that is another", changed, map[class]int{wrong: 1}},
		{"half of an unknown statement", without(4), map[class]int{wrong: 1}},
		{"a refused row", append(slices.Clone(rows), rowsOf(h.stmts[3])...), map[class]int{wrong: 1}},
		{"a row of nobody", append(slices.Clone(rows), event{id: 100000}), map[class]int{wrong: 1}},
	} {
		f := &findings{}
		h.check(c.rows, f)
		expect(t, c.name, f, c.want)
	}
	if refusedID != 8 {
		t.Errorf("the refused row is %d", refusedID)
	}
}

func TestWindowsChecker(t *testing.T) {
	_, rows := someInserts()
	at := map[int64]window{}
	for _, r := range rows {
		w := at[r.at/10*10]
		at[r.at/10*10] = window{r.at / 10 * 10, w.n + 1, w.ids + r.id}
	}
	if len(at) < 2 {
		t.Fatalf("%d windows", len(at))
	}
	good := slices.SortedFunc(maps.Values(at), func(a, b window) int { return int(a.start - b.start) })
	bad := slices.Clone(good)
	bad[1].n--
	for _, c := range []struct {
		name string
		view []window
		want int
	}{{"right", good, 0}, {"a row is missing in one", bad, 1}, {"a window is missing", good[1:], 1}, {"one too many", append(slices.Clone(good), window{5, 1, 1}), 1}} {
		f := &findings{}
		checkWindows(rows, c.view, f)
		expect(t, c.name, f, map[class]int{wrong: c.want})
	}
}

func TestTransfersChecker(t *testing.T) {
	h := &transfers{}
	var rows []moved
	for i, o := range []outcome{acked, unknown, unknown, refused, acked} {
		tr := transfer{src: int64(i + 1), dst: int64(i + 2), amount: 10}
		id := h.begin(tr)
		h.end(id, o)
		if i == 0 || i == 1 || i == 4 {
			rows = append(rows, moved{id, tr.src, tr.dst, tr.amount})
		}
	}
	balances := func(rows []moved) map[int64]int64 {
		out := map[int64]int64{}
		for i := range int64(accounts) {
			out[i+1] = startBalance
		}
		for _, r := range rows {
			out[r.src] -= r.amount
			out[r.dst] += r.amount
		}
		return out
	}
	off := balances(rows)
	off[3]++
	for _, c := range []struct {
		name     string
		rows     []moved
		balances map[int64]int64
		want     map[class]int
	}{
		{"right", rows, balances(rows), nil},
		{"lost", rows[:2], balances(rows[:2]), map[class]int{lost: 1}},
		{"a wrong sum", rows, off, map[class]int{wrong: 1}},
		{"half of a transfer", rows, balances(rows[:2]), map[class]int{wrong: 2}},
		{"refused", append(slices.Clone(rows), moved{4, 4, 5, 10}), balances(append(slices.Clone(rows), moved{4, 4, 5, 10})), map[class]int{wrong: 1}},
		{"twice", append(slices.Clone(rows), rows[0]), balances(append(slices.Clone(rows), rows[0])), map[class]int{duplicated: 1}},
		{"another amount", []moved{{1, 1, 2, 11}, rows[1], rows[2]}, balances([]moved{{1, 1, 2, 11}, rows[1], rows[2]}), map[class]int{wrong: 1}},
	} {
		f := &findings{}
		h.check(c.rows, c.balances, f)
		expect(t, c.name, f, c.want)
	}
}

func TestStaleReads(t *testing.T) {
	b := &beats{}
	for i := range int64(20) {
		b.ack(1, i+1, time.Duration(i)*time.Second)
		b.ack(2, i+1, time.Duration(i)*time.Second)
	}
	const bound = 5 * time.Second
	for _, c := range []struct {
		one, two int64
		asked    time.Duration
		row      int64
	}{
		{20, 20, 19 * time.Second, 0},
		{14, 14, 19 * time.Second, 0}, // beat 14 was acknowledged 6 s before: the bound and the slack
		{13, 14, 19 * time.Second, 1}, // beat 14 should be there
		{14, 3, 19 * time.Second, 2},
		{0, 0, 5 * time.Second, 0},
		{0, 1, 6500 * time.Millisecond, 1},
	} {
		row, had, want := b.stale(map[int64]int64{1: c.one, 2: c.two}, c.asked, bound)
		if row != c.row {
			t.Errorf("%+v: row %d (had %d, want %d), must be %d", c, row, had, want, c.row)
		}
	}
}

// feed gives changes and progress to a subscriber: "+row", "-row" and "." for progress, each in
// a step of its own that follows.
func feed(w *follower, from int64, text string) error {
	step := from
	for word := range strings.FieldsSeq(text) {
		var err error
		switch word[0] {
		case '.':
			err = w.progressed(step)
			step++
		default:
			err = w.take(change{step, map[byte]int64{'+': 1, '-': -1}[word[0]], word[1:]})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestFollowers(t *testing.T) {
	const all = "+a +b . +c . -a +d . -b . +e ."
	view := []string{"c", "d", "e"}
	follow := func(name, text string) *follower {
		w := newFollower(name)
		if err := feed(w, 1, text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return w
	}
	good := follow("good", all)
	later := newFollower("later") // began with the rows of step 3
	if err := feed(later, 3, "+b +c +d . -b . +e ."); err != nil {
		t.Fatal(err)
	}
	resumed := follow("resumed", "+a +b . +c . -a")
	resumed.broken()
	if err := feed(resumed, 3, "-a +d . -b . +e ."); err != nil {
		t.Fatal(err)
	}
	f := &findings{}
	checkFollowers([]*follower{good, later, resumed}, view, f)
	expect(t, "right", f, nil)

	for _, c := range []struct {
		name, text string
		want       map[class]int
	}{
		{"a gap", "+a +b . +c . -a +d . -b . .", map[class]int{wrong: 1, mismatch: 1}},
		{"a gap in the middle", "+a +b . . -a +d . -b . +e .", map[class]int{wrong: 1, mismatch: 1}},
		{"other rows", "+a +b . +c . -a +x . -b . +e .", map[class]int{wrong: 1, mismatch: 1}},
		{"another step", "+a +b . . +c -a +d . -b . +e .", map[class]int{mismatch: 1}},
		{"another order", "+a +b . +c . +d -a . -b . +e .", map[class]int{mismatch: 1}},
	} {
		f := &findings{}
		checkFollowers([]*follower{good, follow(c.name, c.text)}, view, f)
		expect(t, c.name, f, c.want)
	}
	for name, text := range map[string]string{"a change twice": "+a +b . -a . -a .", "withdrawn and never there": "+a . -z ."} {
		if err := feed(newFollower(name), 1, text); err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
	w := follow("back", "+a . +b .")
	if err := w.take(change{2, 1, "b"}); err == nil {
		t.Error("a repetition of a complete step is not noticed")
	}
	if err := w.progressed(1); err == nil {
		t.Error("progress that goes back is not noticed")
	}
}

func TestRegisters(t *testing.T) {
	type op struct {
		client    int
		kind      string
		old, new  int64
		got       int64
		swapped   bool
		unknown   bool
		call, ret time.Duration
	}
	for _, c := range []struct {
		name string
		ops  []op
		want int
	}{
		{"one after the other", []op{{0, "write", 0, 5, 0, false, false, 0, 1}, {1, "read", 0, 0, 5, false, false, 2, 3}, {0, "cas", 5, 6, 0, true, false, 4, 5}, {1, "read", 0, 0, 6, false, false, 6, 7}}, 0},
		{"a stale read", []op{{0, "write", 0, 5, 0, false, false, 0, 1}, {1, "read", 0, 0, 0, false, false, 2, 3}}, 1},
		{"at the same time", []op{{0, "write", 0, 5, 0, false, false, 0, 4}, {1, "read", 0, 0, 0, false, false, 2, 3}}, 0},
		{"back again", []op{{0, "write", 0, 5, 0, false, false, 0, 9}, {1, "read", 0, 0, 5, false, false, 2, 3}, {1, "read", 0, 0, 0, false, false, 4, 5}}, 1},
		{"no answer, and it happened", []op{{0, "write", 0, 5, 0, false, true, 0, 1}, {1, "read", 0, 0, 0, false, false, 2, 3}, {1, "read", 0, 0, 5, false, false, 4, 5}}, 0},
		{"no answer, and it did not happen", []op{{0, "write", 0, 5, 0, false, true, 0, 1}, {1, "read", 0, 0, 0, false, false, 2, 3}}, 0},
		{"two swaps of one value", []op{{0, "cas", 0, 5, 0, true, false, 0, 3}, {1, "cas", 0, 6, 0, true, false, 1, 2}}, 1},
		{"a swap that should have been", []op{{0, "cas", 0, 5, 0, false, false, 0, 3}}, 1},
	} {
		h := &registers{rounds: 10}
		for _, o := range c.ops {
			h.add(7, o.client, registerOp{o.kind, o.old, o.new}, registerResult{o.unknown, o.got, o.swapped}, o.call, o.ret)
		}
		f := &findings{}
		ops, unchecked := h.check(f)
		expect(t, c.name, f, map[class]int{wrong: c.want})
		if unchecked > 0 || c.want == 0 && ops != len(c.ops) {
			t.Errorf("%s: %d checked, %d not", c.name, ops, unchecked)
		}
	}
}

func TestSchedules(t *testing.T) {
	const length = 5 * time.Minute
	var seen []string
	for seed := range uint64(50) {
		a, b := Schedule(seed, 3, length, Kinds), Schedule(seed, 3, length, Kinds)
		if !slices.Equal(a, b) {
			t.Fatalf("seed %d gives two schedules", seed)
		}
		seen = append(seen, fmt.Sprint(a))
		kinds := map[Kind]bool{}
		for i, f := range a {
			kinds[f.Kind] = true
			if i > 0 && f.At < a[i-1].At || f.At < warmUp || f.At+f.For > length-coolDown {
				t.Errorf("seed %d: fault %d from %v for %v", seed, i, f.At, f.For)
			}
		}
		if len(kinds) != len(Kinds) {
			t.Errorf("seed %d: only %v", seed, kinds)
		}
		for _, f := range Schedule(seed, 1, length, []Kind{Kill, Stop}) {
			if f.Who == Standby {
				t.Errorf("seed %d: one node has a standby: %v", seed, f)
			}
		}
		if n := len(Schedule(seed, 3, time.Minute, []Kind{Kill, Stop, Partition})); n < 2 {
			t.Errorf("seed %d: %d faults in a minute", seed, n)
		}
	}
	if slices.Sort(seen); len(slices.Compact(seen)) < 50 {
		t.Error("different seeds give the same schedule")
	}
	if got, err := ParseKinds("kill, partition,kill"); err != nil || !slices.Equal(got, []Kind{Kill, Partition}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := ParseKinds("kill,flood"); err == nil || !strings.Contains(err.Error(), `"flood"`) {
		t.Errorf("%v", err)
	}
}
