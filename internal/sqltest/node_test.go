package sqltest_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/sqltest"
)

// TestFiles runs every file every way.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			for _, mode := range sqltest.Modes {
				t.Run(mode.String(), func(t *testing.T) {
					t.Parallel()
					runFile(t, file, mode, connect(t, startNode(t)))
				})
			}
		})
	}
}

// TestFilledInChunks makes every view after the data, three rows at a time.
func TestFilledInChunks(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.sql")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			t.Parallel()
			chunks := func(c *node.Config) { c.Fill.ChunkRows = 3 }
			runFile(t, file, sqltest.ViewAfter, connect(t, startNode(t, chunks)))
		})
	}
}

// startNode starts a node of its own for the test and returns its URL.
func startNode(t *testing.T, change ...func(*node.Config)) string {
	t.Helper()
	cfg := node.Config{DataDir: t.TempDir(), PG: "127.0.0.1:0"}
	for _, c := range change {
		c(&cfg)
	}
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return "postgres://tidemill@" + n.Addrs().PG + "/tidemill?sslmode=disable"
}
