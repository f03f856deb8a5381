package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// prepared is a statement that is bound: session.Statement.Plan.
type prepared struct {
	text    string // that stmt stands in
	stmt    sql.Stmt
	given   []types.Type // parameter types the client declared
	params  []types.Type
	columns []session.Column
	version uint64 // of the catalog it was bound against
	path    string // search path it was bound with

	query  *plan.Query        // of SELECT, COPY TO and DECLARE
	lock   *plan.LockFunction // that is called; query is that of its arguments
	insert *plan.Insert
	update *plan.Update
	remove *plan.Delete
	sub    *subscribePlan
	copy   *copyPlan
	inner  *prepared // of EXPLAIN and DECLARE
}

// plan binds a statement.
func (s *Session) plan(text string, stmt sql.Stmt, given []types.Type) (*prepared, error) {
	p := &prepared{text: text, stmt: stmt, given: given}
	pl := s.planner(given)
	p.version, p.path = pl.Catalog.Version(), s.params.value("search_path")
	var err error
	switch st := stmt.(type) {
	case *sql.Query:
		if is, err := s.planLock(pl, p, st); is {
			return p, err
		}
		if p.query, err = pl.PlanSelect(st); err == nil {
			p.params, p.columns = p.query.Params, columnsOf(p.query.Columns)
		}
	case *sql.Insert:
		if p.insert, err = pl.PlanInsert(st); err == nil {
			p.params, p.columns = p.insert.Params, returningColumns(p.insert.Returning)
		}
	case *sql.Update:
		if p.update, err = pl.PlanUpdate(st); err == nil {
			p.params, p.columns = p.update.Params, returningColumns(p.update.Returning)
		}
	case *sql.Delete:
		if p.remove, err = pl.PlanDelete(st); err == nil {
			p.params, p.columns = p.remove.Params, returningColumns(p.remove.Returning)
		}
	case *sql.Subscribe:
		if p.sub, err = s.planSubscribe(pl, st); err == nil {
			p.params, p.columns = p.sub.params, p.sub.columns
		}
	case *sql.Copy:
		err = s.planCopy(pl, p, st)
	case *sql.DeclareCursor:
		if p.inner, err = s.plan(text, st.Stmt, given); err == nil {
			p.params = p.inner.params
			if p.inner.lock != nil {
				err = errLockWithin(st.Stmt, "a cursor")
			}
		}
	case *sql.Explain:
		p.columns = textColumns("QUERY PLAN")
		if st.Stmt != nil {
			if p.inner, err = s.planExplained(text, st.Stmt, given); err == nil {
				p.params = p.inner.params
				if p.inner.lock != nil {
					err = errLockWithin(st.Stmt, "EXPLAIN")
				}
			}
		}
	case *sql.Show:
		if st.What == "nodes" {
			return s.planShowNodes(st)
		}
		p.columns, err = s.showColumns(st)
	case *sql.Execute:
		inner := s.prepared[st.Name.Text]
		if inner == nil {
			return nil, noStatement(st.Name.Text)
		}
		p.columns = inner.Columns
	case *sql.Fetch:
		if c := s.cursors[st.Cursor.Text]; c != nil && !st.Move {
			p.columns = c.cur.Columns()
		}
	}
	return p, err
}

func returningColumns(r *plan.Returning) []session.Column {
	if r == nil {
		return nil
	}
	return columnsOf(r.Columns)
}

func noStatement(name string) error {
	return &types.Error{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", name)}
}

// fresh returns p bound against the catalog that the session sees now.
func (s *Session) fresh(p *prepared) (*prepared, error) {
	if p.query == nil && p.insert == nil && p.update == nil && p.remove == nil && p.sub == nil && p.copy == nil && p.inner == nil ||
		p.version == s.snapshot().Catalog.Version() && p.path == s.params.value("search_path") {
		return p, nil
	}
	given := p.given
	if len(p.params) > 0 {
		given = p.params
	}
	n, err := s.plan(p.text, p.stmt, given)
	if err != nil {
		return nil, err
	}
	if p.columns != nil && len(n.columns) != len(p.columns) {
		return nil, &types.Error{Code: types.CodeFeature, Message: "cached plan must not change result type"}
	}
	return n, nil
}

// execute runs a bound statement.
func (s *Session) execute(ctx context.Context, p *prepared, args []types.Value) (session.Cursor, error) {
	p, err := s.fresh(p)
	if err != nil {
		return nil, err
	}
	if ms, _ := durationMillis(s.params.value("statement_timeout")); ms > 0 && p.sub == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	switch st := p.stmt.(type) {
	case *sql.Query:
		if p.lock != nil {
			return s.lock(ctx, p, args)
		}
		return s.selectRows(ctx, p.query, args)
	case *sql.Insert, *sql.Update, *sql.Delete:
		return s.modify(ctx, p, args)
	case *sql.Truncate:
		return s.truncate(ctx, st)
	case *sql.Subscribe:
		return s.subscribe(ctx, p.sub, args)
	case *sql.Copy:
		return s.copyTo(ctx, p)
	case *sql.DeclareCursor, *sql.Fetch, *sql.CloseCursor:
		return s.cursorStatement(ctx, p, args)
	case *sql.Explain:
		return s.explain(ctx, p, st, args)
	case *sql.Show:
		return s.show(st)
	case *sql.Set, *sql.SetTransaction, *sql.Discard:
		return s.setting(st)
	case *sql.Prepare, *sql.Execute, *sql.Deallocate:
		return s.preparedStatement(ctx, p)
	case *sql.Flush, *sql.Checkpoint:
		return s.flush(ctx, st)
	case *sql.CreateTable, *sql.CreateSource, *sql.CreateView, *sql.CreateMatView, *sql.CreateSink, *sql.CreateIndex,
		*sql.CreateSchema, *sql.CreateFunction, *sql.Drop, *sql.Comment, *sql.CreateTableAs, *sql.Alter, *sql.CreateRole, *sql.AlterRole:
		return s.define(ctx, p)
	case *sql.Call:
		return s.call(ctx, st)
	case *sql.Maintenance:
		s.notice("NOTICE", "00000", "nothing to do: there are no statistics or dead rows to care for")
		if st.Vacuum {
			return done("VACUUM"), nil
		}
		return done("ANALYZE"), nil
	case *sql.RefreshMatView:
		s.notice("NOTICE", "00000", "materialized views are always up to date")
		return done("REFRESH MATERIALIZED VIEW"), nil
	case *sql.Unlisten:
		return done("UNLISTEN"), nil
	case *sql.SetConstraints:
		return done("SET CONSTRAINTS"), nil
	}
	return s.control(ctx, p.stmt)
}

// selectRows answers a query.
func (s *Session) selectRows(ctx context.Context, q *plan.Query, args []types.Value) (*rowsCursor, error) {
	if s.tx != nil && s.tx.explicit && s.tx.snap == nil {
		s.tx.snap = s.e.Snapshot()
	}
	env := s.env(args)
	s.warnOld(env.snap, queryInputs(q))
	b, err := env.query(ctx, q)
	if err != nil {
		return nil, err
	}
	return newRows(q, b, env.exprCtx())
}

// modify runs INSERT, UPDATE and DELETE.
func (s *Session) modify(ctx context.Context, p *prepared, args []types.Value) (session.Cursor, error) {
	var run func(ctx context.Context, env *readEnv) (*change, error)
	var ret *plan.Returning
	verb := ""
	switch {
	case p.insert != nil:
		run = func(ctx context.Context, env *readEnv) (*change, error) { return env.insert(ctx, p.insert) }
		ret, verb = p.insert.Returning, "INSERT 0"
	case p.update != nil:
		run = func(ctx context.Context, env *readEnv) (*change, error) { return env.update(ctx, p.update) }
		ret, verb = p.update.Returning, "UPDATE"
	default:
		run = func(ctx context.Context, env *readEnv) (*change, error) { return env.remove(ctx, p.remove) }
		ret, verb = p.remove.Returning, "DELETE"
	}
	answer := func(env *readEnv, ch *change) (*rowsCursor, error) {
		if ret == nil {
			return nil, nil
		}
		c, err := env.returning(ret, ch)
		if err == nil {
			c.tag = fmt.Sprintf("%s %d", verb, ch.count)
		}
		return c, err
	}
	said := func(env *readEnv, ch *change) (string, error) {
		c, err := answer(env, ch)
		if err != nil || c == nil {
			return fmt.Sprint(ch.count), err
		}
		return fmt.Sprint(ch.count, digestOf(c.rows)), nil
	}
	ch, env, err := s.write(ctx, args, run, said)
	if err != nil {
		return nil, err
	}
	c, err := answer(env, ch)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return c, nil
	}
	return done(fmt.Sprintf("%s %d", verb, ch.count)), nil
}

func (s *Session) truncate(ctx context.Context, st *sql.Truncate) (session.Cursor, error) {
	for _, t := range st.Tables {
		def, err := s.snapshot().Catalog.Resolve(s.params.path, t.Name.Schema(), t.Name.Last())
		if err != nil {
			return nil, at(err, t.Pos())
		}
		if def.Kind != catalog.Table {
			return nil, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%q is not a table", def.Name)}
		}
		if def.AppendOnly {
			return nil, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("cannot truncate append-only table %q", def.Name), Hint: "Its rows are never changed. Drop it."}
		}
		_, _, err = s.write(ctx, nil,
			func(ctx context.Context, env *readEnv) (*change, error) { return env.truncate(ctx, def) },
			func(*readEnv, *change) (string, error) { return "", nil })
		if err != nil {
			return nil, err
		}
	}
	return done("TRUNCATE TABLE"), nil
}

// at places an error in the statement.
func at(err error, pos int) error {
	if e, ok := err.(*types.Error); ok {
		return e.At(pos)
	}
	return err
}

// define runs DDL: it is a transaction of its own.
func (s *Session) define(ctx context.Context, p *prepared) (session.Cursor, error) {
	if s.tx != nil && s.tx.explicit {
		return nil, &types.Error{Code: "25001", Message: fmt.Sprintf("%s cannot run inside a transaction block", tagOf(p))}
	}
	if s.tx != nil {
		if err := s.commit(ctx); err != nil {
			return nil, err
		}
	}
	p, err := s.withoutPasswords(p)
	if err != nil {
		return nil, err
	}
	pl := s.planner(nil)
	r := &request{kind: coord.DDL, ctx: ctx, frees: strings.HasPrefix(tagOf(p), "DROP "), plan: func(cat *catalog.Catalog) (catalog.Command, error) {
		own := *pl
		own.Catalog = cat
		return own.PlanDDL(p.stmt, p.text)
	}}
	// What is plainly wrong need not bother the leader; a standby may be behind it.
	if _, err := pl.PlanDDL(p.stmt, p.text); err != nil && (s.e.cfg.Leader == nil || s.e.role() == RoleLeader) {
		return nil, err
	}
	r.remote = s.remoteDDL(p)
	a, err := s.e.call(ctx, r)
	s.wrote(a.seq)
	if err != nil && !s.e.leads() {
		err = shifted(err, p.stmt.Pos())
	}
	if err != nil {
		return nil, err
	}
	for _, n := range a.effect.Notices {
		if s.opt.Notice != nil {
			s.opt.Notice(session.Notice{Severity: "NOTICE", Error: types.Error{Code: n.Code, Message: n.Message, Detail: n.Detail}})
		}
	}
	s.warnUnbounded(a.effect.Created)
	return done(tagOf(p)), nil
}

// warnUnbounded tells of views just made that hold on to every row of a stream.
func (s *Session) warnUnbounded(created []catalog.ID) {
	for _, id := range created {
		def := s.snapshot().Catalog.ByID(id)
		if def == nil || len(def.Unbounded) == 0 || s.opt.Notice == nil {
			continue
		}
		s.opt.Notice(session.Notice{Severity: "WARNING", Error: types.Error{Code: "01000",
			Message: fmt.Sprintf("the state of %s grows with every row", def.Describe()),
			Detail:  strings.Join(def.Unbounded, "\n"),
			Hint:    "Let rows be forgotten by time: declare a WATERMARK and use windows or intervals, or create the view WITH (state_ttl = '...')."}})
	}
}

// tagOf is the command tag of DDL.
func tagOf(p *prepared) string {
	switch st := p.stmt.(type) {
	case *sql.CreateTable:
		return "CREATE TABLE"
	case *sql.CreateSource:
		return "CREATE SOURCE"
	case *sql.CreateView:
		return "CREATE VIEW"
	case *sql.CreateMatView:
		return "CREATE MATERIALIZED VIEW"
	case *sql.CreateSink:
		return "CREATE SINK"
	case *sql.CreateIndex:
		return "CREATE INDEX"
	case *sql.CreateSchema:
		return "CREATE SCHEMA"
	case *sql.CreateFunction:
		return "CREATE FUNCTION"
	case *sql.Drop:
		if st.Kind == "user" || st.Kind == "group" {
			return "DROP ROLE"
		}
		return "DROP " + strings.ToUpper(st.Kind)
	case *sql.CreateRole:
		return "CREATE ROLE"
	case *sql.AlterRole:
		return "ALTER ROLE"
	case *sql.Comment:
		return "COMMENT"
	case *sql.Alter:
		return "ALTER " + strings.ToUpper(st.Kind)
	}
	return "CREATE TABLE AS"
}

// flush waits until everything accepted so far is in a step.
func (s *Session) flush(ctx context.Context, st sql.Stmt) (session.Cursor, error) {
	if s.tx != nil && !s.tx.explicit {
		if err := s.commit(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.e.announceAll(ctx); err != nil {
		return nil, err
	}
	a, err := s.e.call(ctx, &request{kind: coord.Flush})
	if s.wrote(a.seq); err != nil {
		return nil, err
	}
	if _, ok := st.(*sql.Checkpoint); ok {
		if err := s.e.checkpoint(ctx); err != nil {
			return nil, err
		}
		return done("CHECKPOINT"), nil
	}
	return done("FLUSH"), nil
}

// control runs transaction control.
func (s *Session) control(ctx context.Context, stmt sql.Stmt) (session.Cursor, error) {
	switch st := stmt.(type) {
	case *sql.Begin:
		if s.tx != nil && s.tx.explicit {
			s.notice("WARNING", "25001", "there is already a transaction in progress")
		} else {
			t := s.open() // what an implicit transaction did so far becomes part of the block
			t.explicit, t.writers = true, nil
		}
		s.modes(st.Modes)
		if st.Start {
			return done("START TRANSACTION"), nil
		}
		return done("BEGIN"), nil
	case *sql.Commit:
		return s.endBlock(ctx, st)
	case *sql.Rollback:
		if st.Savepoint.Text != "" {
			return nil, noSavepoints(st.Pos())
		}
		if st.Prepared != "" {
			return nil, unsupported(st, "two-phase commit")
		}
		if s.tx == nil || !s.tx.explicit {
			s.notice("WARNING", "25P01", "there is no transaction in progress")
		}
		s.rollback()
		if st.Chain {
			s.open().explicit = true
		}
		return done("ROLLBACK"), nil
	case *sql.Savepoint:
		return nil, noSavepoints(st.Pos())
	case *sql.Release:
		return nil, noSavepoints(st.Pos())
	}
	return nil, unsupported(stmt, "this statement")
}

func (s *Session) endBlock(ctx context.Context, st *sql.Commit) (session.Cursor, error) {
	if st.Prepared != "" {
		return nil, unsupported(st, "two-phase commit")
	}
	switch {
	case s.tx == nil || !s.tx.explicit:
		s.notice("WARNING", "25P01", "there is no transaction in progress")
		return done("COMMIT"), nil
	case s.tx.failed:
		s.rollback()
		return done("ROLLBACK"), nil
	}
	if err := s.commit(ctx); err != nil {
		return nil, err
	}
	if st.Chain {
		s.open().explicit = true
	}
	return done("COMMIT"), nil
}

func noSavepoints(pos int) error {
	return (&types.Error{Code: types.CodeFeature, Message: "savepoints are not supported yet"}).At(pos)
}

func unsupported(st sql.Stmt, what string) error {
	return (&types.Error{Code: types.CodeFeature, Message: what + " is not supported yet"}).At(st.Pos())
}

// preparedStatement runs PREPARE, EXECUTE and DEALLOCATE.
func (s *Session) preparedStatement(ctx context.Context, p *prepared) (session.Cursor, error) {
	switch st := p.stmt.(type) {
	case *sql.Prepare:
		return s.prepareNamed(ctx, p, st)
	case *sql.Deallocate:
		if st.All {
			clear(s.prepared)
			return done("DEALLOCATE ALL"), nil
		}
		if s.prepared[st.Name.Text] == nil {
			return nil, noStatement(st.Name.Text)
		}
		delete(s.prepared, st.Name.Text)
		return done("DEALLOCATE"), nil
	case *sql.Execute:
		inner := s.prepared[st.Name.Text]
		if inner == nil {
			return nil, noStatement(st.Name.Text)
		}
		args, err := s.arguments(inner, st)
		if err != nil {
			return nil, err
		}
		if _, again := inner.Stmt.(*sql.Execute); again {
			return nil, unsupported(st, "EXECUTE of EXECUTE")
		}
		return s.execute(ctx, planOf(inner), args)
	}
	return nil, unsupported(p.stmt, "this statement")
}

func (s *Session) prepareNamed(ctx context.Context, p *prepared, st *sql.Prepare) (session.Cursor, error) {
	if s.prepared[st.Name.Text] != nil {
		return nil, &types.Error{Code: "42P05", Message: fmt.Sprintf("prepared statement %q already exists", st.Name.Text)}
	}
	if len(s.prepared) >= maxPrepared {
		return nil, &types.Error{Code: "54000", Message: fmt.Sprintf("more than %d prepared statements", maxPrepared)}
	}
	var given []types.Type
	for _, tn := range st.Types {
		t, err := typeOf(s, tn)
		if err != nil {
			return nil, err
		}
		given = append(given, t)
	}
	inner, err := s.Prepare(ctx, p.text, st.Stmt, given)
	if err != nil {
		return nil, err
	}
	s.prepared[st.Name.Text] = inner
	return done("PREPARE"), nil
}

// typeOf resolves a type's name by asking for a NULL of it.
func typeOf(s *Session, tn *sql.TypeName) (types.Type, error) {
	q, err := s.planner(nil).PlanSelect(queryOf(&sql.CastExpr{X: &sql.NullLit{}, Type: tn}))
	if err != nil {
		return types.Type{}, err
	}
	return q.Columns[0].Type, nil
}

// queryOf is SELECT xs.
func queryOf(xs ...sql.Expr) *sql.Query {
	sel := &sql.Select{}
	for _, x := range xs {
		sel.Items = append(sel.Items, sql.SelectItem{X: x})
	}
	return &sql.Query{Body: sel}
}

// arguments evaluates the arguments of EXECUTE as the parameters' types.
func (s *Session) arguments(st *session.Statement, ex *sql.Execute) ([]types.Value, error) {
	if len(ex.Args) != len(st.Params) {
		return nil, &types.Error{Code: types.CodeSyntax, Message: fmt.Sprintf("wrong number of parameters for prepared statement %q", ex.Name.Text),
			Detail: fmt.Sprintf("Expected %d parameters but got %d.", len(st.Params), len(ex.Args))}
	}
	var xs []sql.Expr
	for i, a := range ex.Args {
		tn, err := sql.ParseTypeName(st.Params[i].String(), sql.Options{})
		if err != nil {
			return nil, err
		}
		xs = append(xs, &sql.CastExpr{At: sql.At(a.Pos()), X: a, Type: tn})
	}
	if len(xs) == 0 {
		return nil, nil
	}
	q, err := s.planner(nil).PlanSelect(queryOf(xs...))
	if err != nil {
		return nil, err
	}
	b, err := s.env(nil).query(context.Background(), q)
	if err != nil {
		return nil, err
	}
	return b.RowValues(0)[:len(xs)], nil
}
