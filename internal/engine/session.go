package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Bounds of a session.
const (
	maxPrepared = 10_000 // statements of PREPARE
	maxCursors  = 1_000  // of DECLARE
	maxWriters  = 10_000 // writing statements of one transaction
)

// Session is one client's. It implements session.Session.
type Session struct {
	e        *Engine
	opt      session.Options
	pid      int32
	params   *params
	tx       *tx  // the open transaction; nil between statements
	bracket  bool // between Begin and End
	prepared map[string]*session.Statement
	cursors  map[string]*declared
	inExec   int    // depth of EXECUTE
	after    uint64 // the position in the log of what it wrote last
	started  time.Time
}

// tx is a transaction: a block that the client opened, or the implicit one of a
// message or a single statement.
type tx struct {
	explicit bool
	failed   bool
	snap     *Snapshot // pinned once the transaction has read for a block, or written
	now      int64
	changes  map[catalog.ID]*batch.Batch // consolidated
	bytes    int64
	writers  []writer          // of an implicit one, to run again after a conflict
	local    map[string]string // parameters to restore at the end (SET LOCAL)
}

// writer is a statement that wrote: run computes its change anew, and must come
// to the same answer for the client.
type writer struct {
	run  func(ctx context.Context, env *readEnv) (*change, error)
	said func(env *readEnv, ch *change) (string, error) // what the client was told
	was  string
}

// OpenSession implements session.Engine.
func (e *Engine) OpenSession(ctx context.Context, opt session.Options) (session.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opt.Database == "" {
		opt.Database = e.cfg.Name
	}
	if opt.Database != e.cfg.Name {
		return nil, &types.Error{Code: "3D000", Message: fmt.Sprintf("database %q does not exist", opt.Database)}
	}
	s := &Session{e: e, opt: opt, prepared: map[string]*session.Statement{}, cursors: map[string]*declared{}, started: e.cfg.Clock()}
	s.params = newParams(s)
	names := sortedKeys(opt.Params)
	for _, name := range names {
		if err := s.params.set(strings.ToLower(name), opt.Params[name], true); err != nil {
			var te *types.Error
			if errors.As(err, &te) && te.Code == types.CodeUndefinedObject {
				continue // drivers send parameters of their own
			}
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return nil, errClosed()
	}
	if len(e.sessions) >= MaxSessions {
		return nil, &types.Error{Code: types.CodeTooManyConnections, Message: "sorry, too many clients already", Detail: fmt.Sprintf("There may be %d sessions.", MaxSessions)}
	}
	e.nextPID++
	s.pid = e.nextPID
	e.sessions[s.pid] = s
	s.params.reportAll()
	return s, nil
}

// SessionInfo describes an open session.
type SessionInfo struct {
	PID                    int32
	User, Database, Remote string
	Started                time.Time
}

// Sessions lists the open sessions, in the order of their PIDs.
func (e *Engine) Sessions() []SessionInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []SessionInfo
	for pid, s := range e.sessions {
		out = append(out, SessionInfo{PID: pid, User: s.opt.User, Database: s.opt.Database, Remote: s.opt.Remote, Started: s.started})
	}
	sortBy(out, func(s SessionInfo) int32 { return s.PID })
	return out
}

// TxStatus implements session.Session.
func (s *Session) TxStatus() byte {
	switch {
	case s.tx == nil || !s.tx.explicit:
		return 'I'
	case s.tx.failed:
		return 'E'
	}
	return 'T'
}

// Fail implements session.Session.
func (s *Session) Fail() {
	if s.tx != nil {
		s.tx.failed = true
	}
}

// Begin implements session.Session.
func (s *Session) Begin() { s.bracket = true }

// End implements session.Session.
func (s *Session) End(ctx context.Context) error {
	s.bracket = false
	if s.tx == nil || s.tx.explicit {
		return nil
	}
	if s.tx.failed {
		s.rollback()
		return nil
	}
	return s.commit(ctx)
}

// Style implements session.Session.
func (s *Session) Style() types.Style {
	st := s.params.style
	snap := s.e.Snapshot()
	st.RegclassName = func(oid uint32) (string, bool) {
		r := snap.Catalog.ByID(catalog.ID(oid))
		if r == nil {
			return "", false
		}
		if snap.Catalog.Visible(s.params.path, r) {
			return catalog.QuoteIdent(r.Name), true
		}
		return catalog.QuoteIdent(r.Schema) + "." + catalog.QuoteIdent(r.Name), true
	}
	return st
}

// Param implements session.Session.
func (s *Session) Param(name string) (string, bool) { return s.params.get(strings.ToLower(name)) }

// PID identifies the session, as pg_backend_pid() does.
func (s *Session) PID() int32 { return s.pid }

// Close implements session.Session.
func (s *Session) Close() {
	s.rollback()
	s.closeCursors(true)
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	delete(s.e.sessions, s.pid)
}

func (s *Session) closeCursors(all bool) {
	for name, c := range s.cursors {
		if all || !c.hold {
			c.cur.Close()
			delete(s.cursors, name)
		}
	}
}

func (s *Session) notice(severity, code, message string) {
	if s.opt.Notice != nil {
		s.opt.Notice(session.Notice{Severity: severity, Error: types.Error{Code: code, Message: message}})
	}
}

// planner plans against the catalog that the session's next statement sees.
func (s *Session) planner(paramTypes []types.Type) *plan.Planner {
	p := &plan.Planner{
		Catalog: s.snapshot().Catalog, ParamTypes: paramTypes, Options: s.e.checkOptions,
		Session: plan.Session{User: s.opt.User, Database: s.opt.Database, SearchPath: s.params.path, Zone: s.params.style.Location,
			BackendPID: s.pid, Version: "PostgreSQL " + s.params.value("server_version") + " (Tidemill " + Version + ")"},
	}
	if s.e.cfg.Virtual != nil {
		p.Macros = s.e.cfg.Virtual.Macros()
	}
	return p
}

// snapshot is what the session's next statement reads.
func (s *Session) snapshot() *Snapshot {
	if s.tx != nil && s.tx.snap != nil {
		return s.tx.snap
	}
	return s.e.Snapshot()
}

// env is what a statement reads now.
func (s *Session) env(args []types.Value) *readEnv {
	env := &readEnv{e: s.e, snap: s.snapshot(), params: args, zone: s.params.style.Location, now: s.e.micros()}
	if s.tx != nil {
		env.overlay = s.tx.changes
		if s.tx.explicit {
			env.now = s.tx.now
		}
	}
	env.system = func() *SystemView {
		return &SystemView{Engine: s.e, Snapshot: env.snap, User: s.opt.User, Database: s.opt.Database, PID: s.pid, Settings: s.params.list()}
	}
	return env
}

// open makes sure that there is a transaction for a statement that writes or reads.
func (s *Session) open() *tx {
	if s.tx == nil {
		s.tx = &tx{changes: map[catalog.ID]*batch.Batch{}, now: s.e.micros()}
	}
	return s.tx
}

// write runs a statement that writes and makes what it does part of the
// transaction; said tells what the client gets to know of it.
func (s *Session) write(ctx context.Context, args []types.Value, run func(context.Context, *readEnv) (*change, error),
	said func(*readEnv, *change) (string, error)) (*change, *readEnv, error) {
	if v, _ := s.params.get("transaction_read_only"); v == "on" {
		return nil, nil, &types.Error{Code: "25006", Message: "cannot write in a read-only transaction"}
	}
	t := s.open()
	if t.snap == nil {
		t.snap = s.e.Snapshot()
	}
	env := s.env(args)
	ch, err := run(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	if err := t.add(ch); err != nil {
		return nil, nil, err
	}
	if !t.explicit {
		if len(t.writers) >= maxWriters {
			return nil, nil, &types.Error{Code: "54000", Message: fmt.Sprintf("more than %d statements in one transaction", maxWriters)}
		}
		was, err := said(env, ch)
		if err != nil {
			return nil, nil, err
		}
		t.writers = append(t.writers, writer{run: func(ctx context.Context, env *readEnv) (*change, error) {
			env.params = args
			return run(ctx, env)
		}, said: said, was: was})
	}
	return ch, env, nil
}

// add makes a change part of the transaction.
func (t *tx) add(ch *change) error {
	if ch.delta == nil || ch.delta.Len() == 0 {
		return nil
	}
	id := ch.table.ID
	b := ch.delta
	// Overlays are read by queries that run now: replaced, never changed.
	next := make(map[catalog.ID]*batch.Batch, len(t.changes)+1)
	size := int64(0)
	for k, v := range t.changes {
		next[k] = v
		if k == id {
			bu := batch.NewBuilder(v.Types())
			bu.AppendBatch(v)
			bu.AppendBatch(b)
			b = batch.Consolidate(bu.View())
		} else {
			size += v.SizeBytes()
		}
	}
	if size += b.SizeBytes(); size > MaxTxBytes {
		return errTooLarge()
	}
	next[id] = b
	t.changes, t.bytes = next, size
	return nil
}

// commit ends the transaction and makes it durable.
func (s *Session) commit(ctx context.Context) error {
	t := s.tx
	defer s.rollback()
	seq, err := s.e.commit(ctx, t.changes)
	for n := 0; err != nil && !t.explicit && n < maxRetries && s.again(err, t); n++ {
		if t, err = s.rerun(ctx, t); err == nil {
			seq, err = s.e.commit(ctx, t.changes)
		}
	}
	s.wrote(seq)
	return err
}

// again reports whether an implicit transaction that met err is to be run once more.
func (s *Session) again(err error, t *tx) bool {
	var te *types.Error
	if !errors.As(err, &te) || len(t.writers) == 0 {
		return false
	}
	return te.Code == types.CodeSerialization || te.Code == types.CodeUnique
}

// rerun computes the statements of an implicit transaction on the rows as they are
// now. It fails if the client was told something that is no longer so.
func (s *Session) rerun(ctx context.Context, old *tx) (*tx, error) {
	t := &tx{changes: map[catalog.ID]*batch.Batch{}, now: old.now, snap: s.e.Snapshot(), writers: old.writers, local: old.local}
	s.tx = t
	for _, w := range t.writers {
		env := s.env(nil)
		ch, err := w.run(ctx, env)
		if err != nil {
			return t, err
		}
		is, err := w.said(env, ch)
		if err != nil {
			return t, err
		}
		if is != w.was {
			return t, &types.Error{Code: types.CodeSerialization, Message: errConflict.Message, Hint: errConflict.Hint,
				Detail: "The rows were changed in between, so that the statement's answer is another one."}
		}
		if err := t.add(ch); err != nil {
			return t, err
		}
	}
	return t, nil
}

// rollback ends the transaction and forgets what it did.
func (s *Session) rollback() {
	if s.tx == nil {
		return
	}
	for _, name := range sortedKeys(s.tx.local) {
		s.params.restore(name, s.tx.local[name])
	}
	if s.tx.explicit {
		s.closeCursors(false)
	}
	s.tx = nil
}

// Prepare implements session.Session.
func (s *Session) Prepare(ctx context.Context, text string, stmt sql.Stmt, params []types.Type) (*session.Statement, error) {
	if err := s.usable(stmt); err != nil {
		return nil, err
	}
	var p *prepared
	err := s.replan(ctx, func() (err error) {
		p, err = s.plan(text, stmt, params)
		return err
	})
	if err != nil {
		s.Fail()
		return nil, clientError(err)
	}
	st := &session.Statement{Text: text[stmt.Pos():stmt.End()], Stmt: stmt, Params: p.params, Columns: p.columns, Plan: p}
	if p.copy != nil {
		st.Plan = copying{p}
	}
	return st, nil
}

// usable refuses everything but the end of a failed transaction block.
func (s *Session) usable(stmt sql.Stmt) error {
	if s.tx == nil || !s.tx.failed {
		return nil
	}
	switch stmt.(type) {
	case *sql.Rollback, *sql.Commit:
		return nil
	}
	return &types.Error{Code: types.CodeInFailedTransaction, Message: "current transaction is aborted, commands ignored until end of transaction block"}
}

// Execute implements session.Session.
func (s *Session) Execute(ctx context.Context, st *session.Statement, args []types.Value) (session.Cursor, error) {
	if err := s.usable(st.Stmt); err != nil {
		return nil, err
	}
	p := planOf(st)
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	alone := s.tx == nil && !s.bracket // the statement is a transaction of its own
	var cur session.Cursor
	err := s.ready(ctx, st.Stmt)
	if err == nil {
		cur, err = s.execute(ctx, p, args)
	}
	if err == nil && alone && s.tx != nil && !s.tx.explicit {
		if err = s.commit(ctx); err != nil && cur != nil {
			cur.Close()
		}
	}
	if err != nil {
		if s.tx != nil && (s.tx.explicit || s.bracket) {
			s.tx.failed = true
		} else {
			s.rollback()
		}
		return nil, clientError(err)
	}
	return cur, nil
}

// clientError makes sure that clients see a *types.Error.
func clientError(err error) error {
	var te *types.Error
	if errors.As(err, &te) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to user request"}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to statement timeout"}
	}
	var se *sql.Error
	if errors.As(err, &se) {
		return &types.Error{Code: se.Code, Message: se.Message, Detail: se.Detail, Hint: se.Hint, Pos: se.Pos + 1}
	}
	return &types.Error{Code: types.CodeInternal, Message: err.Error()}
}
