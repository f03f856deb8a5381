package shell_test

import (
	"bytes"
	"context"
	"flag"
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
		t.Run(filepath.Base(file), func(t *testing.T) { replay(t, file, blocks) })
	}
	if ran < 2 {
		t.Errorf("only %d documents have transcripts", ran)
	}
}

const (
	prompt = "tidemill=> "
	more   = "tidemill-> "
)

// exchange is a statement and what the shell prints, which stands in lines from to
// to of the document, counted from 0.
type exchange struct {
	statement, output string
	from, to          int
}

// rewrite puts what the shell prints into the documents in place of what they say:
// go test ./internal/shell -run Transcripts -rewrite. The diff is to be reviewed.
var rewrite = flag.Bool("rewrite", false, "renew the outputs in the documents")

// transcripts returns the exchanges of a document in order.
func transcripts(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	open, inside := false, false
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			open = !open
			inside = open && (line == "```console" || line == "```")
		case !inside:
		case strings.HasPrefix(line, prompt):
			out = append(out, exchange{statement: line[len(prompt):] + "\n", from: n + 1, to: n + 1})
		case len(out) == 0:
		case strings.HasPrefix(line, more):
			x := &out[len(out)-1]
			x.statement, x.from, x.to = x.statement+line[len(more):]+"\n", n+1, n+1
		default:
			x := &out[len(out)-1]
			x.output, x.to = x.output+line+"\n", n+1
		}
	}
	return out
}

// replay runs the exchanges on a new node.
func replay(t *testing.T, file string, blocks []exchange) {
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
	var printed []string
	for _, x := range blocks {
		out.Reset()
		_ = s.Run(t.Context(), x.statement) // errors are printed, and compared
		printed = append(printed, strings.TrimRight(out.String(), "\n"))
		if *rewrite {
			continue
		}
		if got, want := strings.TrimSpace(out.String()), strings.TrimSpace(x.output); got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", x.statement, got, want)
		}
	}
	if *rewrite {
		renew(t, file, blocks, printed)
	}
}

// renew writes the document with other outputs.
func renew(t *testing.T, file string, blocks []exchange, printed []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var out []string
	at := 0
	for i, x := range blocks {
		out = append(out, lines[at:x.from]...)
		if printed[i] != "" {
			out = append(out, strings.Split(printed[i], "\n")...)
		}
		for at = x.to; at > x.from && lines[at-1] == ""; at-- { // blank lines between exchanges stay
		}
	}
	out = append(out, lines[at:]...)
	if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
