package engine

import (
	"context"
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// planLock binds SELECT tidemill.acquire_lock(...) and its like: the query is that of the arguments.
func (s *Session) planLock(pl *plan.Planner, p *prepared, st *sql.Query) (is bool, err error) {
	f, fn, is, err := plan.LockCall(st)
	if !is || err != nil {
		return err != nil, err
	}
	var xs []sql.Expr
	for i, a := range f.Args {
		tn, err := sql.ParseTypeName(fn.Params[i], sql.Options{})
		if err != nil {
			return true, err
		}
		xs = append(xs, &sql.CastExpr{At: sql.At(a.Pos()), X: a, Type: tn})
	}
	if p.query, err = pl.PlanSelect(queryOf(xs...)); err != nil {
		return true, err
	}
	name := fn.Name
	if alias := st.Body.(*sql.Select).Items[0].Alias.Text; alias != "" {
		name = alias
	}
	p.lock, p.params, p.columns = &fn, p.query.Params, []session.Column{{Name: name, Type: fn.Returns}}
	return true, nil
}

// errLockWithin refuses a function of locks below another statement.
func errLockWithin(st sql.Stmt, what string) error {
	return (&types.Error{Code: types.CodeFeature, Message: what + " of a function that takes or gives up a lock is not supported", Hint: "Run the SELECT as it is."}).At(st.Pos())
}

// lock calls a function of locks.
func (s *Session) lock(ctx context.Context, p *prepared, args []types.Value) (session.Cursor, error) {
	locks := s.e.cfg.Locks
	if locks == nil {
		return nil, &types.Error{Code: types.CodeFeature, Message: "there are no locks here"}
	}
	b, err := s.env(args).query(ctx, p.query)
	if err != nil {
		return nil, err
	}
	n := len(p.query.Columns)
	v := b.RowValues(0)[:n]
	for i := range v {
		if v[i].Null {
			return nil, &types.Error{Code: "22004", Message: "an argument of tidemill." + p.lock.Name + " is null"}
		}
	}
	out := types.NullOf(p.lock.Returns)
	var ttl, wait time.Duration
	switch p.lock.Name {
	case "acquire_lock":
		if ttl, err = lockTime(v[2]); err == nil && n > 3 {
			wait, err = lockTime(v[3])
		}
		if err != nil {
			return nil, err
		}
		l, ok, err := locks.AcquireLock(ctx, v[0].S, v[1].S, ttl, wait)
		if err != nil {
			return nil, lockError(ctx, err)
		}
		if ok {
			out = types.IntValue(types.Int8, l.Token)
		}
	case "renew_lock":
		if ttl, err = lockTime(v[2]); err != nil {
			return nil, err
		}
		_, ok, err := locks.RenewLock(ctx, v[0].S, v[1].I, ttl)
		if err != nil {
			return nil, lockError(ctx, err)
		}
		out = types.BoolValue(ok)
	default:
		_, ok, err := locks.ReleaseLock(ctx, v[0].S, v[1].I)
		if err != nil {
			return nil, lockError(ctx, err)
		}
		out = types.BoolValue(ok)
	}
	return textRows("SELECT", p.columns, [][]types.Value{{out}}), nil
}

// lockError is the error of a call whose statement may have been cancelled meanwhile.
func lockError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	return err
}

// lockTime is an interval as a duration; days have 24 hours.
func lockTime(v types.Value) (time.Duration, error) {
	iv := v.V
	if iv.Months != 0 {
		return 0, &types.Error{Code: types.CodeInvalidParameter, Message: "an interval with months has no definite length", Hint: "For example, INTERVAL '10 s'."}
	}
	const day = int64(24 * time.Hour / time.Microsecond)
	most := math.MaxInt64 / int64(time.Microsecond) / 4
	if days := int64(iv.Days); days > most/day || days < -most/day || iv.Micros > most || iv.Micros < -most {
		return 0, &types.Error{Code: types.CodeInvalidParameter, Message: "the interval is too long for a lock"}
	}
	return time.Duration(int64(iv.Days)*day+iv.Micros) * time.Microsecond, nil
}
