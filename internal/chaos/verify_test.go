package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestJudge(t *testing.T) {
	pg := func(code string) error { return fmt.Errorf("insert: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err    error
		want   outcome
		broken bool
	}{
		{nil, acked, false},
		{pg("40001"), refused, false},
		{pg("23505"), refused, false},
		{pg("53100"), refused, true},
		{pg("57P03"), refused, true},
		{pg("57P01"), unknown, true},
		{pg("08007"), unknown, true},
		{pg("40003"), unknown, true},
		{pg("XX000"), unknown, true},
		{context.DeadlineExceeded, unknown, true},
		{errors.New("unexpected EOF"), unknown, true},
	} {
		if got := judge(c.err); got != c.want || broken(c.err) != c.broken {
			t.Errorf("%v: outcome %d, broken %v; want %d, %v", c.err, got, broken(c.err), c.want, c.broken)
		}
	}
}

func TestRecoveries(t *testing.T) {
	const ms = time.Millisecond
	var v recoveries
	v.fault("kill", 1000*ms)
	v.ack(900*ms, 1100*ms) // begun before the fault: it may have been committed before it
	if len(v.times) > 0 {
		t.Errorf("%v", v.times)
	}
	v.fault("stop", 2000*ms)
	v.ack(1500*ms, 3000*ms)
	v.ack(3000*ms, 3500*ms)
	v.ack(4000*ms, 4500*ms)
	v.fault("kill", 5000*ms)
	v.disturb()
	v.disturb()
	v.ack(5500*ms, 6000*ms)
	if got := fmt.Sprint(v.times); got != "map[kill:[2s] kill, and another fault:[1s] stop:[1.5s]]" {
		t.Errorf("%s", got)
	}
	if got := timesOf([]time.Duration{5 * ms, 1 * ms, 9 * ms}); got != (Times{3, 5, 9, 9}) {
		t.Errorf("%+v", got)
	}
}

func line(step, index, weight, client, n int) string {
	return fmt.Sprintf(`{"_step":%d,"_index":%d,"_weight":%d,"client":%d,"n":%d,"total":%d,"last":%d}`, step, index, weight, client, n, n*10, n)
}

func TestSinkReader(t *testing.T) {
	good := []string{line(3, 0, 1, 1, 1), line(3, 1, 1, 2, 1), line(5, 0, -1, 1, 1), line(5, 1, 1, 1, 2)}
	n, rows, err := readSink([]byte(strings.Join(good, "\n") + "\n"))
	if want := []string{"1|2|20|2", "2|1|10|1"}; err != nil || n != 4 || !slices.Equal(rows, want) {
		t.Errorf("%d records, %q, %v; want %q", n, rows, err, want)
	}
	for name, lines := range map[string][]string{
		"a record twice":     {good[0], good[1], good[1], good[2], good[3]},
		"a record is gone":   {good[0], good[2], good[3]},
		"a step twice":       append(slices.Clone(good), good...),
		"a step's beginning": {good[0], good[1], good[3]},
		"a step is gone":     {good[2], good[3]},
		"half a record":      {good[0], good[1][:20], good[2]},
	} {
		_, got, err := readSink([]byte(strings.Join(lines, "\n")))
		if err == nil && slices.Equal(got, rows) {
			t.Errorf("%s is not noticed", name)
		}
	}
}

func TestClientsChecker(t *testing.T) {
	_, rows := someInserts()
	f := &findings{}
	checkClients(rows[:1], []string{"0|1|" + fmt.Sprint(rows[0].n) + "|1"}, f)
	expect(t, "right", f, nil)
	checkClients(rows[:1], []string{"0|2|" + fmt.Sprint(rows[0].n) + "|1"}, f)
	expect(t, "wrong", f, map[class]int{wrong: 1})
}

func TestWorkload(t *testing.T) {
	w, err := ParseWorkload(`
CREATE TABLE t (id INT PRIMARY KEY, v TEXT); -- a comment; with a semicolon
CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t;
-- run:
INSERT INTO t VALUES ({id}, 'client {client}; {random}');
DELETE FROM t WHERE id = {random};
-- check: SELECT * FROM v;
-- check: SELECT id FROM t ORDER BY id
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Setup) != 2 || len(w.Statements) != 2 || !slices.Equal(w.Checks, []string{"SELECT * FROM v", "SELECT id FROM t ORDER BY id"}) {
		t.Errorf("%d of setup, %d statements, checks %q", len(w.Setup), len(w.Statements), w.Checks)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	a, b := w.fill(w.Statements[0], 7, rng), w.fill(w.Statements[0], 7, rng)
	if !strings.Contains(a, "VALUES (1, 'client 7; ") || !strings.Contains(b, "VALUES (2, 'client 7; ") || strings.Contains(a+b, "{") {
		t.Errorf("%q %q", a, b)
	}
	for _, bad := range []string{"", "CREATE TABLE t (a INT);", "-- run:\n-- run:\nSELECT 1;", "-- run:\nSELECT 1;\n-- check:"} {
		if _, err := ParseWorkload(bad); err == nil {
			t.Errorf("%q is a workload", bad)
		}
	}
}

func TestRefused(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{
		{Binary: os.Args[0], Dir: t.TempDir(), Nodes: 3, Duration: time.Second},
		{Binary: os.Args[0], Dir: full, Nodes: 3, Duration: time.Minute},
		{Binary: os.Args[0], Dir: t.TempDir(), Nodes: 3, Duration: time.Minute, Network: "pigeons"},
		{Binary: os.Args[0], Dir: t.TempDir(), Nodes: 30, Duration: time.Minute, Network: "proxies"},
		{Binary: os.Args[0], Dir: t.TempDir(), Nodes: 3, Duration: time.Minute, Workload: "nothing"},
	} {
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%+v runs", cfg)
		}
	}
}

// TestCheckState plants errors into what a node has and looks whether they are found.
func TestCheckState(t *testing.T) {
	r := &chaos{}
	i, rows := r.inserts.begin(1, 2)
	r.inserts.end(i, acked)
	id := r.transfers.begin(transfer{src: 1, dst: 2, amount: 5})
	r.transfers.end(id, acked)
	r.beats.ack(1, 7, 0)
	r.producers.ack(1, 1)
	at := time.Unix(rows[0].at, 0).UTC()
	good := func() state {
		s := state{
			"windows": {fmt.Sprintf("%s|2|3", at.Truncate(windowSeconds*time.Second).Format(time.DateTime))},
			"clients": {fmt.Sprintf("1|2|%d|2", rows[0].n+rows[1].n)}, "transfers": {"1|1|2|5"},
			"beats": {"1|7"}, "posts": {"1|1"}, "producers": {"1|1|1"},
		}
		for _, e := range rows {
			s["events"] = append(s["events"], fmt.Sprintf("%d|%d|%d|%s", e.id, e.client, e.n, at.Format(time.DateTime)))
		}
		for k := range accounts {
			s["accounts"] = append(s["accounts"], fmt.Sprintf("%d|%d", k+1, startBalance+map[int]int{0: -5, 1: 5}[k]))
		}
		return s
	}
	for name, c := range map[string]struct {
		change func(state)
		want   map[class]int
	}{
		"all is well":           {func(state) {}, nil},
		"a lost statement":      {func(s state) { s["events"], s["windows"], s["clients"] = nil, nil, nil }, map[class]int{lost: 2}},
		"a view that is late":   {func(s state) { s["windows"] = nil }, map[class]int{wrong: 1}},
		"another view":          {func(s state) { s["clients"] = []string{"1|3|9|9"} }, map[class]int{wrong: 1}},
		"a lost transfer":       {func(s state) { s["transfers"] = nil }, map[class]int{lost: 1, wrong: 2}},
		"a lost beat":           {func(s state) { s["beats"] = []string{"1|6"} }, map[class]int{lost: 1}},
		"a lost request":        {func(s state) { s["posts"], s["producers"] = nil, nil }, map[class]int{lost: 1}},
		"a request twice":       {func(s state) { s["posts"] = []string{"1|1", "1|1"} }, map[class]int{duplicated: 1, wrong: 1}},
		"money from nowhere":    {func(s state) { s["accounts"][4] = "5|1001" }, map[class]int{wrong: 1}},
		"an account is missing": {func(s state) { s["accounts"] = s["accounts"][:9] }, map[class]int{wrong: 2}},
	} {
		s, f := good(), &findings{}
		c.change(s)
		if err := r.checkState(s, f); err != nil {
			t.Fatal(err)
		}
		expect(t, name, f, c.want)
	}
}
