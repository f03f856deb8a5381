package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// changes is what a subscriber received, applied to a multiset of rows.
type changes struct {
	rows map[string]int64 // weight of each row after step
	step int64            // the last step that is complete
	last []change         // of the step that comes in; it may be cut short
	n    int              // complete steps
}

type change struct {
	step, weight int64
	row          string
}

func newChanges() *changes { return &changes{rows: map[string]int64{}, step: -1} }

func texts(vs [][]byte) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		if out[i] = string(v); v == nil {
			out[i] = "∅"
		}
	}
	return out
}

// add takes the next row of a subscription: step, weight and the row.
func (c *changes) add(row []string) error {
	step, err1 := strconv.ParseInt(row[0], 10, 64)
	weight, err2 := strconv.ParseInt(row[1], 10, 64)
	if err1 != nil || err2 != nil || weight == 0 {
		return fmt.Errorf("step or weight of %q", row)
	}
	if len(c.last) > 0 && step < c.last[0].step {
		return fmt.Errorf("step %d comes after step %d", step, c.last[0].step)
	}
	if len(c.last) > 0 && step > c.last[0].step {
		if err := c.settle(); err != nil {
			return err
		}
	}
	c.last = append(c.last, change{step, weight, strings.Join(row[2:], "|")})
	return nil
}

// settle applies the last step, which is complete.
func (c *changes) settle() error {
	c.n++
	for _, x := range c.last {
		c.step = x.step
		if c.rows[x.row] += x.weight; c.rows[x.row] == 0 {
			delete(c.rows, x.row)
		}
	}
	c.last = nil
	for row, w := range c.rows {
		if w < 0 {
			return fmt.Errorf("row %q has weight %d after step %d", row, w, c.step)
		}
	}
	return nil
}

// list returns the rows, sorted, each as often as its weight says.
func (c *changes) list() []string {
	out := []string{}
	for row, w := range c.rows {
		for range w {
			out = append(out, row)
		}
	}
	sort.Strings(out)
	return out
}

func sorted(s []string) []string {
	sort.Strings(s)
	return s
}

// check compares what is there with what was answered. What was open is settled by it.
func (k *killTest) check(t *testing.T, n *node) {
	t.Helper()
	c := n.connect(t)
	exe(t, c, "FLUSH")
	k.checkLedger(t, c)
	k.checkTransfers(t, c)
	checkSource(t, c, "posts", k.posts)
	checkSource(t, c, "msgs", k.msgs)
	k.checkQuarantine(t, c)
	k.checkViews(t, c)
	k.checkSubscriber(t, c)
	k.checkSink(t, c)
}

func (k *killTest) checkLedger(t *testing.T, c *pgx.Conn) {
	there := map[int64]value{}
	for _, r := range rows(t, c, "SELECT id, writer, amount FROM ledger") {
		var id int64
		v := value{there: true}
		if _, err := fmt.Sscanf(r, "%d|%d|%d", &id, &v.writer, &v.amount); err != nil {
			t.Fatal(err)
		}
		if _, twice := there[id]; twice {
			t.Errorf("ledger: row %d is there twice", id)
		}
		if _, known := k.ledger[id]; !known {
			t.Errorf("ledger: row %s was never written", r)
		}
		there[id] = v
	}
	for id, p := range k.ledger {
		v := there[id]
		if !p.has(v) {
			t.Errorf("ledger: row %d is %+v, it must be one of %+v", id, v, p)
		}
		k.ledger[id] = possible{v}
	}
}

func (k *killTest) checkTransfers(t *testing.T, c *pgx.Conn) {
	balance := map[int64]int64{}
	for i := range int64(accountCount) {
		balance[i+1] = accountBalance
	}
	there := map[int64]bool{}
	for _, r := range rows(t, c, "SELECT id, src, dst, amount FROM transfers") {
		var id int64
		var tr transfer
		if _, err := fmt.Sscanf(r, "%d|%d|%d|%d", &id, &tr.src, &tr.dst, &tr.amount); err != nil {
			t.Fatal(err)
		}
		known := k.transfers[id]
		if known == nil || there[id] || known.src != tr.src || known.dst != tr.dst || known.amount != tr.amount {
			t.Errorf("transfers: %s was not written so, or is there twice", r)
			continue
		}
		if known.outcome == refused {
			t.Errorf("transfer %d is there though it was refused or rolled back", id)
		}
		there[id] = true
		balance[tr.src] -= tr.amount
		balance[tr.dst] += tr.amount
	}
	for id, tr := range k.transfers {
		if tr.outcome == done && !there[id] {
			t.Errorf("transfer %d was answered and is not there", id)
		}
		if tr.outcome = refused; there[id] {
			tr.outcome = done
		}
	}
	var expect []string
	for i := range int64(accountCount) {
		expect = append(expect, fmt.Sprintf("%d|%d", i+1, balance[i+1]))
	}
	want(t, c, "SELECT id, balance FROM accounts ORDER BY id", expect...)
}

func checkSource(t *testing.T, c *pgx.Conn, name string, known map[int64]*record) {
	there := map[int64]bool{}
	for _, r := range rows(t, c, "SELECT id, v, count(*) FROM "+name+" GROUP BY id, v") {
		var id, v, n int64
		if _, err := fmt.Sscanf(r, "%d|%d|%d", &id, &v, &n); err != nil {
			t.Fatal(err)
		}
		if n != 1 || there[id] {
			t.Errorf("%s: row %d is there %d times", name, id, n)
		}
		if known[id] == nil || known[id].v != v || known[id].outcome == refused {
			t.Errorf("%s: row %s was not written so, or was not there after an earlier start", name, r)
		}
		there[id] = true
	}
	for id, r := range known {
		if r.outcome == done && !there[id] {
			t.Errorf("%s: row %d was answered and is not there", name, id)
		}
		if r.outcome = refused; there[id] {
			r.outcome = done
		}
	}
}

func (k *killTest) checkQuarantine(t *testing.T, c *pgx.Conn) {
	var n int
	if err := c.QueryRow(deadline(t), "SELECT count(*) FROM tidemill.quarantine WHERE source = 'posts'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n < k.badPosts[0] || n > k.badPosts[0]+k.badPosts[1] {
		t.Errorf("%d bad records are in quarantine; %d were answered, and %d may be there besides", n, k.badPosts[0], k.badPosts[1])
	}
	k.badPosts = [2]int{n, 0}
}

// checkViews compares each view with a recomputation here and with its query.
func (k *killTest) checkViews(t *testing.T, c *pgx.Conn) {
	same := func(view, query string) {
		a, b := sorted(rows(t, c, "SELECT * FROM "+view)), sorted(rows(t, c, query))
		if strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("view %s:\n%s\nits query:\n%s", view, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	for _, s := range killSchema {
		if name, ok := strings.CutPrefix(s, "CREATE MATERIALIZED VIEW "); ok {
			name, query, _ := strings.Cut(name, " AS ")
			same(name, query)
		}
	}
	type sum struct{ n, total, most int64 }
	sums := map[int]sum{}
	for _, p := range k.ledger {
		if v := p[0]; v.there {
			s := sums[v.writer]
			sums[v.writer] = sum{s.n + 1, s.total + v.amount, max(s.most, v.amount)}
		}
	}
	expect := []string{}
	for w, s := range sums {
		expect = append(expect, fmt.Sprintf("%d|%d|%d|%d", w, s.n, s.total, s.most))
	}
	if got := sorted(rows(t, c, "SELECT * FROM by_writer")); strings.Join(got, "\n") != strings.Join(sorted(expect), "\n") {
		t.Errorf("view by_writer:\n%s\nthe answered rows give:\n%s", strings.Join(got, "\n"), strings.Join(expect, "\n"))
	}
	there := map[string]bool{}
	for _, name := range rows(t, c, "SELECT matviewname FROM pg_matviews WHERE matviewname LIKE 'extra%'") {
		there[name] = true
		same(name, "SELECT writer, min(amount) AS least FROM ledger GROUP BY writer")
	}
	for name, p := range k.views {
		v := value{there: there[name]}
		if !p.has(v) {
			t.Errorf("view %s: there=%v, but it must be one of %+v", name, v.there, p)
		}
		k.views[name] = possible{v}
	}
}

// checkSubscriber looks whether what a subscriber was shown before the crash leads,
// with the steps that come behind it, to what is there now.
func (k *killTest) checkSubscriber(t *testing.T, c *pgx.Conn) {
	s := k.seen
	if s == nil || s.step < 0 {
		return // it saw no complete step
	}
	var now int64
	if err := c.QueryRow(deadline(t), "SELECT step FROM tidemill.relations WHERE name = 'by_writer'").Scan(&now); err != nil {
		t.Fatal(err)
	}
	if len(s.last) > 0 && s.last[0].step > now {
		t.Errorf("a subscriber saw step %d, and there is no step after %d", s.last[0].step, now)
	}
	query := fmt.Sprintf("SUBSCRIBE by_writer WITH (SNAPSHOT = false) AS OF %d UP TO %d", s.step, now)
	res, err := c.PgConn().Exec(deadline(t), query).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	k.followed += s.n
	partial := append([]change(nil), s.last...)
	s.last = nil
	got := map[change]bool{}
	for _, r := range res[0].Rows {
		row := texts(r)
		if err := s.add(row); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		got[s.last[len(s.last)-1]] = true
	}
	for _, x := range partial {
		if !got[x] {
			t.Errorf("a subscriber saw %+v, which is no change of that step now", x)
		}
	}
	if err := s.settle(); err != nil {
		t.Error(err)
	}
	if a, b := s.list(), sorted(rows(t, c, "SELECT * FROM by_writer")); strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("changes seen before the crash and after it lead to:\n%s\nbut by_writer is:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	k.seen = nil
}

// checkSink waits until the file holds every change once, and no other.
func (k *killTest) checkSink(t *testing.T, c *pgx.Conn) {
	view := sorted(rows(t, c, "SELECT * FROM by_writer"))
	end := time.Now().Add(opTimeout)
	for {
		got, err := readSink(k.sink)
		if err == nil && strings.Join(got, "\n") == strings.Join(view, "\n") {
			return
		}
		if time.Now().After(end) {
			t.Errorf("the sink's changes lead to (%v):\n%s\nbut by_writer is:\n%s", err, strings.Join(got, "\n"), strings.Join(view, "\n"))
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func readSink(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := newChanges()
	type record struct {
		Step                   int64 `json:"_step"`
		Index                  int64 `json:"_index"`
		Weight                 int64 `json:"_weight"`
		Writer, N, Total, Most json.Number
	}
	step, index := int64(-1), int64(-1)
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		var r record
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%q: %w", sc.Text(), err)
		}
		if r.Step < step || r.Step == step && r.Index != index+1 || r.Step > step && r.Index != 0 {
			return nil, fmt.Errorf("change %d of step %d comes after change %d of step %d", r.Index, r.Step, index, step)
		}
		step, index = r.Step, r.Index
		if err := c.add([]string{fmt.Sprint(r.Step), fmt.Sprint(r.Weight), r.Writer.String(), r.N.String(), r.Total.String(), r.Most.String()}); err != nil {
			return nil, err
		}
	}
	err = c.settle()
	return c.list(), err
}
