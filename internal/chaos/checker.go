package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// outcome of a write, as the client knows it.
type outcome uint8

const (
	unknown outcome = iota // no answer came, or one that leaves it open
	acked
	refused // it did not happen, and the answer said so
)

// class of what is wrong.
type class int

const (
	lost class = iota // an acknowledged write is not there
	duplicated
	wrong // anything else that must not be
	staleRead
	mismatch // nodes differ
	classes
)

var classNames = [classes]string{"lost", "duplicated", "wrong", "stale and unlabelled", "digest mismatch"}

// maxFindings bounds how many findings of a class are kept in words; all are counted.
const maxFindings = 10

// findings is what was found wrong. It may be used by many.
type findings struct {
	clock func() time.Duration // since the start of the load; nil: nobody asks when

	mu     sync.Mutex
	counts [classes]int
	words  []string
}

func (f *findings) add(c class, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[c]++
	if f.counts[c] <= maxFindings {
		when := ""
		if f.clock != nil {
			when = fmt.Sprintf("at %.1fs: ", f.clock().Seconds())
		}
		f.words = append(f.words, when+classNames[c]+": "+fmt.Sprintf(format, args...))
	}
}

// event is a row of the table of unique inserts. All but id follows from what the writer
// knows: who wrote it, in which statement.
type event struct {
	id, client, n int64
	at            int64 // seconds since 1970
}

// inserts is the history of unique inserts. Rows of one statement have one outcome.
type inserts struct {
	mu    sync.Mutex
	stmts []insert
}

type insert struct {
	first, n int64 // the ids first, first+1, ... n of them
	client   int64
	outcome  outcome
}

// begin notes a statement before it is sent. It returns its number and the rows.
func (h *inserts) begin(client int64, n int64) (int, []event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := int64(1)
	if len(h.stmts) > 0 {
		last := h.stmts[len(h.stmts)-1]
		first = last.first + last.n
	}
	h.stmts = append(h.stmts, insert{first: first, n: n, client: client})
	return len(h.stmts) - 1, rowsOf(h.stmts[len(h.stmts)-1])
}

func (h *inserts) end(i int, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stmts[i].outcome = o
}

// eventsPerSecond is how many ids share a second of event time, and windowSeconds how long a
// window of the view is.
const (
	eventsPerSecond = 20
	windowSeconds   = 10
	// eventEpoch is the time of the first event, in seconds since 1970.
	eventEpoch = 1_000_000_000
)

// rowsOf is the rows of a statement.
func rowsOf(s insert) []event {
	out := make([]event, s.n)
	for i := range out {
		id := s.first + int64(i)
		out[i] = event{id: id, client: s.client, n: id*2654435761%1000 + 1, at: eventEpoch + id/eventsPerSecond}
	}
	return out
}

// check compares the history with the rows that are there.
func (h *inserts) check(rows []event, f *findings) {
	there := make(map[int64]event, len(rows))
	twice := map[int64]int{}
	for _, r := range rows {
		if _, ok := there[r.id]; ok {
			twice[r.id]++
		}
		there[r.id] = r
	}
	for _, id := range sortedKeys(twice) {
		f.add(duplicated, "events: row %d is there %d times", id, twice[id]+1)
	}
	known := 0
	for _, s := range h.stmts {
		got := 0
		for _, want := range rowsOf(s) {
			r, ok := there[want.id]
			switch {
			case !ok && s.outcome == acked:
				f.add(lost, "events: row %d was acknowledged and is not there", want.id)
			case ok && r != want:
				f.add(wrong, "events: row %d is %+v, %+v was written", want.id, r, want)
			case ok && s.outcome == refused:
				f.add(wrong, "events: row %d is there though it was refused", want.id)
			}
			if ok {
				got++
			}
		}
		if got > 0 && int64(got) < s.n {
			f.add(wrong, "events: of the statement with rows %d to %d only %d are there", s.first, s.first+s.n-1, got)
		}
		known += got
	}
	if known < len(there) {
		f.add(wrong, "events: %d rows are there that nobody wrote", len(there)-known)
	}
}

// window is a row of the windowed view.
type window struct{ start, n, ids int64 }

// checkWindows compares the view with a recomputation from the rows of its table.
func checkWindows(rows []event, view []window, f *findings) {
	want := map[int64]window{}
	for _, r := range rows {
		start := r.at / windowSeconds * windowSeconds
		w := want[start]
		want[start] = window{start, w.n + 1, w.ids + r.id}
	}
	for _, w := range view {
		if want[w.start] != w {
			f.add(wrong, "view of windows: %+v, it must be %+v", w, want[w.start])
		}
		delete(want, w.start)
	}
	for _, start := range sortedKeys(want) {
		f.add(wrong, "view of windows: %+v is missing", want[start])
	}
}

// sortedKeys lists the keys of m in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// Accounts of the transfers.
const (
	accounts     = 10
	startBalance = 1000
)

// transfer moves amount from an account to another; its id is its place in the history, from 1.
type transfer struct {
	src, dst, amount int64
	outcome          outcome
}

// transfers is the history of transfers.
type transfers struct {
	mu  sync.Mutex
	all []transfer
}

func (h *transfers) begin(t transfer) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, t)
	return int64(len(h.all))
}

func (h *transfers) end(id int64, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[id-1].outcome = o
}

// moved is a row of the table that tells which transfers happened.
type moved struct{ id, src, dst, amount int64 }

// check compares the history with the transfers that are there and the balances they lead to.
func (h *transfers) check(rows []moved, balances map[int64]int64, f *findings) {
	want := map[int64]int64{}
	for i := range int64(accounts) {
		want[i+1] = startBalance
	}
	there := map[int64]bool{}
	for _, r := range rows {
		switch {
		case there[r.id]:
			f.add(duplicated, "transfers: %d is there twice", r.id)
		case r.id < 1 || r.id > int64(len(h.all)):
			f.add(wrong, "transfers: nobody made %+v", r)
		default:
			t := h.all[r.id-1]
			if (moved{r.id, t.src, t.dst, t.amount}) != r {
				f.add(wrong, "transfers: %+v is there, %+v was made", r, t)
			}
			if t.outcome == refused {
				f.add(wrong, "transfers: %d is there though it was refused or rolled back", r.id)
			}
		}
		there[r.id] = true
		want[r.src] -= r.amount
		want[r.dst] += r.amount
	}
	for i, t := range h.all {
		if t.outcome == acked && !there[int64(i+1)] {
			f.add(lost, "transfers: %d was acknowledged and is not there", i+1)
		}
	}
	for _, id := range sortedKeys(want) {
		if b, ok := balances[id]; !ok || b != want[id] {
			f.add(wrong, "account %d has %d (there: %v), the transfers give %d", id, b, ok, want[id])
		}
	}
	if len(balances) != len(want) {
		f.add(wrong, "%d accounts are there, %d were made", len(balances), len(want))
	}
}

// beats is when which beat of each row was acknowledged. Beats of a row grow.
type beats struct {
	mu  sync.Mutex
	row map[int64][]beat
}

type beat struct {
	n    int64
	when time.Duration // since the start of the run
}

func (b *beats) ack(row, n int64, when time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.row == nil {
		b.row = map[int64][]beat{}
	}
	b.row[row] = append(b.row[row], beat{n, when})
}

// newest is the last beat of a row that had been acknowledged at that time; 0 if none had.
func (b *beats) newest(row int64, when time.Duration) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.row[row]
	i := sort.Search(len(l), func(i int) bool { return l[i].when > when })
	if i == 0 {
		return 0
	}
	return l[i-1].n
}

// staleSlack is what the answer to a write may take to its client: an answer may say that it is as
// old as max_staleness allows, of a write whose client heard of it that much later.
const staleSlack = time.Second

// stale says by how much an answer without a label was too old: rows it had, by row, to a
// question asked at that time. It returns the first row that shows it, 0 if none does.
func (b *beats) stale(got map[int64]int64, asked, bound time.Duration) (row, had, want int64) {
	b.mu.Lock()
	rows := sortedKeys(b.row)
	b.mu.Unlock()
	for _, row := range rows {
		if want := b.newest(row, asked-bound-staleSlack); got[row] < want {
			return row, got[row], want
		}
	}
	return 0, 0, 0
}

// change is a row of a subscription.
type change struct {
	step, weight int64
	row          string
}

// follower is what a subscriber received, applied to a multiset of rows. What it has of steps
// that are not complete is forgotten when its connection breaks.
type follower struct {
	name  string
	rows  map[string]int64
	done  int64 // everything up to that step was received
	open  []change
	steps []stepSeen // that changed something, in their order
	since int64      // the step of the rows it began with
}

// stepSeen is what a subscriber saw of a step.
type stepSeen struct {
	step, n int64
	digest  uint64
}

func newFollower(name string) *follower {
	return &follower{name: name, rows: map[string]int64{}, done: -1, since: -1}
}

// take adds a row.
func (w *follower) take(c change) error {
	switch {
	case c.weight == 0:
		return fmt.Errorf("%s: row %q of step %d has weight 0", w.name, c.row, c.step)
	case c.step <= w.done:
		return fmt.Errorf("%s: row %q of step %d comes after everything up to step %d: a repetition", w.name, c.row, c.step, w.done)
	case len(w.open) > 0 && c.step < w.open[len(w.open)-1].step:
		return fmt.Errorf("%s: row %q of step %d comes after step %d", w.name, c.row, c.step, w.open[len(w.open)-1].step)
	}
	w.open = append(w.open, c)
	return nil
}

// progressed is told that everything up to step was sent.
func (w *follower) progressed(step int64) error {
	if step < w.done {
		return fmt.Errorf("%s: progress goes back from step %d to %d", w.name, w.done, step)
	}
	for len(w.open) > 0 && w.open[0].step <= step {
		at := w.open[0].step
		n := 0
		seen := stepSeen{step: at}
		for n < len(w.open) && w.open[n].step == at {
			c := w.open[n]
			seen.n++
			seen.digest = seen.digest*1099511628211 + hash(fmt.Sprintf("%d|%s", c.weight, c.row))
			if w.rows[c.row] += c.weight; w.rows[c.row] == 0 {
				delete(w.rows, c.row)
			}
			n++
		}
		w.open = w.open[n:]
		if w.since < 0 {
			w.since = at // the rows there were, not a change
		} else {
			w.steps = append(w.steps, seen)
		}
		for row, weight := range w.rows {
			if weight < 0 {
				return fmt.Errorf("%s: row %q has weight %d after step %d: a gap, or a repetition", w.name, row, weight, at)
			}
		}
	}
	if w.since < 0 {
		w.since = step
	}
	w.done = step
	return nil
}

// broken forgets what came of steps that are not complete.
func (w *follower) broken() { w.open = nil }

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// list is the rows, sorted, each as often as its weight says.
func (w *follower) list() []string {
	out := []string{}
	for row, n := range w.rows {
		for range n {
			out = append(out, row)
		}
	}
	slices.Sort(out)
	return out
}

// checkFollowers compares what subscribers saw with each other, step by step where both
// were there, and with the rows of the view at the end.
func checkFollowers(all []*follower, view []string, f *findings) {
	view = slices.Clone(view)
	slices.Sort(view)
	for _, w := range all {
		if got := w.list(); !slices.Equal(got, view) {
			f.add(wrong, "%s: what it was sent up to step %d leads to %s, the view is %s", w.name, w.done, brief(got), brief(view))
		}
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			compareFollowers(a, b, f)
		}
	}
}

func compareFollowers(a, b *follower, f *findings) {
	from := max(a.since, b.since)
	after := func(w *follower) []stepSeen {
		i := sort.Search(len(w.steps), func(i int) bool { return w.steps[i].step > from })
		return w.steps[i:]
	}
	x, y := after(a), after(b)
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			f.add(mismatch, "%s saw %+v, %s saw %+v: %s", a.name, x[i], b.name, y[i], "a step must give the same on every node")
			return
		}
	}
	if to := min(a.done, b.done); len(x) != len(y) {
		rest := append(slices.Clone(x[min(len(x), len(y)):]), y[min(len(x), len(y)):]...)
		if rest[0].step <= to {
			f.add(mismatch, "%s and %s: only one of them saw %+v", a.name, b.name, rest[0])
		}
	}
}

// brief is a list for a finding.
func brief(list []string) string {
	const most = 6
	if len(list) > most {
		return fmt.Sprintf("%d rows (%s, ...)", len(list), strings.Join(list[:most], "; "))
	}
	return fmt.Sprintf("%d rows (%s)", len(list), strings.Join(list, "; "))
}
