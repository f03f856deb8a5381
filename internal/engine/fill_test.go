package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// small opens an engine without a disk whose views may hold so many bytes.
func small(bytes int64) func(*Config) {
	return func(c *Config) { c.MemoryBytes, c.Checkpoint.Interval = bytes, -1 }
}

// crowd makes a table of n rows.
func (c *client) crowd(n int) {
	c.Helper()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY, v INT)`)
	c.exec(fmt.Sprintf(`INSERT INTO t SELECT i, i FROM generate_series(1, %d) AS g (i)`, n))
}

// TestViewThatDoesNotFitIsRefused makes views and a sink that need too much memory:
// each fails with the operator's name and the limit, and nothing has changed, also
// after a restart with less memory.
func TestViewThatDoesNotFitIsRefused(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs, small(8<<20))
	c := b.client()
	c.crowd(2000)
	c.exec(`CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t`)
	refused := func(text, operator string) {
		t.Helper()
		e := c.fails(text, types.CodeOutOfMemory, "out of memory")
		if !strings.Contains(e.Message+e.Detail, operator) || !strings.Contains(e.Message, "limit") {
			t.Errorf("%s: %s", text, detailed(e))
		}
	}
	refused(`CREATE MATERIALIZED VIEW p AS SELECT a.id AS x, b.id AS y FROM t a, t b`, "Output")
	refused(`CREATE MATERIALIZED VIEW p AS SELECT DISTINCT a.id + b.id * 10000 AS x FROM t a, t b`, "Distinct")
	refused(`CREATE SINK p AS SELECT a.id AS x, b.id AS y FROM t a, t b WITH (connector = 'kept')`, "Output")
	c.fails(`SELECT * FROM p`, types.CodeUndefinedTable, "does not exist")
	c.exec(`INSERT INTO t VALUES (0, 1)`)
	c.want(`SELECT n FROM n`, "2001")
	c.exec(`CREATE MATERIALIZED VIEW p AS SELECT a.v AS x FROM t a JOIN t b ON a.v = b.id`)
	c.want(`SELECT count(*) FROM p`, "2001")
	b.stop()

	c = start(t, logs, small(1<<10)).client() // what is in the log stays true
	c.want(`SELECT count(*) FROM p`, "2001")
	c.fails(`INSERT INTO t VALUES (-1, 1)`, types.CodeOutOfMemory, "no room for more rows")
	c.fails(`CREATE MATERIALIZED VIEW q AS SELECT * FROM t`, types.CodeOutOfMemory, "no room for materialized view q")
	c.exec(`DROP MATERIALIZED VIEW p; DROP MATERIALIZED VIEW n; INSERT INTO t VALUES (-1, 1)`)
	c.want(`SELECT count(*) FROM t`, "2002")
}

// TestFillingAViewIsCancelled gives a CREATE MATERIALIZED VIEW up while its view is
// filled: by its client, by statement_timeout, and by the end of the engine.
func TestFillingAViewIsCancelled(t *testing.T) {
	const view = `CREATE MATERIALIZED VIEW p AS SELECT count(*) AS n FROM t a, t b, t c WHERE a.v + b.v + c.v = -1`
	b := start(t, newMemLogs())
	c := b.client()
	c.crowd(3000)
	create := func(ctx context.Context) error {
		stmts, err := sql.Parse(view, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		st, err := c.s.Prepare(ctx, view, stmts[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.s.Execute(ctx, st, nil)
		return err
	}
	is := func(err error, code, message string) {
		t.Helper()
		var te *types.Error
		if !errors.As(err, &te) || te.Code != code || !strings.Contains(te.Message, message) {
			t.Fatalf("got %v, want %s %s", err, code, message)
		}
	}
	c.exec(`SET statement_timeout = 50`)
	is(create(t.Context()), types.CodeQueryCanceled, "timeout")
	c.exec(`SET statement_timeout = 0`)

	ctx, cancel := context.WithCancel(t.Context())
	other := b.client()
	failed := make(chan error, 2)
	go func() { failed <- create(ctx) }()
	time.AfterFunc(20*time.Millisecond, cancel) // in the middle of it; before it begins would do, too
	is(<-failed, types.CodeQueryCanceled, "user request")
	other.exec(`INSERT INTO t VALUES (-1, 1)`)
	other.want(`SELECT count(*) FROM t`, "3001")

	go func() { failed <- create(t.Context()) }()
	done, end := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer end()
	b.e.Close(done)
	is(<-failed, "57P01", "terminating")
}

// TestCloseStopsAStep closes the engine in the middle of a step that takes minutes: it
// ends, and after a restart the step's transaction is not there.
func TestCloseStopsAStep(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.client()
	c.crowd(1500)
	c.exec(`CREATE TABLE few (n INT); CREATE MATERIALIZED VIEW p AS SELECT count(*) AS n FROM few, t a, t b, t c WHERE a.v + b.v + c.v = few.n`)
	failed := make(chan error, 1)
	go func() {
		_, _, err := c.run(`INSERT INTO few VALUES (-1)`)
		failed <- err
	}()
	for busy := false; !busy; { // until the leader is in the step, and answers nobody
		answered := make(chan struct{})
		go func() {
			_, _, _ = b.client().run(`FLUSH`)
			close(answered)
		}()
		select {
		case <-answered:
		case <-time.After(200 * time.Millisecond):
			busy = true
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.e.Close(ctx)
	var te *types.Error
	if err := <-failed; !errors.As(err, &te) || te.Code != "57P01" {
		t.Fatalf("got %v", err)
	}
	b = start(t, logs)
	b.client().want(`SELECT count(*) FROM few`, "0")
}
