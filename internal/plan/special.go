package plan

import (
	"strings"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// special binds the functions that have a syntax of their own.
func (b *binder) special(ctx *exprCtx, x sql.Expr) expr.Expr {
	switch x := x.(type) {
	case *sql.CoalesceExpr:
		es, t := b.unify("COALESCE", b.exprs(ctx, x.Args), positions(x.Args))
		if len(es) == 1 {
			return es[0]
		}
		return b.fold(&expr.Coalesce{Args: es, T: t})
	case *sql.NullIfExpr:
		l, r := b.expr(ctx, x.L), b.expr(ctx, x.R)
		eq := b.operator("=", x.Pos(), l, r, x.L.Pos(), x.R.Pos())
		l = b.settle(l, x.L.Pos())
		return b.fold(&expr.Case{Whens: []expr.When{{Cond: eq, Then: expr.Const{V: types.NullOf(l.Type())}}}, Else: l, T: l.Type()})
	case *sql.MinMaxExpr:
		return b.minMax(ctx, x)
	case *sql.AtTimeZoneExpr:
		return b.call("timezone", x.Pos(), []expr.Expr{b.expr(ctx, x.Zone), b.expr(ctx, x.X)}, []int{x.Zone.Pos(), x.X.Pos()})
	case *sql.ExtractExpr:
		return b.call("extract", x.Pos(), []expr.Expr{expr.Const{V: types.TextValue(x.Field)}, b.expr(ctx, x.X)}, []int{x.Pos(), x.X.Pos()})
	case *sql.PositionExpr:
		return b.callOn(ctx, "position", x.Pos(), x.X, x.Sub)
	case *sql.SubstringExpr:
		return b.substring(ctx, x)
	case *sql.OverlayExpr:
		if x.For == nil {
			return b.callOn(ctx, "overlay", x.Pos(), x.X, x.Placing, x.From)
		}
		return b.callOn(ctx, "overlay", x.Pos(), x.X, x.Placing, x.From, x.For)
	case *sql.TrimExpr:
		return b.callOn(ctx, trimNames[x.Side], x.Pos(), x.Args...)
	case *sql.ValueFunc:
		return b.valueFunc(x)
	case *sql.ArrayExpr:
		return b.array(ctx, x)
	case *sql.IndexExpr:
		if x.Slice {
			unsupported(x.Pos(), "an array slice")
		}
		return b.callOn(ctx, "array_get", x.Pos(), x.X, x.Index)
	case *sql.RowExpr:
		unsupported(x.Pos(), "a row as a value")
	case *sql.DefaultExpr:
		fail(x.Pos(), types.CodeSyntax, "DEFAULT is not allowed in this context")
	case *sql.StarExpr:
		fail(x.Pos(), types.CodeSyntax, "row expansion via \"*\" is not supported here")
	case *sql.FieldExpr, *sql.FieldStarExpr:
		unsupported(x.Pos(), "a composite value")
	case *sql.GroupingExpr:
		unsupported(x.Pos(), "GROUPING")
	case *sql.CollationForExpr:
		unsupported(x.Pos(), "COLLATION FOR")
	case *sql.NormalizeExpr:
		unsupported(x.Pos(), "NORMALIZE")
	case *sql.OverlapsExpr:
		args := append(append([]sql.Expr{}, x.L.Elems...), x.R.Elems...)
		return b.callOn(ctx, "overlaps", x.Pos(), args...)
	case *sql.CurrentOf:
		unsupported(x.Pos(), "WHERE CURRENT OF")
	case *sql.BitStringLit:
		unsupported(x.Pos(), "a bit string")
	}
	unsupported(x.Pos(), "this expression")
	panic("unreachable")
}

var trimNames = map[sql.TrimSide]string{sql.TrimBoth: "btrim", sql.TrimLeading: "ltrim", sql.TrimTrailing: "rtrim"}

// callOn binds the arguments and calls name on them.
func (b *binder) callOn(ctx *exprCtx, name string, pos int, args ...sql.Expr) expr.Expr {
	return b.call(name, pos, b.exprs(ctx, args), positions(args))
}

func (b *binder) substring(ctx *exprCtx, x *sql.SubstringExpr) expr.Expr {
	switch {
	case x.Similar != nil:
		unsupported(x.Pos(), "SUBSTRING ... SIMILAR")
	case x.From == nil:
		one := &sql.NumberLit{At: sql.At(x.Pos()), Text: "1", IsInt: true}
		return b.callOn(ctx, "substring", x.Pos(), x.X, one, x.For)
	case x.For == nil:
		return b.callOn(ctx, "substring", x.Pos(), x.X, x.From)
	}
	return b.callOn(ctx, "substring", x.Pos(), x.X, x.From, x.For)
}

// minMax binds GREATEST and LEAST, which pass over NULLs: the registry has them
// for two arguments, and they associate.
func (b *binder) minMax(ctx *exprCtx, x *sql.MinMaxExpr) expr.Expr {
	name, what := "greatest", "GREATEST"
	if x.Least {
		name, what = "least", "LEAST"
	}
	es, _ := b.unify(what, b.exprs(ctx, x.Args), positions(x.Args))
	out := es[0]
	for i, e := range es[1:] {
		out = b.operator(name, x.Pos(), out, e, x.Args[0].Pos(), x.Args[i+1].Pos())
	}
	return out
}

func (b *binder) array(ctx *exprCtx, x *sql.ArrayExpr) expr.Expr {
	for _, e := range x.Elems {
		if a, ok := e.(*sql.ArrayExpr); ok && a.Nested {
			unsupported(a.Pos(), "an array of more than one dimension")
		}
	}
	if len(x.Elems) == 0 {
		failHint(x.Pos(), "42P18", "Explicitly cast to the desired type, for example ARRAY[]::integer[].", "cannot determine type of empty array")
	}
	es, _ := b.unify("ARRAY", b.exprs(ctx, x.Elems), positions(x.Elems))
	return b.call("array", x.Pos(), es, positions(x.Elems))
}

// caseExpr binds both forms of CASE.
func (b *binder) caseExpr(ctx *exprCtx, x *sql.CaseExpr) expr.Expr {
	var operand expr.Expr
	if x.Operand != nil {
		operand = b.settle(b.expr(ctx, x.Operand), x.Operand.Pos())
	}
	out := &expr.Case{}
	var results []expr.Expr
	var poss []int
	for _, w := range x.Whens {
		c := b.expr(ctx, w.Cond)
		if operand != nil {
			c = b.operator("=", w.Cond.Pos(), operand, c, x.Operand.Pos(), w.Cond.Pos())
		} else {
			c = b.boolean(c, "CASE/WHEN", w.Cond.Pos())
		}
		out.Whens = append(out.Whens, expr.When{Cond: c})
		results, poss = append(results, b.expr(ctx, w.Result)), append(poss, w.Result.Pos())
	}
	if x.Else != nil {
		results, poss = append(results, b.expr(ctx, x.Else)), append(poss, x.Else.Pos())
	}
	results, out.T = b.unify("CASE", results, poss)
	for i := range out.Whens {
		out.Whens[i].Then = results[i]
	}
	if x.Else != nil {
		out.Else = results[len(results)-1]
	}
	return b.simplifyCase(out)
}

// simplifyCase drops arms whose conditions are constant, so that a division by
// zero in an arm never taken is not computed.
func (b *binder) simplifyCase(c *expr.Case) expr.Expr {
	out := &expr.Case{T: c.T, Else: c.Else}
	for _, w := range c.Whens {
		k, ok := w.Cond.(expr.Const)
		if !ok {
			out.Whens = append(out.Whens, w)
			continue
		}
		if isTrue(k) {
			out.Else = w.Then
			break
		}
	}
	if len(out.Whens) > 0 {
		return out
	}
	if out.Else == nil {
		return expr.Const{V: types.NullOf(c.T)}
	}
	return out.Else
}

// cast binds CAST(x AS t) and x::t.
func (b *binder) cast(ctx *exprCtx, x *sql.CastExpr) expr.Expr {
	if x.Type.Name.Last() == "regtype" || x.Type.Name.Last() == "regproc" || x.Type.Name.Last() == "regnamespace" || x.Type.Name.Last() == "regrole" {
		return b.regCast(ctx, x)
	}
	t := resolveType(x.Type)
	if arr, ok := x.X.(*sql.ArrayExpr); ok && t.Kind == types.Array {
		es := b.exprs(ctx, arr.Elems)
		for i := range es {
			es[i] = b.coerce(es[i], types.T(t.Elem), castExplicit, arr.Elems[i].Pos())
		}
		if len(es) == 0 {
			return b.literal("{}", t, castExplicit, x.X.Pos())
		}
		return b.call("array", arr.Pos(), es, positions(arr.Elems))
	}
	e := b.expr(ctx, x.X)
	if e.Type().Kind == types.Unknown {
		if x.Type.Interval != 0 {
			if c, ok := e.(expr.Const); ok && !c.V.Null {
				return b.typedLiteral(&sql.TypedLit{At: sql.At(x.X.Pos()), Type: x.Type, Value: c.V.S})
			}
		}
		return b.convert(e, t, castExplicit, x.X.Pos())
	}
	if !castable(e.Type(), t, castExplicit) {
		fail(int(x.Op), "42846", "cannot cast type %s to %s", typeName(e.Type()), typeName(t))
	}
	if e.Type().Kind == types.Regclass && isString(t.Kind) {
		return b.macroCall("tidemill_regclass_name", []expr.Expr{e}, ctx, x.Pos())
	}
	return b.convert(e, t, castExplicit, x.X.Pos())
}

// regCast binds casts to the reg* types that have no kind of their own. A name
// becomes an oid; an oid becomes the name, since these types are only ever printed.
func (b *binder) regCast(ctx *exprCtx, x *sql.CastExpr) expr.Expr {
	e := b.expr(ctx, x.X)
	name := x.Type.Name.Last()
	fromName := isString(e.Type().Kind) || e.Type().Kind == types.Unknown
	if name == "regtype" {
		if !fromName {
			null := expr.Const{V: types.NullOf(types.T(types.Int4))}
			return b.call("format_type", x.Pos(), []expr.Expr{b.coerce(e, types.T(types.Oid), castExplicit, x.Pos()), null}, []int{x.Pos(), x.Pos()})
		}
		c, ok := e.(expr.Const)
		if !ok || c.V.Null {
			unsupported(x.Pos(), "a cast to regtype of anything but a literal")
		}
		t, err := types.ParseTypeName(c.V.S, nil, strings.HasSuffix(c.V.S, "[]"))
		check(x.X.Pos(), err)
		return expr.Const{V: types.IntValue(types.Oid, int64(types.OID(t)))}
	}
	if fromName {
		return b.macroCall("tidemill_"+name+"_oid", []expr.Expr{e}, ctx, x.Pos())
	}
	return b.macroCall("tidemill_"+name+"_name", []expr.Expr{e}, ctx, x.Pos())
}

// builtinMacros are casts that need the system catalogs.
var builtinMacros = map[string]Macro{
	"tidemill_regclass_name":     nameOf("pg_class", "relname"),
	"tidemill_regproc_name":      nameOf("pg_proc", "proname"),
	"tidemill_regnamespace_name": nameOf("pg_namespace", "nspname"),
	"tidemill_regrole_name":      nameOf("pg_roles", "rolname"),
	"tidemill_regproc_oid":       oidOf("pg_proc", "proname"),
	"tidemill_regnamespace_oid":  oidOf("pg_namespace", "nspname"),
	"tidemill_regrole_oid":       oidOf("pg_roles", "rolname"),
}

func nameOf(table, column string) Macro {
	return Macro{Params: []types.Type{types.T(types.Oid)},
		SQL: "SELECT coalesce((SELECT max(" + column + "::text) FROM pg_catalog." + table + " WHERE oid = $1), CASE WHEN $1 = 0 THEN '-' ELSE $1::text END)"}
}

func oidOf(table, column string) Macro {
	return Macro{Params: []types.Type{types.T(types.Text)}, SQL: "SELECT max(oid) FROM pg_catalog." + table + " WHERE " + column + "::text = $1"}
}

// regclass is the oid of the relation that a literal names.
func (b *binder) regclass(s string, pos int) expr.Expr {
	if n, ok := parseUint(s); ok {
		return expr.Const{V: types.IntValue(types.Regclass, int64(n))}
	}
	parts, ok := splitName(s)
	if !ok || len(parts) > 3 {
		fail(pos, "42602", "invalid name syntax")
	}
	schema := ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	rel, err := b.p.Catalog.Resolve(b.path, schema, parts[len(parts)-1])
	check(pos, err)
	return expr.Const{V: types.IntValue(types.Regclass, int64(rel.ID))}
}

func parseUint(s string) (uint32, bool) {
	var n uint64
	if s == "" || len(s) > 10 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return uint32(n), n <= 1<<32-1
}

// splitName splits a.b."C" as regclass input reads it.
func splitName(s string) ([]string, bool) {
	var parts []string
	for {
		s = strings.TrimSpace(s)
		if s == "" {
			return nil, false
		}
		var part string
		if s[0] == '"' {
			end := 1
			for ; end < len(s); end++ {
				if s[end] == '"' {
					if end+1 < len(s) && s[end+1] == '"' {
						end++
					} else {
						break
					}
				}
			}
			if end >= len(s) {
				return nil, false
			}
			part, s = strings.ReplaceAll(s[1:end], `""`, `"`), s[end+1:]
		} else {
			end := strings.IndexByte(s, '.')
			if end < 0 {
				end = len(s)
			}
			part, s = strings.ToLower(strings.TrimSpace(s[:end])), s[end:]
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		if s = strings.TrimSpace(s); s == "" {
			return parts, true
		}
		if s[0] != '.' {
			return nil, false
		}
		s = s[1:]
	}
}

func (b *binder) collate(ctx *exprCtx, x *sql.CollateExpr) expr.Expr {
	switch x.Collation.Last() {
	case "default", "C", "POSIX", "ucs_basic", "c":
		return b.settle(b.expr(ctx, x.X), x.X.Pos())
	}
	fail(x.Collation.Pos(), types.CodeUndefinedObject, "collation %q for encoding \"UTF8\" does not exist", x.Collation.Last())
	panic("unreachable")
}

// now is the time of the statement, which a view does not have.
func (b *binder) now(name string, pos int) expr.Expr {
	if b.inView && !b.nowOK {
		failHint(pos, types.CodeFeature, nowHint, "%s in a view that is kept up to date is supported in its WHERE only", name)
	}
	b.usesNow, b.nowPos = true, pos
	return expr.Now{}
}

// valueFunc binds the functions without parentheses.
func (b *binder) valueFunc(x *sql.ValueFunc) expr.Expr {
	text := func(s string) expr.Expr { return expr.Const{V: types.Value{T: types.T(types.Name), S: s}} }
	kind := types.TimestampTZ
	if strings.Contains(x.Name, "user") || x.Name == "current_role" || x.Name == "current_catalog" || x.Name == "current_schema" {
		b.needSession(strings.ToUpper(x.Name), x.Pos())
	}
	switch x.Name {
	case "current_date":
		kind = types.Date
	case "current_time":
		unsupported(x.Pos(), "CURRENT_TIME (time with time zone)")
	case "localtime":
		kind = types.Time
	case "localtimestamp":
		kind = types.Timestamp
	case "current_timestamp":
	case "current_role", "current_user", "session_user", "user":
		return text(b.p.Session.User)
	case "current_catalog":
		return text(b.p.Session.Database)
	case "current_schema":
		return b.currentSchema()
	default:
		unsupported(x.Pos(), "%s", strings.ToUpper(x.Name))
	}
	t := types.T(kind)
	if x.Precision >= 0 {
		t.Mod = int32(min(x.Precision, maxTimePrecision) + 1)
	}
	return b.convert(b.now(strings.ToUpper(x.Name), x.Pos()), t, castExplicit, x.Pos())
}

func (b *binder) currentSchema() expr.Expr {
	s, err := b.p.Catalog.CreationSchema(b.p.Session.SearchPath)
	if err != nil {
		return expr.Const{V: types.NullOf(types.T(types.Name))}
	}
	return expr.Const{V: types.Value{T: types.T(types.Name), S: s}}
}
