package sqltest_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/sqltest"
)

var (
	rewrite = flag.String("rewrite", "", "replace the expected output by that of `pg` (for the blocks it runs) or `tidemill`")
	seed    = flag.Uint64("seed", 1, "decides the cuts of the random-cut mode")
)

// TestPostgres runs every file against PostgreSQL, where it is installed: what the
// files expect of Tidemill is what PostgreSQL does.
func TestPostgres(t *testing.T) {
	dsn := pgtest.Start(t)
	files, _ := filepath.Glob("testdata/*.sql")
	for i, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			conn := connect(t, dsn)
			schema := fmt.Sprintf("s%d", i)
			if err := conn.Exec(t.Context(), "CREATE SCHEMA "+schema+"; SET search_path = "+schema+"; SET TimeZone = 'UTC'").Close(); err != nil {
				t.Fatal(err)
			}
			runFile(t, file, sqltest.Postgres, conn)
		})
	}
}

func connect(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

func runFile(t *testing.T, file string, mode sqltest.Mode, conn *pgconn.PgConn) {
	t.Helper()
	blocks, err := sqltest.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]string, len(blocks))
	r := sqltest.NewRunner(conn, mode, blocks, *seed)
	write := *rewrite == "pg" && mode == sqltest.Postgres || *rewrite == "tidemill" && mode == sqltest.Batch
	for i, b := range blocks {
		outputs[i] = b.Want
		if b.NoPG && mode == sqltest.Postgres {
			continue
		}
		got, err := r.Run(t.Context(), i)
		if err != nil {
			t.Fatalf("%s:%d (%s, seed %d): %v", file, b.Line, mode, *seed, err)
		}
		if write {
			outputs[i] = got
		} else if got != b.Want {
			t.Errorf("%s:%d (%s, seed %d)\n%s\ngot\n%swant\n%s", file, b.Line, mode, *seed, b.SQL, got, b.Want)
		}
	}
	if write {
		if err := sqltest.WriteFile(file, blocks, outputs); err != nil {
			t.Fatal(err)
		}
	}
}
