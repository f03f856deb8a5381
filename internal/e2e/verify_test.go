package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// verify runs `tidemill verify` on a data directory.
func verify(t *testing.T, dir string) (string, int) {
	t.Helper()
	return run(t, "verify", "--data", dir)
}

// TestVerify damages a data directory in the middle of a record, and holds what
// `tidemill verify` says of it against that.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	n := dev(t, dir)
	c := n.connect(t)
	exe(t, c, `CREATE TABLE t (id BIGINT PRIMARY KEY, s TEXT)`, `CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t`,
		`CREATE SOURCE posts (id BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`)
	for _, mark := range []string{"first", "needle", "last"} {
		exe(t, c, `INSERT INTO t SELECT count(*), '`+mark+strings.Repeat("x", 40)+`' FROM t`)
	}
	if code, _ := n.term(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	out, code := verify(t, dir)
	if code != 0 || !strings.Contains(out, "LOG_tidemill") || !strings.Contains(out, "SRC_tidemill") || strings.Contains(out, "DAMAGED") {
		t.Fatalf("of a good directory, exit code %d:\n%s", code, out)
	}
	flip(t, dir, "needle")
	out, code = verify(t, dir)
	if code != 1 || !strings.Contains(out, "DAMAGED: ") || !strings.Contains(out, "record ") {
		t.Fatalf("of a damaged directory, exit code %d:\n%s", code, out)
	}
	t.Log(out)
	if out, code := verify(t, filepath.Join(dir, "nowhere")); code != 2 || !strings.Contains(out, "nowhere") {
		t.Fatalf("of no directory, exit code %d:\n%s", code, out)
	}
}

// flip changes one byte of the only file below dir that has the text.
func flip(t *testing.T, dir, text string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if at := strings.Index(string(raw), text); at >= 0 {
			found++
			raw[at] ^= 1
			return os.WriteFile(path, raw, 0o600)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%d files with %q: %v", found, text, err)
	}
}
