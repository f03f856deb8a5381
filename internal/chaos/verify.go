package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// errWaiting says that what is waited for is not there yet.
var errWaiting = errors.New("not yet")

// readWithin bounds reading everything from a node: a long run has millions of rows.
const readWithin = 10 * time.Minute

// eventually tries until fn gives no error, and returns the last one when the time is over. No try
// takes longer than try.
func eventually(ctx context.Context, within, try time.Duration, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		octx, done := context.WithTimeout(ctx, try)
		err := fn(octx)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		pause(ctx, reconnectPause)
	}
	return fmt.Errorf("after %v: %w", within, last)
}

// heal starts what does not run and waits until every node is ready, takes writes and has them.
// It returns what did not come about.
func (r *chaos) heal(ctx context.Context) []string {
	var out []string
	var mu sync.Mutex
	err := r.each(allNodes(r.cluster.Nodes()), func(i int) error {
		n := r.cluster.Node(i)
		if err := r.resume(i); err != nil {
			return err
		}
		err := eventually(ctx, healWithin, healTry, func(ctx context.Context) error {
			if !n.Alive() {
				if err := n.Start(ctx); err != nil {
					return err
				}
			}
			if _, err := r.doors.get(ctx, i, "/readyz"); err != nil {
				return err
			}
			return r.takesWrites(ctx, i)
		})
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, fmt.Sprintf("node %s: %v", n.Name(), err))
		}
		return nil
	})
	if err != nil {
		out = append(out, err.Error())
	}
	slices.Sort(out)
	return out
}

func allNodes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// takesWrites writes through a node and reads it there.
func (r *chaos) takesWrites(ctx context.Context, node int) error {
	c, err := r.connect(ctx, node, nil)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if r.own != nil {
		_, err := c.Exec(ctx, "FLUSH")
		return err
	}
	tag, err := c.Exec(ctx, fmt.Sprintf("UPDATE chaos_beats SET n = n + 1 WHERE id = %d", node+1))
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("an update of one row was answered with %q", tag)
	}
	return err
}

// state is what a node has of the built-in workload's relations, as sorted lines.
type state map[string][]string

// stateQueries are the relations that are compared, and how they are read.
var stateQueries = map[string]string{
	"events":    "SELECT id, client, n, at FROM chaos_events",
	"windows":   "SELECT window_start, n, ids FROM chaos_windows",
	"clients":   "SELECT client, n, total, last FROM chaos_clients",
	"accounts":  "SELECT id, balance FROM chaos_accounts",
	"transfers": "SELECT id, src, dst, amount FROM chaos_transfers",
	"registers": "SELECT id, v FROM chaos_registers",
	"beats":     "SELECT id, n FROM chaos_beats",
	"posts":     "SELECT producer, seq FROM chaos_posts",
	"producers": "SELECT producer, n, last FROM chaos_producers",
	"total":     "SELECT total, n FROM chaos_total",
}

// readState reads all relations on one node, once that has everything that was acknowledged.
func (r *chaos) readState(ctx context.Context, node int) (state, int64, error) {
	settings := []string{"FLUSH"}
	if r.latest {
		settings = append(settings, readLatest)
	}
	var out state
	var step int64
	err := eventually(ctx, readWithin, readWithin, func(ctx context.Context) error {
		c, err := r.connect(ctx, node, nil, settings...)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		got := state{}
		for _, name := range sortedKeys(stateQueries) {
			if got[name], err = lines(ctx, c, stateQueries[name]); err != nil {
				return fmt.Errorf("%s: %w", stateQueries[name], err)
			}
		}
		rows, err := texts(ctx, c, "SELECT step FROM tidemill.relations WHERE name = 'chaos_clients'")
		if err != nil || len(rows) != 1 {
			return fmt.Errorf("step of chaos_clients: %v: %w", rows, err)
		}
		out, step = got, number(rows[0][0])
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read all on node %s: %w", r.cluster.Node(node).Name(), err)
	}
	return out, step, nil
}

// readAll reads all nodes until none differs: what is late on one of them is not lost. That it
// is late is wrong all the same if it was acknowledged, for it is read after FLUSH and with
// read = 'latest'. What differs to the end is a mismatch.
func (r *chaos) readAll(ctx context.Context) (state, int64, error) {
	var first state
	var step int64
	looked := map[int]bool{}
	err := eventually(ctx, settleWithin, readWithin, func(ctx context.Context) error {
		var differs []string
		for i := range r.cluster.Nodes() {
			got, at, err := r.readState(ctx, i)
			if err != nil {
				return err
			}
			step = max(step, at)
			if !looked[i] {
				looked[i] = true
				if err := r.checkLate(i, got); err != nil {
					return err
				}
			}
			if i == 0 {
				first = got
				continue
			}
			for _, name := range sortedKeys(stateQueries) {
				if !slices.Equal(got[name], first[name]) {
					differs = append(differs, fmt.Sprintf("%s: node a has %s, node %s has %s; %s", name, brief(first[name]), r.cluster.Node(i).Name(), brief(got[name]), difference(first[name], got[name])))
				}
			}
		}
		if len(differs) > 0 {
			return fmt.Errorf("%w: %s", errDiffer, differs[0])
		}
		return nil
	})
	if errors.Is(err, errDiffer) {
		r.findings.add(mismatch, "%v", err)
		err = nil
	}
	return first, step, err
}

// checkLate looks whether a node's first answer holds what was acknowledged.
func (r *chaos) checkLate(node int, got state) error {
	f := &findings{}
	if err := r.checkState(got, f); err != nil {
		return err
	}
	if f.counts[lost] > 0 {
		r.findings.add(wrong, "node %s after FLUSH, with the latest rows: %d acknowledged writes are not in them: %s", r.cluster.Node(node).Name(), f.counts[lost], f.words[0])
	}
	return nil
}

// errDiffer says that nodes have different rows.
var errDiffer = errors.New("nodes differ")

// check compares what is there with what was answered. It returns the records of the sink.
func (r *chaos) check(ctx context.Context, subs *sync.WaitGroup) (int, error) {
	f := &r.findings
	first, step, err := r.readAll(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.checkState(first, f); err != nil {
		return 0, err
	}
	r.goal.Store(step)
	done := make(chan struct{})
	go func() {
		defer close(done)
		subs.Wait()
	}()
	select {
	case <-done:
		checkFollowers(r.follow3, first["clients"], f)
	case <-time.After(settleWithin):
		return 0, fmt.Errorf("subscribers did not come to step %d within %v", step, settleWithin)
	}
	return r.checkSink(ctx, first["clients"])
}

// difference names a row that only one of two sorted lists has.
func difference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("only the second has %q", b[i])
		case i >= len(b):
			return fmt.Sprintf("only the first has %q", a[i])
		case a[i] != b[i]:
			return fmt.Sprintf("the first has %q where the second has %q", a[i], b[i])
		}
	}
	return "the same"
}

// checkState compares the relations of one node with the histories.
func (r *chaos) checkState(s state, f *findings) error {
	var events []event
	for _, line := range s["events"] {
		p := strings.Split(line, "|")
		at, err := time.Parse(time.DateTime, p[3])
		if err != nil {
			return err
		}
		events = append(events, event{number(p[0]), number(p[1]), number(p[2]), at.Unix()})
	}
	r.inserts.check(events, f)
	var windows []window
	for _, line := range s["windows"] {
		p := strings.Split(line, "|")
		at, err := time.Parse(time.DateTime, p[0])
		if err != nil {
			return err
		}
		windows = append(windows, window{at.Unix(), number(p[1]), number(p[2])})
	}
	checkWindows(events, windows, f)
	checkClients(events, s["clients"], f)
	r.producers.check(s["posts"], f)
	checkProducers(s["posts"], s["producers"], f)
	var rows []moved
	for _, line := range s["transfers"] {
		p := strings.Split(line, "|")
		rows = append(rows, moved{number(p[0]), number(p[1]), number(p[2]), number(p[3])})
	}
	balances := map[int64]int64{}
	for _, line := range s["accounts"] {
		id, b, _ := strings.Cut(line, "|")
		balances[number(id)] = number(b)
	}
	r.transfers.check(rows, balances, f)
	for row, l := range r.beats.row {
		want := l[len(l)-1].n
		if !slices.ContainsFunc(s["beats"], func(line string) bool {
			id, n, _ := strings.Cut(line, "|")
			return number(id) == row && number(n) >= want
		}) {
			f.add(lost, "beats: beat %d of row %d was acknowledged; there are %v", want, row, s["beats"])
		}
	}
	return nil
}

// checkClients compares the view by client with a recomputation from the rows of its table.
func checkClients(rows []event, view []string, f *findings) {
	type sums struct{ n, total, last int64 }
	by := map[int64]sums{}
	for _, e := range rows {
		s := by[e.client]
		by[e.client] = sums{s.n + 1, s.total + e.n, max(s.last, e.id)}
	}
	var want []string
	for _, c := range sortedKeys(by) {
		want = append(want, fmt.Sprintf("%d|%d|%d|%d", c, by[c].n, by[c].total, by[c].last))
	}
	slices.Sort(want)
	if !slices.Equal(want, view) {
		f.add(wrong, "view of clients: %s, it must be %s", brief(view), brief(want))
	}
}

// checkProducers compares the view of requests with their rows.
func checkProducers(posts, view []string, f *findings) {
	n, last := map[int64]int{}, map[int64]int64{}
	for _, line := range posts {
		p, seq, _ := strings.Cut(line, "|")
		n[number(p)]++
		last[number(p)] = max(last[number(p)], number(seq))
	}
	var want []string
	for _, p := range sortedKeys(n) {
		want = append(want, fmt.Sprintf("%d|%d|%d", p, n[p], last[p]))
	}
	slices.Sort(want)
	if !slices.Equal(want, view) {
		f.add(wrong, "view of producers: %s, it must be %s", brief(view), brief(want))
	}
}

// checkSink waits until the sink's file holds every change of the view once, and nothing else.
func (r *chaos) checkSink(ctx context.Context, view []string) (int, error) {
	n := 0
	err := eventually(ctx, settleWithin, opTimeout, func(context.Context) error {
		data, err := os.ReadFile(r.sinkPath())
		if err != nil {
			return err
		}
		var got []string
		if n, got, err = readSink(data); err != nil {
			return err
		}
		if !slices.Equal(got, view) {
			return fmt.Errorf("its changes lead to %s, the view is %s: %w", brief(got), brief(view), errWaiting)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.findings.add(wrong, "file of the sink: %v", err)
	}
	return n, nil
}

// readSink reads the records of the sink's file and the rows that they lead to.
func readSink(data []byte) (n int, rows []string, err error) {
	type record struct {
		Step                   int64 `json:"_step"`
		Index                  int64 `json:"_index"`
		Weight                 int64 `json:"_weight"`
		Client, N, Total, Last json.Number
	}
	w := newFollower("sink")
	w.since, w.done = 0, 0
	last := record{Step: -1}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); n++ {
		r := record{Weight: 1}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			return n, nil, fmt.Errorf("line %d: %q: %w", n+1, sc.Text(), err)
		}
		if r.Step < last.Step || r.Step == last.Step && r.Index != last.Index+1 || r.Step > last.Step && r.Index != 0 {
			return n, nil, fmt.Errorf("line %d: record %d of step %d comes after record %d of step %d", n+1, r.Index, r.Step, last.Index, last.Step)
		}
		if r.Step > last.Step && last.Step >= 0 {
			if err := w.progressed(last.Step); err != nil {
				return n, nil, err
			}
		}
		last = r
		if err := w.take(change{r.Step, r.Weight, strings.Join([]string{r.Client.String(), r.N.String(), r.Total.String(), r.Last.String()}, "|")}); err != nil {
			return n, nil, err
		}
	}
	if last.Step >= 0 {
		err = w.progressed(last.Step)
	}
	return n, w.list(), err
}
