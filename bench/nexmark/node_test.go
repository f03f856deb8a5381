package nexmark

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/oracle"
)

// nodeTimeout bounds how long a node may take for all events.
const nodeTimeout = 60 * time.Second

// TestNode: a node whose sources are the connector's gives the answers that the
// circuits give here, those that wait for its watermarks included, also after it was
// started again and has generated all events anew.
func TestNode(t *testing.T) {
	o := Options{Events: 5000, Rate: 100, Seed: 3, Workers: 1, StepRows: 1000}
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) { onNode(t, dir, o, true) })
	t.Run("again", func(t *testing.T) { onNode(t, dir, o, false) })
}

// connectNode starts a node and returns a function that runs statements on it.
func connectNode(t *testing.T, dir string) func(sql string) [][]string {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{DataDir: dir, PG: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), "postgres://tidemill@"+n.Addrs().PG+"/tidemill?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return func(sql string) [][]string {
		t.Helper()
		res, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var rows [][]string
		for _, r := range res[len(res)-1].Rows {
			var row []string
			for _, v := range r {
				row = append(row, string(v))
			}
			rows = append(rows, row)
		}
		return rows
	}
}

func onNode(t *testing.T, dir string, o Options, create bool) {
	exec := connectNode(t, dir)
	queries := []string{"q4", "q5-close", "q7-rank", "q14", "q18"}
	if create {
		createOnNode(t, exec, o, queries)
	}
	deadline := time.Now().Add(nodeTimeout)
	want := strconv.FormatUint(o.Events, 10)
	for {
		exec("FLUSH")
		if got := exec("SELECT (SELECT count(*) FROM bid) + (SELECT count(*) FROM auction) + (SELECT count(*) FROM person)")[0][0]; got == want {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%s of %s events are there after %v", got, want, nodeTimeout)
		}
	}
	for _, q := range queries {
		var table oracle.Table
		runUntil(t, q, o, false, func(b *batch.Batch) { table = append(table, oracle.FromBatch(b)...) })
		want := lines(t, oracle.Consolidate(table))
		var got []string
		for _, r := range exec("SELECT * FROM " + strings.ReplaceAll(q, "-", "_")) {
			got = append(got, strings.Join(r, "|"))
		}
		slices.Sort(got)
		if diff := difference(got, want); diff != "" || len(got) == 0 {
			t.Errorf("%s: %d rows, want %d\n%s", q, len(got), len(want), diff)
		}
	}
}

func createOnNode(t *testing.T, exec func(string) [][]string, o Options, queries []string) {
	t.Helper()
	for _, tab := range tables[:3] {
		source := strings.TrimSuffix(tab.create(func(string) bool { return true }), ")")
		exec(fmt.Sprintf("%s, nexmark.event.num = %d, nexmark.first.event.rate = %d, nexmark.base.time = %d, nexmark.seed = %d, nexmark.min.event.gap.in.ns = 0)",
			source, o.Events, o.Rate, int64(BaseMillis), o.Seed))
	}
	for _, q := range queries {
		text, err := SQL(q)
		if err != nil {
			t.Fatal(err)
		}
		exec(text)
	}
}
