package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// typed is one value of each type: what is sent, as Go values and as text, and what
// PostgreSQL shows for it.
var typed = []struct {
	typ, text string
	value     any
}{
	{"boolean", "t", true},
	{"smallint", "-32768", int16(-32768)},
	{"integer", "2147483647", int32(2147483647)},
	{"bigint", "-9223372036854775808", int64(math.MinInt64)},
	{"real", "1.5", float32(1.5)},
	{"double precision", "1e+300", 1e300},
	{"double precision", "NaN", math.NaN()},
	{"numeric", "12345678901234567890123456789012345678901234567890.5", number("123456789012345678901234567890123456789012345678905", -1)},
	{"numeric(12,3)", "-0.250", number("-250", -3)},
	{"text", "ünï\n\"'\\", "ünï\n\"'\\"},
	{"varchar(5)", "abcde", "abcde"},
	{"date", "2001-02-03", time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)},
	{"time", "04:05:06.789", pgtype.Time{Microseconds: ((4*60+5)*60+6)*1_000_000 + 789_000, Valid: true}},
	{"timestamp", "2001-02-03 04:05:06.789", time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)},
	{"timestamptz", "2001-02-03 04:05:06.789+00", time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)},
	{"interval", "1 year 2 mons -3 days +04:05:06.5", pgtype.Interval{Months: 14, Days: -3, Microseconds: ((4*60+5)*60+6)*1_000_000 + 500_000, Valid: true}},
}

func number(digits string, exp int32) pgtype.Numeric {
	i, _ := new(big.Int).SetString(digits, 10)
	return pgtype.Numeric{Int: i, Exp: exp, Valid: true}
}

// TestPgxTypes writes and reads every type in text and in binary.
func TestPgxTypes(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "SET TimeZone = 'UTC'")
	var columns []string
	for i, x := range typed {
		columns = append(columns, fmt.Sprintf("c%d %s", i, x.typ))
	}
	exe(t, c, "CREATE TABLE types (id INTEGER PRIMARY KEY, "+strings.Join(columns, ", ")+")",
		"CREATE MATERIALIZED VIEW same AS SELECT * FROM types")
	var marks []string
	values, nulls := []any{1}, []any{2}
	for i, x := range typed {
		marks = append(marks, fmt.Sprintf("$%d", i+2))
		values, nulls = append(values, x.value), append(nulls, nil)
	}
	insert := "INSERT INTO types VALUES ($1, " + strings.Join(marks, ", ") + ")"
	for _, args := range [][]any{values, nulls} {
		if _, err := c.Exec(deadline(t), insert, args...); err != nil {
			t.Fatal(err)
		}
	}
	// The same values once more, as text.
	values = []any{pgx.QueryExecModeSimpleProtocol, 3}
	for _, x := range typed {
		values = append(values, x.text)
	}
	if _, err := c.Exec(deadline(t), insert, values...); err != nil {
		t.Fatal(err)
	}
	for i, x := range typed {
		for _, rel := range []string{"types", "same"} {
			q := fmt.Sprintf("SELECT c%d FROM %s WHERE id = $1", i, rel)
			for _, format := range []int16{pgx.TextFormatCode, pgx.BinaryFormatCode} {
				for id := range 3 {
					checkTyped(t, c, q, format, id+1, x.typ, x.text, x.value)
				}
			}
		}
		want(t, c, fmt.Sprintf("SELECT a.c%[1]d IS NOT DISTINCT FROM b.c%[1]d FROM types a, types b WHERE a.id = 1 AND b.id = 3", i), "t")
	}
	// A parameter of each type alone, with its type inferred from a cast.
	for _, x := range typed {
		q := fmt.Sprintf("SELECT $1::%s", x.typ)
		checkTyped(t, c, q, pgx.BinaryFormatCode, x.value, x.typ, x.text, x.value)
	}
}

// checkTyped reads one value; the argument 2 stands for the row of NULLs.
func checkTyped(t *testing.T, c *pgx.Conn, q string, format int16, arg any, typ, text string, value any) {
	t.Helper()
	r, err := c.Query(deadline(t), q, pgx.QueryResultFormats{format}, arg)
	if err != nil {
		t.Errorf("%s: %v", q, err)
		return
	}
	defer r.Close()
	if !r.Next() {
		t.Errorf("%s (%s): no row: %v", q, typ, r.Err())
		return
	}
	if arg == 2 {
		if r.RawValues()[0] != nil {
			t.Errorf("%s (%s): %q, want NULL", q, typ, r.RawValues()[0])
		}
		return
	}
	if format == pgx.TextFormatCode {
		if got := string(r.RawValues()[0]); got != text {
			t.Errorf("%s (%s): %q, want %q", q, typ, got, text)
		}
		return
	}
	vs, err := r.Values()
	if err != nil {
		t.Errorf("%s (%s): %v", q, typ, err)
		return
	}
	if !sameValue(vs[0], value) {
		t.Errorf("%s (%s), binary: %#v, want %#v", q, typ, vs[0], value)
	}
}

func sameValue(got, wanted any) bool {
	switch w := wanted.(type) {
	case float64:
		g, ok := got.(float64)
		return ok && (g == w || math.IsNaN(g) && math.IsNaN(w))
	case time.Time:
		g, ok := got.(time.Time)
		return ok && g.Equal(w)
	case pgtype.Numeric:
		g, ok := got.(pgtype.Numeric)
		if !ok || !g.Valid || g.NaN {
			return false
		}
		a, _ := g.Value()
		b, _ := w.Value()
		x, _ := new(big.Rat).SetString(a.(string))
		y, _ := new(big.Rat).SetString(b.(string))
		return x.Cmp(y) == 0
	}
	return got == wanted
}

func TestPgxStatements(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)", "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")

	// Prepared once, run often.
	ctx := deadline(t)
	sd, err := c.Prepare(ctx, "ins", "INSERT INTO t VALUES ($1, $2) RETURNING id")
	if err != nil || len(sd.ParamOIDs) != 2 || sd.ParamOIDs[0] != pgtype.Int8OID || sd.ParamOIDs[1] != pgtype.TextOID || len(sd.Fields) != 1 {
		t.Fatalf("prepare: %+v, %v", sd, err)
	}
	for i := range 20 {
		var id int
		if err := c.QueryRow(ctx, "ins", i, fmt.Sprint("v", i)).Scan(&id); err != nil || id != i {
			t.Fatalf("insert %d: %d, %v", i, id, err)
		}
	}
	want(t, c, "SELECT n FROM n", "20")

	// A batch: one round trip, one answer each; an error ends the rest.
	b := &pgx.Batch{}
	for i := range 50 {
		b.Queue("INSERT INTO t VALUES ($1, $2)", 100+i, "batch")
	}
	b.Queue("SELECT count(*) FROM t WHERE v = $1", "batch")
	br := c.SendBatch(ctx, b)
	for range 50 {
		if tag, err := br.Exec(); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("batch: %v, %v", tag, err)
		}
	}
	var count int
	if err := br.QueryRow().Scan(&count); err != nil || count != 50 {
		t.Errorf("count in the batch: %d, %v", count, err)
	}
	if err := br.Close(); err != nil {
		t.Error(err)
	}
	b = &pgx.Batch{}
	b.Queue("INSERT INTO t VALUES (200, 'gone')")
	b.Queue("INSERT INTO t VALUES (0, 'there already')")
	b.Queue("INSERT INTO t VALUES (201, 'never')")
	var pe *pgconn.PgError
	if err := c.SendBatch(ctx, b).Close(); !errors.As(err, &pe) || pe.Code != "23505" || pe.Detail == "" {
		t.Errorf("batch with a duplicate: %v", err)
	}
	want(t, c, "SELECT count(*) FROM t WHERE id >= 200", "0")

	// Transactions.
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM t WHERE id < $1", 100); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&count); err != nil || count != 50 {
		t.Errorf("a transaction sees %d of its rows, %v", count, err)
	}
	want(t, n.connect(t), "SELECT count(*) FROM t", "70")
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, c, "SELECT count(*), (SELECT n FROM n) FROM t", "70|70")

	// COPY; pgx's CopyFrom would send the binary format.
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "%d\t%d\n", 1000+i, i)
	}
	tag, err := c.PgConn().CopyFrom(ctx, strings.NewReader(lines.String()), "COPY t (id, v) FROM STDIN")
	if err != nil || tag.String() != "COPY 5000" {
		t.Errorf("copy: %v, %v", tag, err)
	}
	want(t, c, "SELECT n FROM n", "5070")

	// Errors say what and where.
	for q, wanted := range map[string]pgconn.PgError{
		"SELECT nothing FROM t":                  {Code: "42703", Position: 8},
		"SELECT * FROM nowhere":                  {Code: "42P01", Position: 15},
		"SELECT 1 +":                             {Code: "42601", Position: 11},
		"SELECT 'x'::int":                        {Code: "22P02", Position: 8},
		"SELECT length(1, 2)":                    {Code: "42883", Position: 8},
		"INSERT INTO t VALUES (NULL, 'x')":       {Code: "23502"},
		"SELECT 9223372036854775807 + id FROM t": {Code: "22003"},
		"SELECT 1/0":                             {Code: "22012"},
		"CREATE TABLE t (a INT)":                 {Code: "42P07"},
		"DROP TABLE t":                           {Code: "2BP01"},
	} {
		_, err := c.Exec(ctx, q)
		if !errors.As(err, &pe) || pe.Code != wanted.Code || wanted.Position != 0 && pe.Position != wanted.Position {
			t.Errorf("%s: %v (code %s, position %d), want %s at %d", q, err, pe.Code, pe.Position, wanted.Code, wanted.Position)
		}
	}
}

func TestPgxPortals(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY)", "INSERT INTO t SELECT g FROM generate_series(1, 10000) AS g")
	// A row limit suspends the portal; the next Execute goes on.
	f := c.PgConn().Frontend()
	f.SendParse(parseMessage("", "SELECT id FROM t ORDER BY id"))
	f.SendBind(bindMessage("p", ""))
	f.SendExecute(executeMessage("p", 3))
	f.SendExecute(executeMessage("p", 9996))
	f.SendExecute(executeMessage("p", 100))
	f.SendSync(syncMessage())
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	got := messages(t, f)
	if wanted := "parsed bound 3 rows suspended 9996 rows suspended 1 rows SELECT 1 ready"; got != wanted {
		t.Errorf("portal with limits: %s\nwant %s", got, wanted)
	}
}

func TestPgxCancel(t *testing.T) {
	n := dev(t, t.TempDir())
	cfg, err := pgx.ParseConfig(n.url())
	if err != nil {
		t.Fatal(err)
	}
	cfg.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxWatcher {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pc, CancelRequestDelay: 0, DeadlineDelay: 10 * time.Second}
	}
	c, err := pgx.ConnectConfig(deadline(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	exe(t, c, "CREATE TABLE t (id BIGINT PRIMARY KEY)", "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t")
	for _, q := range []string{
		"SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 1000) b WHERE a + b = 7",
		"SUBSCRIBE n",
		"CREATE MATERIALIZED VIEW p AS SELECT count(*) AS n FROM generate_series(1, 3000000) a, generate_series(1, 1000) b WHERE a + b = 7",
		"CREATE SINK p AS SELECT count(*) AS n FROM generate_series(1, 3000000) a, generate_series(1, 1000) b WHERE a + b = 7 WITH (connector = 'nats', subject = 'p')",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		start := time.Now()
		_, err := c.PgConn().Exec(ctx, q).ReadAll()
		cancel()
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "57014" {
			t.Errorf("%s: cancelled with %v, want 57014", q, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: cancelled after %v", q, took)
		}
		if c.IsClosed() {
			t.Fatal("the connection was closed")
		}
		want(t, c, "SELECT 1", "1")
	}
}

func TestPgxSerialization(t *testing.T) {
	n := dev(t, t.TempDir())
	a, b := n.connect(t), n.connect(t)
	exe(t, a, "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)", "INSERT INTO t VALUES (1, 0)")
	exe(t, a, "BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1")
	exe(t, b, "BEGIN", "UPDATE t SET n = n + 10 WHERE id = 1", "COMMIT")
	_, err := a.PgConn().Exec(deadline(t), "COMMIT").ReadAll()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "40001" {
		t.Errorf("the second of two conflicting transactions: %v, want 40001", err)
	}
	want(t, a, "SELECT n FROM t", "10")
	exe(t, a, "UPDATE t SET n = n + 1 WHERE id = 1")
	want(t, b, "SELECT n FROM t", "11")
}
