package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// wrote notes up to where in the log the session's own node must be before the session
// reads.
func (s *Session) wrote(seq uint64) { s.after = max(s.after, seq) }

// ready makes sure before a statement that what the session is to see is there.
func (s *Session) ready(ctx context.Context, stmt sql.Stmt) error {
	if !touches(stmt) || s.tx != nil && s.tx.snap != nil {
		return nil
	}
	if s.after > s.e.Snapshot().Seq && !s.e.waitFor(ctx, s.after, writeWait) {
		if ctx.Err() != nil {
			return canceled(ctx)
		}
		return &types.Error{Code: "57P03", Message: fmt.Sprintf("this node has the log up to record %d, and the session's last write is in record %d", s.e.Snapshot().Seq, s.after),
			Hint: "The write is committed. This node is behind or cut off; try again, or connect to another one."}
	}
	return nil
}

// touches reports whether a statement reads rows or the catalog.
func touches(stmt sql.Stmt) bool {
	switch stmt.(type) {
	case *sql.Set, *sql.SetTransaction, *sql.Discard, *sql.Begin, *sql.Commit, *sql.Rollback, *sql.Show, *sql.Flush, *sql.Checkpoint,
		*sql.Deallocate, *sql.Unlisten, *sql.Maintenance, *sql.CloseCursor, *sql.Fetch, *sql.SetConstraints:
		return false
	}
	return true
}

// remoteDDL is a command as it is sent to the leader.
func (s *Session) remoteDDL(p *prepared) *wire.Call {
	return &wire.Call{Kind: wire.CallDDL, DDL: &wire.DDLCall{SQL: p.text[p.stmt.Pos():p.stmt.End()], User: s.opt.User, Database: s.opt.Database,
		Path: s.params.path, Zone: s.params.value("timezone"), PID: s.pid}}
}

// shifted moves the position of an error of a statement that was sent alone to where it
// stands in its text.
func shifted(err error, pos int) error {
	var te *types.Error
	if !errors.As(err, &te) || te.Pos == 0 {
		return err
	}
	out := *te
	out.Pos += pos
	return &out
}
