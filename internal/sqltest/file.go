// Package sqltest runs testdata/*.sql: statements with the output expected below
// each. Every file runs several ways that must all agree; see Modes. It is for
// tests only.
//
// A file is blocks separated by blank lines:
//
//	exec
//	INSERT INTO t VALUES (1), (1)
//	----
//	INSERT 0 2
//
//	query
//	SELECT a, count(*) FROM t GROUP BY a
//	----
//	1 | 2
//
// exec prints the command tag, query the rows (NULL as NULL), in the order given when
// the query has ORDER BY at its end and sorted otherwise. An error prints as ERROR code:
// message. `changes` has the form of query and prints what changed since the last
// time it stood in the file, as a subscriber of the query's view sees it. Words
// after the directive: `nopg` keeps the block from PostgreSQL, `noview` keeps the
// query from being checked as a view. Lines that begin with # are comments.
package sqltest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Block is one directive of a file.
type Block struct {
	Line    int    // of the directive, from 1
	Kind    string // exec, query or changes
	NoPG    bool
	NoView  bool
	SQL     string
	Want    string // expected output, each line ended
	comment string // lines before it
	words   string // the directive's line
}

// ReadFile parses a file.
func ReadFile(name string) ([]Block, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	var blocks []Block
	var comment strings.Builder
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" || strings.HasPrefix(line, "#") {
			comment.WriteString(line + "\n")
			continue
		}
		b := Block{Line: i + 1, comment: comment.String(), words: line}
		comment.Reset()
		if err := b.directive(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		var sql []string
		for i++; i < len(lines) && lines[i] != "----"; i++ {
			sql = append(sql, lines[i])
		}
		if i == len(lines) {
			return nil, fmt.Errorf("%s:%d: no ---- after the statement", name, b.Line)
		}
		b.SQL = strings.Join(sql, "\n")
		for i++; i < len(lines) && lines[i] != ""; i++ {
			b.Want += lines[i] + "\n"
		}
		i--
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func (b *Block) directive(line string) error {
	words := strings.Fields(line)
	b.Kind = words[0]
	if b.Kind != "exec" && b.Kind != "query" && b.Kind != "changes" {
		return fmt.Errorf("unknown directive %q", b.Kind)
	}
	for _, w := range words[1:] {
		switch w {
		case "nopg":
			b.NoPG = true
		case "noview":
			b.NoView = true
		default:
			return fmt.Errorf("unknown word %q after %s", w, b.Kind)
		}
	}
	return nil
}

// WriteFile writes blocks with the given outputs in place of what was expected.
func WriteFile(name string, blocks []Block, outputs []string) error {
	var buf bytes.Buffer
	for i, b := range blocks {
		fmt.Fprintf(&buf, "%s%s\n%s\n----\n%s", b.comment, b.words, b.SQL, outputs[i])
	}
	return os.WriteFile(name, buf.Bytes(), 0o644)
}
