package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/session"
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
	if err := s.e.gone(); err != nil {
		return err
	}
	if reads(stmt) {
		if s.params.value("read") == "latest" {
			a, err := s.e.call(ctx, &request{kind: coord.Barrier, leave: ctx})
			if err != nil {
				return err
			}
			s.wrote(a.seq)
		} else if err := s.current(); err != nil {
			return err
		}
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

// gone is an error once the engine has ended and a node of a cluster opens another in its
// place: what is here would be answered for ever from its last step.
func (e *Engine) gone() error {
	if e.cfg.Leader == nil {
		return nil
	}
	select {
	case <-e.done:
	default:
		return nil
	}
	var te *types.Error
	if err := e.Err(); errors.As(err, &te) {
		return err
	}
	return errClosed()
}

// current warns of answers that may be older than the session allows, or refuses to give them.
func (s *Session) current() error {
	e := s.e
	if e.cfg.Leader == nil {
		return nil
	}
	ms, _ := durationMillis(s.params.value("max_staleness"))
	at := e.stand.atEnd()
	age := e.cfg.Clock().Sub(at)
	if age <= time.Duration(ms)*time.Millisecond && !at.IsZero() {
		return nil
	}
	te := types.Error{Code: "55P04", Message: fmt.Sprintf("this node may be %v behind", age.Round(time.Millisecond)),
		Detail: fmt.Sprintf("It is at step %d. It is behind, or cut off from the others.", e.Snapshot().Step),
		Hint:   "Connect to another node, wait for what is committed with SET read = 'latest', or allow more with SET max_staleness."}
	if at.IsZero() {
		te.Message = "it is not known how far this node is behind"
	}
	if s.params.value("stale_reads") == "refuse" {
		return &te
	}
	if te.Code = "01000"; s.opt.Notice != nil {
		s.opt.Notice(session.Notice{Severity: "WARNING", Error: te})
	}
	return nil
}

// atEnd is Standing.AtEnd.
func (s *stand) atEnd() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.AtEnd
}

// reads reports whether a statement's answer depends on rows.
func reads(stmt sql.Stmt) bool {
	switch stmt.(type) {
	case *sql.Query, *sql.Insert, *sql.Update, *sql.Delete, *sql.Truncate, *sql.Subscribe, *sql.Copy, *sql.DeclareCursor, *sql.Explain, *sql.Execute, *sql.CreateTableAs:
		return true
	}
	return false
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
