package sqlgen

import (
	"reflect"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/sql"
)

// Reduce looks for a smaller case that still fails: it leaves out queries,
// steps, rows, views and tables, and cuts down the trees of the statements. It asks fails at
// most tries times; c fails.
func Reduce(c *Case, fails func(*Case) bool, tries int) *Case {
	r := &reducer{best: c, fails: fails, tries: tries}
	for r.tries > 0 {
		before := r.best.String()
		r.dropQueries()
		r.dropSteps()
		r.shrink(len(r.best.Queries), func(c *Case, i int) *string { return &c.Queries[i].SQL })
		r.dropRelations()
		r.shrink(len(r.best.Views), func(c *Case, i int) *string { return &c.Views[i].SQL })
		for s := range r.best.Steps {
			r.shrink(len(r.best.Steps[s]), func(c *Case, i int) *string { return &c.Steps[s][i] })
		}
		if r.best.String() == before {
			break
		}
	}
	return r.best
}

type reducer struct {
	best  *Case
	fails func(*Case) bool
	tries int
}

// try adopts c if it fails.
func (r *reducer) try(c *Case) bool {
	if r.tries <= 0 {
		return false
	}
	r.tries--
	if !r.fails(c) {
		return false
	}
	r.best = c
	return true
}

// clone copies what reducing changes.
func (c *Case) clone() *Case {
	out := *c
	out.Tables, out.Names = slices.Clone(c.Tables), slices.Clone(c.Names)
	out.Views, out.Queries = slices.Clone(c.Views), slices.Clone(c.Queries)
	out.Steps = make([][]string, len(c.Steps))
	for i, s := range c.Steps {
		out.Steps[i] = slices.Clone(s)
	}
	return &out
}

func (r *reducer) dropQueries() {
	for i := len(r.best.Queries) - 1; i >= 0; i-- {
		c := r.best.clone()
		c.Queries = slices.Delete(c.Queries, i, i+1)
		r.try(c)
	}
}

func (r *reducer) dropSteps() {
	for n := max(1, len(r.best.Steps)/2); n > 0; n /= 2 {
		for i := len(r.best.Steps) - n; i >= 0; i = min(i, len(r.best.Steps)) - n {
			c := r.best.clone()
			c.Steps = slices.Delete(c.Steps, i, i+n)
			r.try(c)
		}
	}
	for s := range r.best.Steps { // a transaction, or one of its statements
		for i := len(r.best.Steps[s]) - 1; i >= 0 && len(r.best.Steps[s]) > 1; i-- {
			i = min(i, len(r.best.Steps[s])-1)
			c := r.best.clone()
			if i == 0 || i == len(c.Steps[s])-1 {
				c.Steps[s] = c.Steps[s][1 : len(c.Steps[s])-1]
				r.try(c)
				continue
			}
			c.Steps[s] = slices.Delete(c.Steps[s], i, i+1)
			r.try(c)
		}
	}
}

func (r *reducer) dropRelations() {
	for i := len(r.best.Views) - 1; i >= 0; i-- {
		c := r.best.clone()
		c.Views = slices.Delete(c.Views, i, i+1)
		if !r.try(c) && r.best.Views[i].Materialized {
			c := r.best.clone()
			c.Views[i].Materialized = false
			r.try(c)
		}
	}
	for i := len(r.best.Tables) - 1; i >= 0; i-- {
		c := r.best.clone()
		c.Tables, c.Names = slices.Delete(c.Tables, i, i+1), slices.Delete(c.Names, i, i+1)
		r.try(c)
	}
}

// shrink cuts down the trees of n statements.
func (r *reducer) shrink(n int, at func(c *Case, i int) *string) {
	for i := range n {
		for k := 0; r.tries > 0; {
			text, more := cut(*at(r.best, i), k)
			if !more {
				break
			}
			if text == "" || len(text) >= len(*at(r.best, i)) {
				k++
				continue
			}
			c := r.best.clone()
			*at(c, i) = text
			if !r.try(c) {
				k++
			}
		}
	}
}

// cut returns text with its k-th simplification done, "" if that gives nothing that
// can be written; more is false if there is no k-th.
func cut(text string, k int) (out string, more bool) {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil || len(stmts) != 1 {
		return "", false
	}
	c := &cutter{left: k}
	c.visit(reflect.ValueOf(stmts[0]).Elem())
	if !c.done {
		return "", false
	}
	defer func() {
		if recover() != nil { // a part that cannot be missing is
			out, more = "", true
		}
	}()
	out = sql.Format(stmts[0])
	if _, err := sql.Parse(out, sql.Options{}); err != nil {
		return "", true
	}
	return out, true
}

// cutter does one simplification: it counts down to it.
type cutter struct {
	left int
	done bool
}

func (c *cutter) now() bool {
	if c.done {
		return false
	}
	c.left--
	c.done = c.left < 0
	return c.done
}

func (c *cutter) visit(v reflect.Value) {
	if q, ok := v.Addr().Interface().(*sql.Query); ok && (q.Limit != nil || q.Offset != nil) {
		// without its order the answer of such a query is no longer determined
		order := q.OrderBy
		q.OrderBy = nil
		defer func() { q.OrderBy = order }()
	}
	for i := 0; i < v.NumField() && !c.done; i++ {
		if f := v.Field(i); v.Type().Field(i).IsExported() && f.CanSet() {
			c.field(f)
		}
	}
}

func (c *cutter) field(f reflect.Value) {
	switch f.Kind() {
	case reflect.Bool:
		if f.Bool() && c.now() {
			f.SetBool(false)
		}
	case reflect.Slice:
		c.slice(f)
	case reflect.Pointer, reflect.Interface:
		c.node(f)
	case reflect.Struct:
		c.visit(f)
	}
}

func (c *cutter) slice(f reflect.Value) {
	kind := f.Type().Elem().Kind()
	if kind != reflect.Slice && kind != reflect.Struct && kind != reflect.Pointer && kind != reflect.Interface {
		return
	}
	if strings.HasSuffix(f.Type().Elem().Name(), "Ident") {
		return
	}
	for i := 0; i < f.Len() && !c.done; i++ {
		if c.now() {
			f.Set(reflect.AppendSlice(f.Slice3(0, i, i), f.Slice(i+1, f.Len())))
			return
		}
	}
	for i := 0; i < f.Len() && !c.done; i++ {
		c.field(f.Index(i))
	}
}

// node leaves out a node or puts one of its descendants in its place.
func (c *cutter) node(f reflect.Value) {
	if f.IsNil() {
		return
	}
	if c.now() {
		f.SetZero()
		return
	}
	v := f
	if f.Kind() == reflect.Interface {
		for _, x := range below(f.Elem(), f.Type(), 3) {
			if c.now() {
				f.Set(x)
				return
			}
		}
		if s := simple(f); s.IsValid() && c.now() {
			f.Set(s)
			return
		}
		v = f.Elem()
	}
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		c.visit(v.Elem())
	}
}

// simple returns a simpler expression than what f holds.
func simple(f reflect.Value) reflect.Value {
	if f.Type() != reflect.TypeFor[sql.Expr]() {
		return reflect.Value{}
	}
	switch f.Interface().(type) {
	case *sql.NullLit, *sql.BoolLit, *sql.NumberLit, *sql.StringLit, *sql.ColumnRef, *sql.StarExpr:
		return reflect.Value{}
	}
	return reflect.ValueOf(&sql.NullLit{})
}

// below lists the nodes of type t under v, not deeper than so many nodes.
func below(v reflect.Value, t reflect.Type, depth int) []reflect.Value {
	var out []reflect.Value
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			out = below(v.Elem(), t, depth)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, belowOne(v.Index(i), t, depth)...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out = append(out, belowOne(v.Field(i), t, depth)...)
			}
		}
	}
	return out
}

func belowOne(v reflect.Value, t reflect.Type, depth int) []reflect.Value {
	if v.Kind() == reflect.Interface && v.Type() == t {
		if v.IsNil() {
			return nil
		}
		return []reflect.Value{v.Elem()}
	}
	if depth == 0 {
		return nil
	}
	return below(v, t, depth-1)
}
