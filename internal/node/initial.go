package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxShown is how much of a statement an error shows, in bytes.
const maxShown = 80

// place says which statement of text begins at byte pos.
func place(text string, pos, end int) string {
	line := 1 + strings.Count(text[:pos], "\n")
	stmt := strings.Join(strings.Fields(text[pos:end]), " ")
	if len(stmt) > maxShown {
		stmt = strings.ToValidUTF8(stmt[:maxShown], "") + "..."
	}
	return fmt.Sprintf("line %d: %s", line, stmt)
}

// initialise runs the statements of text, each by itself. An error names the line.
func (n *Node) initialise(ctx context.Context, e *engine.Engine, text string) error {
	stmts, err := sql.Parse(text, sql.Options{})
	var se *sql.Error
	if errors.As(err, &se) {
		return fmt.Errorf("line %d: %w", 1+strings.Count(text[:min(max(se.Pos, 0), len(text))], "\n"), err)
	}
	if err != nil {
		return err
	}
	s, err := e.OpenSession(ctx, session.Options{User: User, Database: Database})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, stmt := range stmts {
		s.Begin()
		err := run(ctx, s, text, stmt)
		if err != nil {
			s.Fail()
		}
		err = errors.Join(err, s.End(ctx))
		var te *types.Error
		if errors.As(err, &te) && te.Code == types.CodeDuplicateTable {
			n.cfg.Logf("init SQL: %s, skipping", te.Message)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", place(text, stmt.Pos(), stmt.End()), err)
		}
	}
	return nil
}

// run runs one statement to its end and drops its rows.
func run(ctx context.Context, s session.Session, text string, stmt sql.Stmt) error {
	st, err := s.Prepare(ctx, text, stmt, nil)
	if err != nil {
		return err
	}
	cur, err := s.Execute(ctx, st, nil)
	if err != nil {
		return err
	}
	defer cur.Close()
	for {
		if b, err := cur.Next(ctx, true); err != nil || b == nil {
			return err
		}
	}
}
