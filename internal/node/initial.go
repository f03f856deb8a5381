package node

import (
	"context"
	"errors"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// initialise runs the statements of text, each by itself.
func (n *Node) initialise(ctx context.Context, text string) error {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return err
	}
	s, err := n.engine.OpenSession(ctx, session.Options{User: User, Database: Database})
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
			return err
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
