package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Bounds of functions.
const (
	maxFuncParams = 100 // as in PostgreSQL
	maxFuncDepth  = 32  // functions within functions
)

// function plans CREATE FUNCTION ... LANGUAGE SQL: an expression over parameters,
// which calls are replaced by. Nothing is left of it in a circuit.
func (d *ddl) function(s *sql.CreateFunction) catalog.Command {
	switch {
	case s.Procedure:
		unsupported(s.Pos(), "CREATE PROCEDURE")
	case s.ReturnsTable != nil:
		unsupported(s.Pos(), "RETURNS TABLE")
	case s.Returns == nil:
		fail(s.Pos(), "42P13", "function result type must be specified")
	case len(s.Params) > maxFuncParams:
		fail(s.Pos(), "54023", "functions cannot have more than %d arguments", maxFuncParams)
	}
	r := d.named(s.Name, catalog.Function)
	if builtinFunc(r.Name) {
		failHint(s.Name.Pos(), "42723", "Give it another name.", "function %q is built in", r.Name)
	}
	f := &catalog.FunctionDef{Returns: resolveType(s.Returns).WithoutMod()}
	r.Function = f
	for _, p := range s.Params {
		if p.Mode != "" && p.Mode != "in" {
			unsupported(p.Pos(), "an %s parameter", strings.ToUpper(p.Mode))
		}
		if p.Default != nil {
			unsupported(p.Default.Pos(), "a default of a parameter")
		}
		if p.Name.Text != "" && slices.ContainsFunc(f.Params, func(o catalog.FunctionParam) bool { return o.Name == p.Name.Text }) {
			fail(p.Pos(), "42P13", "parameter name %q used more than once", p.Name.Text)
		}
		f.Params = append(f.Params, catalog.FunctionParam{Name: p.Name.Text, Type: resolveType(p.Type).WithoutMod()})
	}
	body, at := d.functionBody(s, f)
	f.Body = sql.Format(body)
	read := func() {
		e, _ := d.b.functionExpr(r, body)
		if !castable(e.Type(), f.Returns, castAssignment) {
			failWith(body.Pos(), &types.Error{Code: "42P13", Message: "return type mismatch in function declared to return " + typeName(f.Returns),
				Detail: "Actual return type is " + typeName(e.Type()) + "."})
		}
	}
	if at == noPos {
		read()
	} else {
		inBody(at, read)
	}
	cmd := d.create(r, false)
	cmd.OrReplace = s.OrReplace
	return cmd
}

// functionBody reads the options and returns the expression that the function is,
// and where its text is if that is a string, which has places of its own.
func (d *ddl) functionBody(s *sql.CreateFunction, f *catalog.FunctionDef) (x sql.Expr, at int) {
	language, text := "", ""
	at = noPos
	for _, o := range s.Options {
		switch o.Name {
		case "language":
			language = strings.ToLower(o.Text[0])
			if language != "sql" {
				failHint(o.Pos(), types.CodeFeature, "Use LANGUAGE SQL.", "functions in LANGUAGE %s are not supported yet", language)
			}
		case "as":
			if len(o.Text) != 1 {
				fail(o.Pos(), "42P13", "only one AS item needed for language \"sql\"")
			}
			text, at = o.Text[0], o.Pos()
		case "strict":
			f.Strict = o.Text[0] == "strict"
		case "volatility", "parallel", "cost", "leakproof": // hints: what a function does is known from its expression
		default:
			unsupported(o.Pos(), "%s of a function", strings.ToUpper(o.Name))
		}
	}
	switch {
	case s.Return != nil:
		return s.Return, noPos
	case s.Atomic:
		if len(s.Body) != 1 {
			unsupported(s.Pos(), "a function of more than one statement")
		}
		return selectedExpr(s.Body[0], s.Pos()), noPos
	case at == noPos:
		fail(s.Pos(), "42P13", "no function body specified")
	case language == "":
		fail(s.Pos(), "42P13", "no language specified")
	}
	stmts, err := sql.Parse(text, sql.Options{})
	inBody(at, func() { check(noPos, err) })
	if len(stmts) != 1 {
		unsupported(at, "a function of %d statements", len(stmts))
	}
	return selectedExpr(stmts[0], at), at
}

// selectedExpr returns x of SELECT x.
func selectedExpr(s sql.Stmt, pos int) sql.Expr {
	if q, ok := s.(*sql.Query); ok && q.With == nil && len(q.OrderBy) == 0 && q.Limit == nil && q.Offset == nil {
		sel, ok := q.Body.(*sql.Select)
		if ok && len(sel.Items) == 1 && len(sel.From) == 0 && sel.Where == nil && len(sel.GroupBy) == 0 && sel.Having == nil && !sel.Distinct {
			return sel.Items[0].X
		}
	}
	failHint(pos, types.CodeFeature, "Write RETURN expression, or AS 'SELECT expression'.", "a function that is more than SELECT and one expression is not supported yet")
	return nil
}

// inBody runs fn; errors of it are at pos, since their own places are in the text of
// a function and not in the statement.
func inBody(pos int, fn func()) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case bail:
			if e, ok := r.err.(*types.Error); ok {
				moved := *e
				if moved.Pos = 0; pos >= 0 {
					moved.Pos = pos + 1
				}
				r.err = &moved
			}
			panic(r)
		default:
			panic(r)
		}
	}()
	fn()
}

// functionExpr binds the body of f, in its own search path, over fresh columns that
// stand for its parameters.
func (b *binder) functionExpr(f *catalog.Relation, body sql.Expr) (expr.Expr, []int) {
	v := &rangeVar{name: f.Name}
	ids := make([]int, len(f.Function.Params))
	params := make([]expr.Expr, len(ids))
	for i, p := range f.Function.Params {
		ids[i] = b.newCol(p.Name, p.Type)
		params[i] = b.colExpr(ids[i])
		if p.Name != "" {
			v.cols = append(v.cols, scopeCol{name: p.Name, id: ids[i]})
		}
	}
	path, args, in, depth := b.path, b.funcArgs, b.inFunction, b.funcDepth
	b.path, b.funcArgs, b.inFunction, b.funcDepth = f.SearchPath, params, true, depth+1
	defer func() { b.path, b.funcArgs, b.inFunction, b.funcDepth = path, args, in, depth }()
	if b.funcDepth > maxFuncDepth {
		fail(noPos, types.CodeTooComplex, "functions call each other more than %d deep", maxFuncDepth)
	}
	e := b.settle(b.expr(&exprCtx{sc: &scope{vars: []*rangeVar{v}, cols: v.cols}, clause: "a function"}, body), body.Pos())
	return e, ids
}

// userCall binds a call of a function of the catalog; nil if there is none of the name.
func (b *binder) userCall(ctx *exprCtx, f *sql.FuncCall) expr.Expr {
	if b.p.Catalog == nil {
		return nil
	}
	fns := b.p.Catalog.Functions(b.path, f.Name.Schema(), f.Name.Last())
	if len(fns) == 0 {
		return nil
	}
	if f.Variadic {
		unsupported(f.Pos(), "VARIADIC")
	}
	args := b.exprs(ctx, f.Args)
	fn := chooseFunction(fns, args, f.Pos())
	b.deps[fn.ID] = true
	for i, p := range fn.Function.Params {
		args[i] = b.settle(b.convert(args[i], p.Type, castImplicit, f.Args[i].Pos()), f.Args[i].Pos())
	}
	var out expr.Expr
	inBody(f.Pos(), func() { out = b.expand(fn, args) })
	return out
}

// expand puts args into the expression that fn is.
func (b *binder) expand(fn *catalog.Relation, args []expr.Expr) expr.Expr {
	def := fn.Function
	text := def.Body
	if def.Strict && len(args) > 0 {
		nulls := make([]string, len(args))
		for i := range args {
			nulls[i] = "$" + strconv.Itoa(i+1) + " IS NULL"
		}
		text = "CASE WHEN " + strings.Join(nulls, " OR ") + " THEN NULL ELSE " + text + " END"
	}
	body, err := sql.ParseExpr(text, sql.Options{})
	check(noPos, err)
	e, ids := b.functionExpr(fn, body)
	e = b.convert(e, def.Returns, castAssignment, noPos)
	m := map[int]expr.Expr{}
	for i, id := range ids {
		m[id] = args[i]
		if hasVolatile(args[i]) && uses(e, id) > 1 {
			unsupported(noPos, "a volatile argument that %s uses more than once", fn.Describe())
		}
	}
	return rewriteExpr(substitute(e, m), func(x expr.Expr) expr.Expr {
		if _, ok := x.(*expr.Call); ok {
			return b.fold(x)
		}
		return x
	})
}

// uses counts how often column id stands in e.
func uses(e expr.Expr, id int) int {
	n := 0
	walkExpr(e, func(x expr.Expr) {
		if c, ok := x.(expr.Col); ok && c.Index == id {
			n++
		}
	})
	return n
}

// chooseFunction picks the function that takes args: the one that most of them fit as
// they are; literals without a type are rather text than anything else.
func chooseFunction(fns []*catalog.Relation, args []expr.Expr, pos int) *catalog.Relation {
	best, score, ties := (*catalog.Relation)(nil), -1, false
next:
	for _, f := range fns {
		if len(f.Function.Params) != len(args) {
			continue
		}
		n := 0
		for i, p := range f.Function.Params {
			t := args[i].Type()
			if !castable(t, p.Type, castImplicit) {
				continue next
			}
			switch {
			case t.WithoutMod() == p.Type:
				n += maxFuncParams + 1
			case t.Kind == types.Unknown && types.IsString(p.Type.Kind):
				n++
			}
		}
		if n > score {
			best, score, ties = f, n, false
		} else if n == score {
			ties = true
		}
	}
	ts := make([]string, len(args))
	for i, a := range args {
		ts[i] = typeName(a.Type())
	}
	call := fns[0].Name + "(" + strings.Join(ts, ", ") + ")"
	switch {
	case best == nil:
		failHint(pos, types.CodeUndefinedFunction, "No function matches the given name and argument types. You might need to add explicit type casts.",
			"function %s does not exist", call)
	case ties:
		failHint(pos, types.CodeAmbiguousFunction, "Could not choose a best candidate function. You might need to add explicit type casts.",
			"function %s is not unique", call)
	}
	return best
}

// builtinFunc reports whether the system has a function of that name.
func builtinFunc(name string) bool {
	return aggNames[name] || windowNames[name] || setFunctionNames[name] ||
		slices.ContainsFunc(expr.Funcs(), func(f *expr.Func) bool { return f.Name == name })
}

// dropFunctions finds what DROP FUNCTION names.
func (d *ddl) dropFunctions(s *sql.Drop) catalog.Command {
	cmd := catalog.Command{Kind: catalog.DropRelations, Drops: catalog.Function, IfExists: s.IfExists, Cascade: s.Behavior == sql.Cascade}
	for _, o := range s.Objects {
		fns := d.cat().Functions(d.b.path, o.Name.Schema(), o.Name.Last())
		want := &catalog.Relation{Name: o.Name.Last(), Function: &catalog.FunctionDef{}}
		if o.HasArgs {
			for _, a := range o.Args {
				if a.Mode == "out" {
					continue
				}
				want.Function.Params = append(want.Function.Params, catalog.FunctionParam{Type: resolveType(a.Type).WithoutMod()})
			}
			fns = slices.DeleteFunc(fns, func(f *catalog.Relation) bool { return f.Signature() != want.Signature() })
		}
		switch {
		case len(fns) > 1:
			failHint(o.Pos(), types.CodeAmbiguousFunction, "Specify the argument list to select the function unambiguously.", "function name %q is not unique", o.Name.Last())
		case len(fns) == 1:
			cmd.Targets = append(cmd.Targets, catalog.Target{Schema: fns[0].Schema, Name: fns[0].Signature()})
		case !o.HasArgs && !s.IfExists:
			fail(o.Pos(), types.CodeUndefinedFunction, "could not find a function named %q", o.Name.Last())
		default:
			cmd.Targets = append(cmd.Targets, catalog.Target{Schema: o.Name.Schema(), Name: want.Signature()})
		}
	}
	return cmd
}
