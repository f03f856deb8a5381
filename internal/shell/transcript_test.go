package shell_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/shell"
)

// TestTranscriptsInTheDocs runs what the documents show: each fenced block of kind
// console that has a prompt, on a node of its own for each document. README's
// block is fenced without a kind.
func TestTranscriptsInTheDocs(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	sub, _ := filepath.Glob("../../docs/*/*.md")
	ran := 0
	for _, file := range append(append(files, sub...), "../../README.md") {
		blocks := transcripts(t, file)
		if len(blocks) == 0 {
			continue
		}
		ran++
		t.Run(filepath.Base(file), func(t *testing.T) { replay(t, blocks) })
	}
	if ran < 2 {
		t.Errorf("only %d documents have transcripts", ran)
	}
}

const (
	prompt = "tidemill=> "
	more   = "tidemill-> "
)

// exchange is a statement and what the shell prints.
type exchange struct{ statement, output string }

// transcripts returns the exchanges of a document in order.
func transcripts(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	inside := false
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside && (line == "```console" || line == "```")
		case !inside:
		case strings.HasPrefix(line, prompt):
			out = append(out, exchange{statement: line[len(prompt):] + "\n"})
		case len(out) == 0:
		case strings.HasPrefix(line, more):
			out[len(out)-1].statement += line[len(more):] + "\n"
		default:
			out[len(out)-1].output += line + "\n"
		}
	}
	return out
}

// replay runs the exchanges on a new node.
func replay(t *testing.T, blocks []exchange) {
	n, err := node.Start(t.Context(), node.Config{DataDir: t.TempDir(), PG: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close(context.WithoutCancel(t.Context())) }()
	var out bytes.Buffer
	s, err := shell.Open(t.Context(), shell.Config{URL: "postgres://tidemill@" + n.Addrs().PG + "/tidemill?sslmode=disable",
		Format: shell.Table, Out: &out, Err: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, x := range blocks {
		out.Reset()
		_ = s.Run(t.Context(), x.statement) // errors are printed, and compared
		if got, want := strings.TrimSpace(out.String()), strings.TrimSpace(x.output); got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", x.statement, got, want)
		}
	}
}
