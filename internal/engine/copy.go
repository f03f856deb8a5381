package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// copyPlan is a bound COPY.
type copyPlan struct {
	opt  session.CopyOptions
	in   bool
	from *plan.Copy // FROM STDIN
	to   *prepared  // TO STDOUT: the statement whose rows are sent
}

// copying is the plan of a COPY: only these implement session.Copier.
type copying struct{ *prepared }

// CopyOptions implements session.Copier.
func (p copying) CopyOptions() (session.CopyOptions, bool) { return p.copy.opt, p.copy.in }

// planCopy binds COPY.
func (s *Session) planCopy(pl *plan.Planner, p *prepared, st *sql.Copy) error {
	if !st.Stdio || st.Program {
		return at(&types.Error{Code: types.CodeFeature, Message: "COPY to or from a file is not supported", Hint: "Use STDIN or STDOUT, as psql's \\copy does."}, st.Pos())
	}
	opt, err := copyOptions(st)
	if err != nil {
		return err
	}
	p.copy = &copyPlan{opt: opt, in: st.From}
	switch {
	case st.From:
		c, err := pl.PlanCopyFrom(st)
		if err != nil {
			return err
		}
		p.copy.from = c
		for _, i := range c.Columns {
			col := c.Table.Columns[i]
			p.columns = append(p.columns, session.Column{Name: col.Name, Type: col.Type, Table: uint32(c.Table.ID), Attnum: int16(i + 1)})
		}
	case st.Stmt != nil:
		if p.copy.to, err = s.plan(p.text, st.Stmt, nil); err != nil {
			return err
		}
		if p.copy.to.lock != nil {
			return errLockWithin(st.Stmt, "COPY")
		}
		p.columns = p.copy.to.columns
	default:
		q, err := pl.PlanCopyTo(st)
		if err != nil {
			return err
		}
		p.copy.to = &prepared{text: p.text, stmt: &sql.Query{}, query: q, columns: columnsOf(q.Columns), version: p.version, path: p.path}
		p.columns = p.copy.to.columns
	}
	return nil
}

// copyOptions reads the options of COPY.
func copyOptions(st *sql.Copy) (session.CopyOptions, error) {
	opt := session.CopyOptions{Delimiter: '\t', Null: `\N`, Quote: '"', Escape: '"'}
	bad := func(o sql.Option, msg string) (session.CopyOptions, error) {
		return opt, at(&types.Error{Code: types.CodeInvalidParameter, Message: msg}, o.Pos())
	}
	for _, o := range st.Options {
		if v, _ := o.Text(); strings.EqualFold(o.Name, "format") {
			switch strings.ToLower(v) {
			case "text":
			case "csv":
				opt.CSV, opt.Delimiter, opt.Null = true, ',', ""
			case "binary":
				opt.Binary = true
			default:
				return bad(o, fmt.Sprintf("COPY format %q not recognized", v))
			}
		}
	}
	for _, o := range st.Options {
		v, _ := o.Text()
		one := func(to *byte) error {
			if len(v) != 1 {
				_, err := bad(o, fmt.Sprintf("COPY %s must be a single one-byte character", o.Name))
				return err
			}
			*to = v[0]
			return nil
		}
		var err error
		switch strings.ToLower(o.Name) {
		case "format":
		case "delimiter":
			err = one(&opt.Delimiter)
		case "null":
			opt.Null = v
		case "header":
			opt.Header = o.Value == nil || v == "true" || v == "on" || v == "1" || v == "match"
		case "quote":
			err = one(&opt.Quote)
		case "escape":
			err = one(&opt.Escape)
		case "force_quote":
			_, opt.ForceQuoteAll = o.Value.(*sql.StarExpr)
			if !opt.ForceQuoteAll {
				return bad(o, "FORCE_QUOTE of single columns is not supported: use FORCE_QUOTE *")
			}
		case "encoding":
			if !strings.EqualFold(v, "utf8") && !strings.EqualFold(v, "utf-8") {
				return bad(o, fmt.Sprintf("COPY encoding %q is not supported", v))
			}
		case "freeze":
		default:
			return bad(o, fmt.Sprintf("option %q not recognized", o.Name))
		}
		if err != nil {
			return opt, err
		}
	}
	return opt, nil
}

// copyTo gives the rows of COPY ... TO STDOUT.
func (s *Session) copyTo(ctx context.Context, p *prepared) (session.Cursor, error) {
	if p.copy.in {
		return nil, &types.Error{Code: "08P01", Message: "COPY FROM STDIN needs the rows from the client"}
	}
	to := p.copy.to
	if to.query != nil {
		c, err := s.selectRows(ctx, to.query, nil)
		if err == nil {
			c.verb = "COPY"
		}
		return c, err
	}
	return s.execute(ctx, to, nil)
}

// copyIn receives the rows of COPY ... FROM STDIN.
type copyIn struct {
	s        *Session
	p        *copyPlan
	cols     []session.Column
	rows     *batch.Builder // whole rows of the table
	defaults *batch.Batch   // one row; of the columns that are not in the input
	ended    bool
}

// CopyIn implements session.Session.
func (s *Session) CopyIn(ctx context.Context, st *session.Statement) (session.CopyIn, error) {
	if err := s.usable(st.Stmt); err != nil {
		return nil, err
	}
	p, err := s.fresh(planOf(st))
	if err != nil {
		return nil, clientError(err)
	}
	if p.copy == nil || !p.copy.in {
		return nil, &types.Error{Code: "08P01", Message: "the statement is not COPY ... FROM STDIN"}
	}
	if err := s.e.room(); err != nil {
		return nil, err
	}
	c := &copyIn{s: s, p: p.copy, cols: p.columns, rows: batch.NewBuilder(p.copy.from.Table.Types())}
	bu := batch.NewBuilder(p.copy.from.Table.Types())
	ectx := s.env(nil).exprCtx()
	var row []types.Value
	for i, d := range p.copy.from.Defaults {
		v := types.NullOf(p.copy.from.Table.Columns[i].Type)
		if d != nil {
			if v, err = expr.EvalConst(ectx, d); err != nil {
				return nil, clientError(err)
			}
		}
		row = append(row, v)
	}
	bu.AppendRow(row, 1)
	c.defaults = bu.Seal()
	return c, nil
}

// Columns implements session.CopyIn.
func (c *copyIn) Columns() []session.Column { return c.cols }

// Write implements session.CopyIn.
func (c *copyIn) Write(ctx context.Context, b *batch.Batch) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	field := make([]int, len(c.p.from.Table.Columns))
	for i := range field {
		field[i] = -1
	}
	for f, col := range c.p.from.Columns {
		field[col] = f
	}
	for k := range b.Len() {
		i := b.Row(k)
		n := c.rows.Len()
		for col, f := range field {
			if f >= 0 {
				c.rows.Col(col).AppendFrom(n, &b.Cols[f], i)
			} else {
				c.rows.Col(col).AppendFrom(n, &c.defaults.Cols[col], 0)
			}
		}
		c.rows.EndRow(1)
	}
	if c.rows.SizeBytes() > MaxTxBytes {
		return errTooLarge()
	}
	return nil
}

// Commit implements session.CopyIn.
func (c *copyIn) Commit(ctx context.Context) (int64, error) {
	if c.ended {
		return 0, &types.Error{Code: types.CodeInternal, Message: "COPY has ended already"}
	}
	c.ended = true
	count := int64(c.rows.Len())
	rows := batch.Consolidate(c.rows.Seal())
	s := c.s
	alone := s.tx == nil && !s.bracket
	_, _, err := s.write(ctx, nil,
		func(_ context.Context, env *readEnv) (*change, error) { return env.putRows(c.p.from.Target, rows, nil) },
		func(*readEnv, *change) (string, error) { return "", nil })
	if err == nil && alone {
		err = s.commit(ctx)
	}
	if err != nil {
		if s.tx != nil && (s.tx.explicit || s.bracket) {
			s.tx.failed = true
		} else {
			s.rollback()
		}
		return 0, clientError(err)
	}
	return count, nil
}

// Abort implements session.CopyIn.
func (c *copyIn) Abort() { c.ended = true; c.rows.Reset() }

// planOf returns the plan of a statement, which is wrapped for COPY.
func planOf(st *session.Statement) *prepared {
	if c, ok := st.Plan.(copying); ok {
		return c.prepared
	}
	return st.Plan.(*prepared)
}
