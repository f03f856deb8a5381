package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// follow opens a subscription.
func (c *client) follow(text string, args ...types.Value) session.Cursor {
	c.Helper()
	cur, err := c.tryFollow(text, args...)
	if err != nil {
		c.Fatalf("%s: %v", text, detailed(err))
	}
	return cur
}

func (c *client) tryFollow(text string, args ...types.Value) (session.Cursor, error) {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return nil, err
	}
	st, err := c.s.Prepare(c.Context(), text, stmts[0], nil)
	if err != nil {
		return nil, err
	}
	return c.s.Execute(c.Context(), st, args)
}

// there returns the rows that a subscription has now.
func (c *client) there(cur session.Cursor) []string {
	c.Helper()
	rows, err := drain(c.Context(), cur)
	if err != nil {
		c.Fatal(detailed(err))
	}
	return rows
}

// wantRows compares rows whose step is written relative to base, as @0, @1, ...
func wantRows(t testing.TB, got []string, base uint64, want ...string) {
	t.Helper()
	for i, w := range want {
		n, rest, _ := strings.Cut(strings.TrimPrefix(w, "@"), ",")
		var d uint64
		fmt.Sscan(n, &d)
		want[i] = fmt.Sprintf("%d,%s", base+d, rest)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// TestSubscribeAsOf begins at every step there was: the snapshot is what a query
// answered then, and what comes behind leads to what is there now.
func TestSubscribeAsOf(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n`)
	followed := map[string]string{
		"t": "SELECT * FROM t", "v": "SELECT * FROM v", "s": "SELECT * FROM s",
		"(SELECT t.id, s.name FROM t JOIN s ON s.k = t.n)": "SELECT t.id, s.name FROM t JOIN s ON s.k = t.n",
	}
	truth := map[string]map[uint64][]string{}
	for name := range followed {
		truth[name] = map[uint64][]string{}
	}
	look := func() {
		t.Helper()
		c.exec(`FLUSH`)
		for name, query := range followed {
			rows, _, err := c.run(query)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(rows)
			truth[name][b.e.Snapshot().Step] = rows
		}
	}
	look()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		switch rng.IntN(4) {
		case 0:
			b.push("s", int64(rng.IntN(4)), fmt.Sprint("n", i))
			b.push("s", int64(rng.IntN(4)), fmt.Sprint("n", i))
		case 1:
			c.exec(fmt.Sprintf(`DELETE FROM t WHERE n = %d`, rng.IntN(4)))
		case 2:
			c.exec(fmt.Sprintf(`UPDATE t SET n = (n + id) %% 4 WHERE id %% 3 = %d`, rng.IntN(3)))
		default:
			c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d), (%d, %d)`, 2*i, rng.IntN(4), 2*i+1, rng.IntN(4)))
		}
		look()
	}
	check := func() {
		t.Helper()
		for name, steps := range truth {
			for step, rows := range steps {
				cur := c.follow(fmt.Sprintf("SUBSCRIBE %s AS OF %d", name, step))
				sum := map[string]int{}
				var first []string
				for _, r := range c.there(cur) {
					at, rest, _ := strings.Cut(r, ", ")
					w, row, _ := strings.Cut(rest, ", ")
					var weight int
					fmt.Sscan(w, &weight)
					if at == fmt.Sprint(step) {
						for range weight {
							first = append(first, row)
						}
					}
					if sum[row] += weight; sum[row] == 0 {
						delete(sum, row)
					}
				}
				slices.Sort(first)
				if !slices.Equal(first, rows) {
					t.Fatalf("%s at step %d\ngot  %q\nwant %q", name, step, first, rows)
				}
				now := map[string]int{}
				for _, r := range steps[b.e.Snapshot().Step] {
					now[r]++
				}
				if fmt.Sprint(sum) != fmt.Sprint(now) {
					t.Fatalf("%s from step %d on leads to\n%v, want\n%v", name, step, sum, now)
				}
			}
		}
	}
	check()
	b.stop()
	b = start(t, logs)
	c = b.client()
	check()
}

// TestSubscribersResume interrupts subscribers at random, and the engine too: what
// they are given in pieces is what one who never went away is given.
func TestSubscribersResume(t *testing.T) {
	for seed := range uint64(4) {
		testResume(t, seed)
	}
}

// TestSubscribersResumeOverCheckpoints: a restart from a checkpoint forgets nothing of
// what was changed before it, however little memory there is.
func TestSubscribersResumeOverCheckpoints(t *testing.T) {
	for seed := range uint64(4) {
		disk := newDisk()
		testResume(t, seed, on(disk), func(c *Config) { c.MemoryBytes = 20_000 })
	}
}

func testResume(t *testing.T, seed uint64, change ...func(*Config)) {
	rng := rand.New(rand.NewPCG(seed, 7))
	logs := newMemLogs()
	b := start(t, logs, change...)
	w, c := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n`)
	w.exec(`INSERT INTO t VALUES (1000, 1), (1001, 2)`)
	from := b.e.Snapshot().Step
	names := []string{"t", "v", "(SELECT id * 2 AS d FROM t WHERE n > 0)", "t ENVELOPE UPSERT (KEY (id))", "v ENVELOPE DEBEZIUM (KEY (n))"}
	got := make([][]string, len(names)) // without progress
	seen := make([]string, len(names))  // the last step that is over
	curs := make([]session.Cursor, len(names))
	for i := range names {
		curs[i] = c.follow(fmt.Sprintf("SUBSCRIBE %s WITH (progress)", names[i]))
	}
	read := func(i int) {
		t.Helper()
		for _, r := range c.there(curs[i]) {
			step, rest, _ := strings.Cut(r, ", ")
			if strings.HasPrefix(rest, "t, ") {
				seen[i] = step
			} else {
				got[i] = append(got[i], step+", "+strings.TrimPrefix(rest, "f, "))
			}
		}
	}
	for n := range 60 {
		switch rng.IntN(3) {
		case 0:
			w.exec(fmt.Sprintf(`DELETE FROM t WHERE id %% 5 = %d`, rng.IntN(5)))
		case 1:
			w.exec(fmt.Sprintf(`UPDATE t SET n = n + 1 WHERE id %% 3 = %d`, rng.IntN(3)))
		default:
			w.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, %d)`, n, rng.IntN(3)))
		}
		if len(change) > 0 && rng.IntN(5) == 0 {
			w.exec(`CHECKPOINT`)
		}
		if n%20 == 19 {
			for i := range names {
				read(i) // or what comes behind the last step told would be given again
			}
			b.stop()
			b = start(t, logs, change...)
			w, c = b.client(), b.client()
		}
		for i := range names {
			if n%20 == 19 || rng.IntN(6) == 0 {
				if n%20 != 19 {
					read(i)
				}
				curs[i].Close()
				curs[i] = c.follow(fmt.Sprintf("SUBSCRIBE %s WITH (progress, snapshot = false) AS OF %s", names[i], seen[i]))
			} else if rng.IntN(2) == 0 {
				read(i)
			}
		}
	}
	for i, name := range names {
		read(i)
		whole := c.there(c.follow(fmt.Sprintf("SUBSCRIBE %s AS OF %d", name, from)))
		if !slices.Equal(got[i], whole) {
			t.Fatalf("seed %d: %s\nin pieces %q\nat once   %q", seed, name, got[i], whole)
		}
		if seen[i] != fmt.Sprint(b.e.Snapshot().Step) {
			t.Errorf("seed %d: %s: told up to step %s of %d", seed, name, seen[i], b.e.Snapshot().Step)
		}
	}
}

func TestSubscribeProgress(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY, n TEXT); CREATE TABLE other (id INT); INSERT INTO t VALUES (1, 'a')`)
	at := b.e.Snapshot().Step
	cur := c.follow(`SUBSCRIBE TO t WITH (PROGRESS)`)
	var names []string
	for _, col := range cur.Columns() {
		names = append(names, col.Name+" "+col.Type.String())
	}
	if want := "[step bigint progressed boolean weight bigint id integer n text]"; fmt.Sprint(names) != want {
		t.Errorf("%v, want %s", names, want)
	}
	wantRows(t, c.there(cur), at, "@0, f, 1, 1, a", "@0, t, null, null, null")
	wantRows(t, c.there(cur), at)
	w.exec(`UPDATE t SET n = 'b'`)
	wantRows(t, c.there(cur), at, "@1, f, -1, 1, a", "@1, f, 1, 1, b", "@1, t, null, null, null")
	w.exec(`INSERT INTO other VALUES (1)`)
	wantRows(t, c.there(cur), at, "@2, t, null, null, null")
	// Without a snapshot the first row tells where it begins.
	cur = c.follow(`SUBSCRIBE (SELECT n FROM t) WITH (PROGRESS, SNAPSHOT = false)`)
	wantRows(t, c.there(cur), at, "@2, t, null, null")
	// Up to a step: its end is told, and then there is no more.
	cur = c.follow(fmt.Sprintf(`SUBSCRIBE t WITH (PROGRESS = true, SNAPSHOT = true) AS OF %d UP TO %d`, at, at+1))
	wantRows(t, c.there(cur), at, "@0, f, 1, 1, a", "@0, t, null, null, null", "@1, f, -1, 1, a", "@1, f, 1, 1, b", "@1, t, null, null, null")
	if b, err := cur.Next(t.Context(), true); b != nil || err != nil {
		t.Errorf("after the end: %v, %v", b, err)
	}
}

func TestSubscribeSteps(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY, n TEXT)`)
	made := b.e.Snapshot().Step
	w.exec(`INSERT INTO t VALUES (1, 'a')`)
	w.exec(`INSERT INTO t VALUES (2, 'b')`)
	now := b.e.Snapshot().Step
	const code = types.CodeInvalidParameter
	e := c.fails(fmt.Sprintf(`SUBSCRIBE t AS OF %d`, made-1), code, fmt.Sprintf("step %d is no longer kept: the oldest step to begin with is %d", made-1, made))
	if e.Pos != len("SUBSCRIBE t AS OF ")+1 {
		t.Error("position", e.Pos)
	}
	w.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c FROM t`)
	c.fails(fmt.Sprintf(`SUBSCRIBE v AS OF %d`, now-1), code, fmt.Sprintf("the oldest step to begin with is %d", now))
	c.fails(fmt.Sprintf(`SUBSCRIBE (SELECT c FROM v, t) WITH (SNAPSHOT = false) AS OF %d`, now-1), code, fmt.Sprintf("the oldest step to begin with is %d", now))
	c.fails(`SUBSCRIBE t AS OF 4 UP TO 3`, code, "UP TO step 3 is before step 4")
	c.fails(`SUBSCRIBE t UP TO 1`, code, fmt.Sprintf("UP TO step 1 is before step %d", now))
	c.fails(`SUBSCRIBE t AS OF 1.5`, code, "a step is a whole number")
	c.fails(`SUBSCRIBE t AS OF -1`, code, "a step is a whole number")
	c.fails(`SUBSCRIBE t AS OF $3`, "42P02", "there is no parameter $3")
	c.fails(`SUBSCRIBE t WITH (progress, progress)`, code, `invalid option "progress"`)
	c.fails(`SUBSCRIBE t WITH (snapshot = 3)`, code, `invalid option "snapshot"`)
	c.fails(`SUBSCRIBE t WITH (speed)`, code, `invalid option "speed"`)

	// Steps as parameters, and as text.
	cur := c.follow(`SUBSCRIBE t WITH (snapshot = false) AS OF $1 UP TO $2`, types.IntValue(types.Int8, int64(made)), types.IntValue(types.Int8, int64(made+1)))
	wantRows(t, c.there(cur), made, "@1, 1, 1, a")
	cur = c.follow(fmt.Sprintf(`SUBSCRIBE t WITH (snapshot = false) AS OF '%d'`, made+1))
	wantRows(t, c.there(cur), made, "@2, 1, 2, b")
	if _, err := c.tryFollow(`SUBSCRIBE t AS OF $1`, types.NullOf(types.T(types.Int8))); err == nil || !strings.Contains(err.Error(), "whole number") {
		t.Errorf("AS OF NULL: %v", err)
	}
	c.fails(`COPY (SUBSCRIBE t AS OF $1) TO STDOUT`, "42P02", "there is no parameter $1")

	// A step that is yet to come is waited for.
	cur = c.follow(fmt.Sprintf(`SUBSCRIBE t AS OF %d`, now+2))
	wantRows(t, c.there(cur), now)
	w.exec(`INSERT INTO t VALUES (3, 'c')`)
	wantRows(t, c.there(cur), now)
	arrived := make(chan []string, 1)
	go func() {
		b, err := cur.Next(t.Context(), true)
		if err != nil {
			arrived <- []string{detailed(err)}
			return
		}
		var rows []string
		for i := range b.N {
			rows = append(rows, strings.Trim(rowText(b, i, len(b.Cols)), "()"))
		}
		arrived <- rows
	}()
	w.exec(`DELETE FROM t WHERE id < 3`)
	select {
	case rows := <-arrived:
		wantRows(t, rows, now, "@2, 1, 3, c")
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
	}
}

// TestSubscribeForgets drops old changes to make room: who asks for them, or was too
// slow, is told the oldest step there is.
func TestSubscribeForgets(t *testing.T) {
	b := start(t, newMemLogs(), func(c *Config) { c.Checkpoint.Interval = -1 }) // in memory less is kept
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY, n TEXT)`)
	from := b.e.Snapshot().Step
	slow := c.follow(`SUBSCRIBE t`)
	c.there(slow)
	for i := range 3 {
		w.exec(fmt.Sprintf(`INSERT INTO t SELECT %d + i, repeat('x', 1000) FROM generate_series(1, 20000) AS g (i)`, i*20000))
	}
	oldest := b.e.Snapshot().rings[b.e.Snapshot().Catalog.Lookup([]string{"public"}, "", "t").ID].oldest()
	if oldest <= from {
		t.Fatal("nothing was dropped")
	}
	c.fails(fmt.Sprintf(`SUBSCRIBE t AS OF %d`, from), types.CodeInvalidParameter, fmt.Sprintf("the oldest step to begin with is %d", oldest))
	_, err := slow.Next(t.Context(), true)
	if err == nil || !strings.Contains(detailed(err), fmt.Sprintf("55000 changes after step %d are no longer kept", from)) || !strings.Contains(detailed(err), fmt.Sprintf("AS OF step %d", oldest)) {
		t.Errorf("a slow reader got %v", detailed(err))
	}
	n := len(c.there(c.follow(fmt.Sprintf(`SUBSCRIBE t WITH (SNAPSHOT = false) AS OF %d`, oldest))))
	if want := int(b.e.Snapshot().Step-oldest) * 20000; n != want {
		t.Errorf("%d rows after step %d, want %d", n, oldest, want)
	}
}

func TestSubscribeEnvelopes(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY, g TEXT, n INT); INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)`)
	at := b.e.Snapshot().Step
	up := c.follow(`SUBSCRIBE t ENVELOPE UPSERT (KEY (id))`)
	deb := c.follow(`SUBSCRIBE (SELECT n, g, id FROM t) ENVELOPE DEBEZIUM (KEY (id)) WITH (PROGRESS)`)
	byG := c.follow(`SUBSCRIBE t ENVELOPE UPSERT (KEY (g)) WITH (SNAPSHOT = false)`)
	columns := func(cur session.Cursor) string {
		var names []string
		for _, col := range cur.Columns() {
			names = append(names, col.Name)
		}
		return strings.Join(names, " ")
	}
	if got := columns(up); got != "step state id g n" {
		t.Error(got)
	}
	if got := columns(deb); got != "step progressed state id before_n before_g after_n after_g" {
		t.Error(got)
	}
	wantRows(t, c.there(up), at, "@0, upsert, 1, a, 10", "@0, upsert, 2, b, 20")
	wantRows(t, c.there(deb), at, "@0, f, insert, 1, null, null, 10, a", "@0, f, insert, 2, null, null, 20, b",
		"@0, t, null, null, null, null, null, null")
	wantRows(t, c.there(byG), at)
	w.exec(`UPDATE t SET g = 'b', n = 11 WHERE id = 1`) // two rows have g = b now, none a
	w.exec(`INSERT INTO t VALUES (3, 'b', 30), (4, NULL, 1)`)
	w.exec(`DELETE FROM t WHERE id IN (2, 3)`)
	w.exec(`BEGIN; UPDATE t SET n = 0; UPDATE t SET n = id + 10; COMMIT`) // 1 is as it was
	wantRows(t, c.there(up), at, "@1, upsert, 1, b, 11", "@2, upsert, 3, b, 30", "@2, upsert, 4, null, 1",
		"@3, delete, 2, null, null", "@3, delete, 3, null, null", "@4, upsert, 4, null, 14")
	wantRows(t, c.there(deb), at, "@1, f, upsert, 1, 10, a, 11, b", "@1, t, null, null, null, null, null, null",
		"@2, f, insert, 3, null, null, 30, b", "@2, f, insert, 4, null, null, 1, null", "@2, t, null, null, null, null, null, null",
		"@3, f, delete, 2, 20, b, null, null", "@3, f, delete, 3, 30, b, null, null", "@3, t, null, null, null, null, null, null",
		"@4, f, upsert, 4, 1, null, 14, null", "@4, t, null, null, null, null, null, null")
	wantRows(t, c.there(byG), at, "@1, delete, a, null, null", "@1, key_violation, b, null, null",
		"@2, upsert, null, 4, 1", "@3, upsert, b, 1, 11", "@4, upsert, null, 4, 14")
	c.fails(`SUBSCRIBE t ENVELOPE UPSERT (KEY (x))`, types.CodeUndefinedColumn, `column "x" of KEY does not exist`)
	c.fails(`SUBSCRIBE t ENVELOPE DEBEZIUM (KEY (id, id))`, types.CodeDuplicateColumn, "twice")

	// All columns may be the key, and rows may come several times.
	w.exec(`CREATE TABLE bag (n INT); INSERT INTO bag VALUES (1), (1), (2)`)
	at = b.e.Snapshot().Step
	cur := c.follow(`SUBSCRIBE bag ENVELOPE UPSERT (KEY (n))`)
	w.exec(`DELETE FROM bag`)
	wantRows(t, c.there(cur), at, "@0, key_violation, 1", "@0, upsert, 2", "@1, delete, 1", "@1, delete, 2")
}

// TestSubscribeThroughStatements follows through cursors and COPY, and ends with the view.
func TestSubscribeThroughStatements(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)`)
	at := b.e.Snapshot().Step
	c.exec(`BEGIN; DECLARE a CURSOR FOR SUBSCRIBE t ENVELOPE UPSERT (KEY (id)) WITH (progress)`)
	c.want(`FETCH ALL a`, fmt.Sprintf("%d, f, upsert, 1", at), fmt.Sprintf("%d, t, null, null", at))
	cur := c.follow(fmt.Sprintf(`COPY (SUBSCRIBE t WITH (progress) AS OF %d UP TO %[1]d) TO STDOUT`, at))
	wantRows(t, c.there(cur), at, "@0, f, 1, 1", "@0, t, null, null")
	c.exec(`COMMIT`)
	cur = c.follow(`SUBSCRIBE t`)
	wantRows(t, c.there(cur), at, "@0, 1, 1")
	w.exec(`DROP TABLE t`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := cur.Next(ctx, true); err == nil || !strings.Contains(err.Error(), "dropped") {
		t.Errorf("of a dropped table: %v", err)
	}
}

// TestSubscribeToTime follows queries whose answers come when a window closes.
func TestSubscribeToTime(t *testing.T) {
	b := start(t, newMemLogs())
	c, w := b.client(), b.client()
	w.exec(`CREATE TABLE r (at TIMESTAMP, n INT, WATERMARK FOR at AS at - INTERVAL '10 seconds') APPEND ONLY`)
	w.exec(`INSERT INTO r VALUES ('2026-01-01 00:00:05', 1), ('2026-01-01 00:00:50', 2)`)
	const query = `(SELECT window_start, sum(n) AS s FROM TUMBLE(r, at, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE)`
	w.exec(`CREATE MATERIALIZED VIEW v AS ` + query)
	from := b.e.Snapshot().Step
	cur, view := c.follow(`SUBSCRIBE `+query), c.follow(`SUBSCRIBE v`)
	wantRows(t, c.there(cur), from)
	for _, at := range []string{"00:01:05", "00:01:10", "00:02:20", "00:05:00"} {
		w.exec(`INSERT INTO r VALUES ('2026-01-01 ` + at + `', 3)`)
		got, want := c.there(cur), c.there(view)
		if !slices.Equal(got, want) {
			t.Errorf("at %s the query gives %q, the view %q", at, got, want)
		}
		if closes := at == "00:01:10" || at == "00:02:20" || at == "00:05:00"; closes != (len(got) > 0) {
			t.Errorf("at %s: %q", at, got)
		}
	}
	c.fails(fmt.Sprintf(`SUBSCRIBE %s AS OF %d`, query, from), types.CodeFeature, "by time passing")
	whole := c.there(c.follow(fmt.Sprintf(`SUBSCRIBE v AS OF %d`, from)))
	wantRows(t, whole, from, "@2, 1, 2026-01-01 00:00:00, 3", "@3, 1, 2026-01-01 00:01:00, 6", "@4, 1, 2026-01-01 00:02:00, 3")
}
