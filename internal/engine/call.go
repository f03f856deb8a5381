package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// maxRetryFailures is how many rows may fail again before CALL tidemill.retry of all
// rows of a source stops: each costs the computation of all since the last checkpoint.
const maxRetryFailures = 8

// call runs CALL. The only procedure is tidemill.retry.
func (s *Session) call(ctx context.Context, st *sql.Call) (session.Cursor, error) {
	f := st.Func
	if f.Name.Last() != "retry" || f.Name.Schema() != "tidemill" {
		name := f.Name.Last()
		if f.Name.Schema() != "" {
			name = f.Name.Schema() + "." + name
		}
		return nil, (&types.Error{Code: types.CodeUndefinedFunction, Message: fmt.Sprintf("procedure %s does not exist", name),
			Hint: "There is tidemill.retry(source [, position])."}).At(st.Pos())
	}
	if s.tx != nil && s.tx.explicit {
		return nil, &types.Error{Code: "25001", Message: "CALL tidemill.retry cannot run inside a transaction block"}
	}
	if s.tx != nil {
		if err := s.commit(ctx); err != nil {
			return nil, err
		}
	}
	args, err := s.callArguments(ctx, f)
	if err != nil {
		return nil, err
	}
	def, err := s.sourceNamed(args[0].S)
	if err != nil {
		return nil, at(err, st.Pos())
	}
	if len(args) == 2 {
		if args[1].I < 0 {
			return nil, errNotSkipped(retryRow{source: def.ID})
		}
		err = s.retry(ctx, retryRow{def.ID, uint64(args[1].I)})
	} else {
		err = s.retryAll(ctx, def)
	}
	if err != nil {
		return nil, err
	}
	return done("CALL"), nil
}

// callArguments evaluates a name and, if it is there, a position.
func (s *Session) callArguments(ctx context.Context, f *sql.FuncCall) ([]types.Value, error) {
	bad := (&types.Error{Code: types.CodeUndefinedFunction, Message: fmt.Sprintf("procedure tidemill.retry with %d arguments does not exist", len(f.Args)),
		Hint: "It takes the name of a source and, to retry one row alone, its position in tidemill.quarantine."}).At(f.Pos())
	if n := len(f.Args); n < 1 || n > 2 || f.Star || f.Distinct || f.Variadic || f.OrderBy != nil || f.Filter != nil || f.Over != nil {
		return nil, bad
	}
	var xs []sql.Expr
	for i, a := range f.Args {
		if _, named := a.(*sql.NamedArg); named {
			return nil, bad
		}
		tn, err := sql.ParseTypeName([]string{"text", "bigint"}[i], sql.Options{})
		if err != nil {
			return nil, err
		}
		xs = append(xs, &sql.CastExpr{At: sql.At(a.Pos()), X: a, Type: tn})
	}
	q, err := s.planner(nil).PlanSelect(queryOf(xs...))
	if err != nil {
		return nil, err
	}
	b, err := s.env(nil).query(ctx, q)
	if err != nil {
		return nil, err
	}
	vals := b.RowValues(0)[:len(xs)]
	for _, v := range vals {
		if v.Null {
			return nil, &types.Error{Code: "22004", Message: "an argument of tidemill.retry is null"}
		}
	}
	return vals, nil
}

// sourceNamed finds a source by its name, with or without a schema.
func (s *Session) sourceNamed(name string) (*catalog.Relation, error) {
	schema, last, ok := strings.Cut(name, ".")
	if !ok {
		schema, last = "", name
	}
	def, err := s.snapshot().Catalog.Resolve(s.params.path, schema, last)
	if err != nil {
		return nil, err
	}
	if def.Kind != catalog.Source {
		return nil, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%q is not a source", def.Name)}
	}
	return def, nil
}

// retry puts one row back and waits for the step that holds it.
func (s *Session) retry(ctx context.Context, row retryRow) error {
	a, err := s.e.call(ctx, &request{kind: coord.Tx, retry: &row, rows: 1})
	s.wrote(a.seq)
	var te *types.Error
	if !errors.As(err, &te) || te.Code != types.CodeInvalidParameter {
		return err
	}
	// Maybe it is a record that never was a row.
	snap := s.e.Snapshot()
	def := snap.Catalog.ByID(row.source)
	found := false
	lerr := s.e.Quarantine(ctx, snap, func(q QuarantineRow) error {
		found = found || def != nil && q.Source == def.Name && q.Position == row.position
		return ctx.Err()
	})
	if lerr == nil && found {
		return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("record %d of source %q was never a row: it could not be decoded, and is not decoded again", row.position, def.Name),
			Hint: "Send it again in the right form."}
	}
	return err
}

// retryAll puts all rows of a source back that were left out. Those that fail again stay
// where they are.
func (s *Session) retryAll(ctx context.Context, def *catalog.Relation) error {
	rows := s.e.Snapshot().skipped.of(def.ID)
	failed, put := 0, 0
	var first error
	for _, x := range rows {
		err := s.retry(ctx, retryRow{def.ID, x.Position})
		var te *types.Error
		switch {
		case err == nil:
			put++
			continue
		case ctx.Err() != nil || s.e.Err() != nil || !errors.As(err, &te):
			return err
		case te.Code == types.CodeInvalidParameter:
			continue // another client has put it back
		}
		if failed++; first == nil {
			first = err
		}
		if failed == maxRetryFailures {
			break
		}
	}
	if first == nil {
		return nil
	}
	var te types.Error
	var p *types.Error
	if errors.As(first, &p) {
		te = *p
	}
	te.Detail = strings.TrimSpace(fmt.Sprintf("Of %d rows %d are back and %d failed again; this is the first of them. %s", len(rows), put, failed, te.Detail))
	return &te
}
