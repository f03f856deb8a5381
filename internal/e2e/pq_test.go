package e2e

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/lib/pq"
)

// TestPq uses lib/pq through database/sql, as many programs do.
func TestPq(t *testing.T) {
	n := dev(t, t.TempDir())
	db, err := sql.Open("postgres", n.url())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := deadline(t)
	must(db.ExecContext(ctx, `CREATE TABLE t (id BIGINT PRIMARY KEY, b BOOLEAN, i INTEGER, f DOUBLE PRECISION, n NUMERIC(20,4), s TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, iv INTERVAL, tm TIME)`))
	must(db.ExecContext(ctx, "CREATE MATERIALIZED VIEW sums AS SELECT b, sum(n) AS n, count(*) AS c FROM t GROUP BY b"))

	st, err := db.PrepareContext(ctx, "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2001, 2, 3, 4, 5, 6, 789000000, time.UTC)
	res, err := st.ExecContext(ctx, 1, true, 7, 2.5, "123.4567", "it's ünï", at, at, at, "1 day 02:03:04", "04:05:06")
	if err != nil {
		t.Fatal(err)
	}
	if k, err := res.RowsAffected(); err != nil || k != 1 {
		t.Errorf("rows affected: %d, %v", k, err)
	}
	must(st.ExecContext(ctx, 2, false, nil, nil, nil, nil, nil, nil, nil, nil, nil))
	must(nil, st.Close())

	var (
		b          bool
		i          int
		f          float64
		num, s, iv string
		d, ts, tz  time.Time
		tm         time.Time
	)
	if err := db.QueryRowContext(ctx, "SELECT b, i, f, n, s, d, ts, tz, iv, tm FROM t WHERE id = $1", 1).Scan(&b, &i, &f, &num, &s, &d, &ts, &tz, &iv, &tm); err != nil {
		t.Fatal(err)
	}
	if !b || i != 7 || f != 2.5 || num != "123.4567" || s != "it's ünï" || d.Format(time.DateOnly) != "2001-02-03" ||
		ts.Format("2006-01-02 15:04:05.999") != "2001-02-03 04:05:06.789" || !tz.Equal(at) || iv != "1 day 02:03:04" || tm.Format(time.TimeOnly) != "04:05:06" {
		t.Error(b, i, f, num, s, d, ts, tz, iv, tm)
	}
	var ni sql.NullInt64
	var ns sql.NullString
	if err := db.QueryRowContext(ctx, "SELECT i, s FROM t WHERE id = 2").Scan(&ni, &ns); err != nil || ni.Valid || ns.Valid {
		t.Errorf("NULLs: %v %v %v", ni, ns, err)
	}

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	must(tx.ExecContext(ctx, "UPDATE t SET n = n + $1 WHERE b", "0.5433"))
	must(nil, tx.Commit())
	if err := db.QueryRowContext(ctx, "SELECT n FROM sums WHERE b").Scan(&num); err != nil || num != "124.0000" {
		t.Errorf("sum after a commit: %s, %v", num, err)
	}
	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	must(tx.ExecContext(ctx, "DELETE FROM t"))
	must(nil, tx.Rollback())
	var count int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&count); err != nil || count != 2 {
		t.Errorf("count after a rollback: %d, %v", count, err)
	}

	_, err = db.ExecContext(ctx, "SELECT nothing FROM t")
	var pe *pq.Error
	if !errors.As(err, &pe) || pe.Code != "42703" || pe.Position != "8" || pe.Severity != "ERROR" {
		t.Errorf("an error: %#v", err)
	}
	_, err = db.ExecContext(ctx, "INSERT INTO t (id) VALUES (1)")
	if !errors.As(err, &pe) || pe.Code != "23505" || pe.Detail != "Key (id)=(1) already exists." {
		t.Errorf("a duplicate: %#v", err)
	}

	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := tx.PrepareContext(ctx, pq.CopyIn("t", "id", "s"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		must(in.ExecContext(ctx, 10+i, "copied"))
	}
	must(in.ExecContext(ctx))
	must(nil, in.Close())
	must(nil, tx.Commit())
	if err := db.QueryRowContext(ctx, "SELECT c FROM sums WHERE b IS NULL").Scan(&count); err != nil || count != 1000 {
		t.Errorf("copied rows: %d, %v", count, err)
	}
}
