package plan

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// LockFunction is one of the functions that take and give up locks. They have effects,
// and are not evaluated within queries: a statement is such a call and nothing else.
type LockFunction struct {
	Name     string
	Params   []string // names of their types
	Optional int      // how many of the last ones may be missing
	Returns  types.Type
}

// lockFunctions are in the schema tidemill.
var lockFunctions = map[string]LockFunction{
	"acquire_lock": {"acquire_lock", []string{"text", "text", "interval", "interval"}, 1, types.T(types.Int8)},
	"renew_lock":   {"renew_lock", []string{"text", "bigint", "interval"}, 0, types.T(types.Bool)},
	"release_lock": {"release_lock", []string{"text", "bigint"}, 0, types.T(types.Bool)},
}

// LockCall reports whether q is SELECT f(...) with a function of locks and nothing else,
// and which. An error says that the arguments are not right.
func LockCall(q *sql.Query) (f *sql.FuncCall, fn LockFunction, is bool, err error) {
	s, ok := q.Body.(*sql.Select)
	if !ok || len(s.Items) != 1 {
		return nil, fn, false, nil
	}
	if f, ok = s.Items[0].X.(*sql.FuncCall); !ok || f.Name.Schema() != catalog.TidemillSchema {
		return nil, fn, false, nil
	}
	if fn, is = lockFunctions[f.Name.Last()]; !is || !bare(q, s, f) {
		return nil, fn, false, nil
	}
	n := len(f.Args)
	wrong := n > len(fn.Params) || n < len(fn.Params)-fn.Optional
	for _, a := range f.Args {
		if _, named := a.(*sql.NamedArg); named {
			wrong = true
		}
	}
	if wrong {
		return nil, fn, false, (&types.Error{Code: types.CodeUndefinedFunction, Message: fmt.Sprintf("function tidemill.%s with these %d arguments does not exist", fn.Name, n),
			Hint: lockHint}).At(f.Pos())
	}
	return f, fn, true, nil
}

// bare reports whether there is nothing in q but the call.
func bare(q *sql.Query, s *sql.Select, f *sql.FuncCall) bool {
	return q.With == nil && q.OrderBy == nil && q.Limit == nil && !q.LimitAll && q.Offset == nil && q.Locking == nil && q.Emit == 0 &&
		!s.Distinct && s.Into == nil && s.From == nil && s.Where == nil && s.GroupBy == nil && s.Having == nil && s.Windows == nil &&
		!f.Star && !f.Distinct && !f.AllWord && !f.Variadic && f.OrderBy == nil && f.WithinGroup == nil && f.Filter == nil && f.Over == nil && !f.Running && !f.Final
}

const lockHint = "There are SELECT tidemill.acquire_lock(name, owner, interval [, wait]), tidemill.renew_lock(name, token, interval) and tidemill.release_lock(name, token), each alone in a statement."

// lockElsewhere refuses a function of locks that is part of something.
func lockElsewhere(f *sql.FuncCall) {
	if _, is := lockFunctions[f.Name.Last()]; is && f.Name.Schema() == catalog.TidemillSchema {
		failHint(f.Pos(), types.CodeFeature, lockHint, "function tidemill.%s must be the only expression of a SELECT without anything else", f.Name.Last())
	}
}
