package sql

import (
	"fmt"
	"strconv"
	"strings"
)

// precPrimary is the level of everything that needs no parentheses anywhere.
const precPrimary = precCast + 1

// level is how tightly the outermost operation of x binds.
func level(x Expr) int {
	switch x := x.(type) {
	case *OrExpr:
		return precOr
	case *AndExpr:
		return precAnd
	case *NotExpr:
		return precNot
	case *IsExpr, *IsDistinctExpr:
		return precIs
	case *BetweenExpr, *InListExpr, *InQueryExpr, *LikeExpr:
		return precLike
	case *BinaryExpr:
		return opLevel(x.Op)
	case *AnyExpr:
		return opLevel(x.Op)
	case *UnaryExpr:
		if (x.Op.Symbol == "-" || x.Op.Symbol == "+") && !x.Op.Explicit {
			return precUnary
		}
		return precOp
	case *AtTimeZoneExpr:
		return precAt
	case *CollateExpr:
		return precCollate
	case *CastExpr:
		return precCast
	case *OverlapsExpr, *DefaultExpr:
		return precLowest
	case *NumberLit:
		if strings.HasPrefix(x.Text, "-") {
			return precUnary
		}
	}
	return precPrimary
}

// opLevel is the precedence of an infix operator.
func opLevel(op Operator) int {
	if !op.Explicit {
		switch op.Symbol {
		case "<", ">", "=", "<=", ">=", "<>":
			return precCompare
		case "+", "-":
			return precAdd
		case "*", "/", "%":
			return precMul
		case "^":
			return precPow
		}
	}
	return precOp
}

// operand writes x, in parentheses if it binds less tightly than min.
func (f *printer) operand(x Expr, min int) {
	if l := level(x); l < min || f.parens && l < precPrimary {
		f.w("(")
		f.expr(x)
		f.w(")")
		return
	}
	f.expr(x)
}

// basic writes x where only PostgreSQL's b_expr may stand.
func (f *printer) basic(x Expr) {
	if isBasic(x) && !f.parens {
		f.expr(x)
		return
	}
	f.operand(x, precPrimary)
}

// isBasic reports whether x is surely a b_expr when printed.
func isBasic(x Expr) bool {
	switch x := x.(type) {
	case *UnaryExpr:
		return isBasic(x.X)
	case *BinaryExpr:
		return isBasic(x.L) && isBasic(x.R)
	case *CastExpr:
		return isBasic(x.X)
	}
	return level(x) == precPrimary
}

func (f *printer) infix(l Expr, lmin int, op string, r Expr, rmin int) {
	f.operand(l, lmin)
	f.w(op)
	f.operand(r, rmin)
}

func notWord(not bool, s string) string {
	if not {
		return " NOT " + s
	}
	return " " + s
}

// expr writes an expression without parentheses around it.
func (f *printer) expr(x Expr) {
	switch x := x.(type) {
	case *NullLit:
		f.w("NULL")
	case *BoolLit:
		f.w(strings.ToUpper(strconv.FormatBool(x.Value)))
	case *NumberLit:
		f.w(x.Text)
	case *StringLit:
		f.str(x.Value)
	case *BitStringLit:
		if x.Hex {
			f.w("X")
		} else {
			f.w("B")
		}
		f.str(x.Digits)
	case *TypedLit:
		f.typedLit(x)
	case *DefaultExpr:
		f.w("DEFAULT")
	case *Word:
		f.word(x.Text, x.Quoted)
	case *Param:
		f.w("$", strconv.Itoa(x.N))
	case *ColumnRef:
		f.dotted(x.Parts)
	case *StarExpr:
		for _, q := range x.Qualifier {
			f.ident(q)
			f.w(".")
		}
		f.w("*")
	default:
		f.operation(x)
	}
}

// typedLit writes a constant with its type.
func (f *printer) typedLit(x *TypedLit) {
	f.simpleType(x.Type, true)
	f.w(" ")
	f.str(x.Value)
	if x.Type.Name.Last() == "interval" && x.Type.Interval != IntervalAll {
		f.interval(x.Type)
	}
}

// operation writes an operator with its operands.
func (f *printer) operation(x Expr) {
	switch x := x.(type) {
	case *UnaryExpr:
		f.unary(x)
	case *BinaryExpr:
		f.binary(x)
	case *AndExpr:
		f.chain(x.Args, " AND ", precAnd+1)
	case *OrExpr:
		f.chain(x.Args, " OR ", precOr+1)
	case *NotExpr:
		f.w("NOT ")
		f.operand(x.X, precNot)
	case *IsExpr:
		f.operand(x.X, precIs+1)
		f.w(notWordAfter(" IS", x.Not), " ")
		f.opt(x.Form != "", x.Form+" ")
		f.w([...]string{IsNull: "NULL", IsTrue: "TRUE", IsFalse: "FALSE", IsUnknown: "UNKNOWN", IsNormalized: "NORMALIZED"}[x.Kind])
	case *IsDistinctExpr:
		f.infix(x.L, precIs+1, notWordAfter(" IS", x.Not)+" DISTINCT FROM ", x.R, precIs+1)
	case *BetweenExpr:
		f.operand(x.X, precLike+1)
		f.w(notWord(x.Not, "BETWEEN "))
		f.opt(x.Symmetric, "SYMMETRIC ")
		f.basic(x.Lo)
		f.w(" AND ")
		f.operand(x.Hi, precLike+1)
	case *InListExpr:
		f.operand(x.X, precLike+1)
		f.w(notWord(x.Not, "IN "))
		group(f, x.List, f.expr)
	case *InQueryExpr:
		f.operand(x.X, precLike+1)
		f.w(notWord(x.Not, "IN "))
		f.subquery(x.Query)
	case *LikeExpr:
		f.infix(x.X, precLike+1, notWord(x.Not, [...]string{Like: "LIKE ", ILike: "ILIKE ", SimilarTo: "SIMILAR TO "}[x.Kind]), x.Pattern, precLike+1)
		if x.Escape != nil {
			f.w(" ESCAPE ")
			f.operand(x.Escape, precLike+1)
		}
	case *AnyExpr:
		f.any(x)
	case *CastExpr:
		f.operand(x.X, precCast)
		f.w("::")
		f.typeName(x.Type)
	case *CollateExpr:
		f.operand(x.X, precCollate)
		f.w(" COLLATE ")
		f.name(x.Collation)
	case *AtTimeZoneExpr:
		f.infix(x.X, precAt, " AT TIME ZONE ", x.Zone, precAt+1)
	case *OverlapsExpr:
		f.expr(x.L)
		f.w(" OVERLAPS ")
		f.expr(x.R)
	default:
		f.primary(x)
	}
}

func notWordAfter(s string, not bool) string {
	if not {
		return s + " NOT"
	}
	return s
}

func (f *printer) chain(args []Expr, op string, min int) {
	for i, a := range args {
		f.opt(i > 0, op)
		f.operand(a, min)
	}
}

// unary writes a prefix operator; a space keeps it apart from another operator behind it.
func (f *printer) unary(x *UnaryExpr) {
	sub := &printer{parens: f.parens}
	if level(x) == precUnary {
		sub.operand(x.X, precUnary)
	} else {
		sub.operand(x.X, precOp+1)
	}
	f.operator(x.Op)
	s := sub.b.String()
	f.opt(x.Op.Explicit || strings.ContainsRune(opChars, rune(s[0])) || len(x.Op.Symbol) > 1, " ")
	f.w(s)
}

func (f *printer) binary(x *BinaryExpr) {
	p := opLevel(x.Op)
	l := p
	if p == precCompare {
		l++ // does not associate
	}
	f.operand(x.L, l)
	f.w(" ")
	f.operator(x.Op)
	f.w(" ")
	f.operand(x.R, p+1)
}

func (f *printer) any(x *AnyExpr) {
	l := opLevel(x.Op)
	if l == precCompare {
		l++
	}
	f.operand(x.L, l)
	f.w(" ")
	f.operator(x.Op)
	if x.All {
		f.w(" ALL ")
	} else {
		f.w(" ANY ")
	}
	if x.Query != nil {
		f.subquery(x.Query)
		return
	}
	f.w("(")
	f.expr(x.Array)
	f.w(")")
}

func (f *printer) subquery(q *Query) {
	f.w("(")
	f.query(q)
	f.w(")")
}

// base writes what a subscript or field stands behind.
func (f *printer) base(x Expr) {
	switch x.(type) {
	case nil:
	case *ColumnRef, *Param, *IndexExpr, *FieldExpr, *SubqueryExpr:
		f.expr(x)
	default:
		f.w("(")
		f.expr(x)
		f.w(")")
	}
}

// fieldBase is base for a field: a column's fields would read as a longer name.
func (f *printer) fieldBase(x Expr) {
	if _, ok := x.(*ColumnRef); ok {
		f.w("(")
		f.expr(x)
		f.w(")")
		return
	}
	f.base(x)
}

// primary writes what never needs parentheses.
func (f *printer) primary(x Expr) {
	switch x := x.(type) {
	case *ExistsExpr:
		f.w("EXISTS ")
		f.subquery(x.Query)
	case *SubqueryExpr:
		f.subquery(x.Query)
	case *ArrayExpr:
		f.opt(!x.Nested, "ARRAY")
		f.w("[")
		each(f, x.Elems, f.expr)
		f.w("]")
	case *ArrayQueryExpr:
		f.w("ARRAY")
		f.subquery(x.Query)
	case *RowExpr:
		f.opt(x.Explicit || len(x.Elems) < 2, "ROW")
		group(f, x.Elems, f.expr)
	case *IndexExpr:
		f.base(x.X)
		f.subscript(x)
	case *FieldExpr:
		f.fieldBase(x.X)
		f.w(".")
		f.ident(x.Field)
	case *FieldStarExpr:
		f.fieldBase(x.X)
		f.w(".*")
	case *CaseExpr:
		f.caseExpr(x)
	case *CoalesceExpr:
		f.call("COALESCE", x.Args...)
	case *NullIfExpr:
		f.call("NULLIF", x.L, x.R)
	case *MinMaxExpr:
		if x.Least {
			f.call("LEAST", x.Args...)
		} else {
			f.call("GREATEST", x.Args...)
		}
	case *GroupingExpr:
		f.call("GROUPING", x.Args...)
	case *CollationForExpr:
		f.call("COLLATION FOR ", x.X)
	case *ValueFunc:
		f.w(strings.ToUpper(x.Name))
		f.opt(x.Precision >= 0, "("+strconv.Itoa(x.Precision)+")")
	case *NamedArg:
		f.ident(x.Name)
		f.w(" => ")
		f.expr(x.Value)
	case *CurrentOf:
		f.w("CURRENT OF ")
		f.ident(x.Cursor)
	case *FuncCall:
		f.funcCall(x)
	default:
		f.specialFunc(x)
	}
}

func (f *printer) subscript(x *IndexExpr) {
	f.w("[")
	if x.Slice {
		if x.Lo != nil {
			f.expr(x.Lo)
		}
		f.w(":")
		if x.Hi != nil {
			f.expr(x.Hi)
		}
	} else {
		f.expr(x.Index)
	}
	f.w("]")
}

func (f *printer) call(name string, args ...Expr) {
	f.w(name)
	group(f, args, f.expr)
}

func (f *printer) caseExpr(x *CaseExpr) {
	f.w("CASE")
	if x.Operand != nil {
		f.w(" ")
		f.expr(x.Operand)
	}
	for _, w := range x.Whens {
		f.w(" WHEN ")
		f.expr(w.Cond)
		f.w(" THEN ")
		f.expr(w.Result)
	}
	if x.Else != nil {
		f.w(" ELSE ")
		f.expr(x.Else)
	}
	f.w(" END")
}

// specialFunc writes the functions that have a syntax of their own.
func (f *printer) specialFunc(x Expr) {
	part := func(word string, x Expr) {
		if x != nil {
			f.w(word)
			f.expr(x)
		}
	}
	switch x := x.(type) {
	case *ExtractExpr:
		f.w("EXTRACT(", QuoteString(x.Field))
		part(" FROM ", x.X)
	case *PositionExpr:
		f.w("POSITION(")
		f.basic(x.Sub)
		f.w(" IN ")
		f.basic(x.X)
	case *SubstringExpr:
		f.w("SUBSTRING(")
		f.expr(x.X)
		part(" SIMILAR ", x.Similar)
		part(" ESCAPE ", x.Escape)
		part(" FROM ", x.From)
		part(" FOR ", x.For)
	case *OverlayExpr:
		f.w("OVERLAY(")
		f.expr(x.X)
		part(" PLACING ", x.Placing)
		part(" FROM ", x.From)
		part(" FOR ", x.For)
	case *TrimExpr:
		f.w("TRIM(", [...]string{TrimBoth: "BOTH ", TrimLeading: "LEADING ", TrimTrailing: "TRAILING "}[x.Side])
		each(f, x.Args, f.expr)
	case *NormalizeExpr:
		f.w("NORMALIZE(")
		f.expr(x.X)
		f.opt(x.Form != "", ", "+x.Form)
	default:
		panic(fmt.Sprintf("sql: Format of %T", x))
	}
	f.w(")")
}

func (f *printer) funcCall(x *FuncCall) {
	f.opt(x.Running, "RUNNING ")
	f.opt(x.Final, "FINAL ")
	f.name(x.Name)
	f.w("(")
	f.opt(x.Star, "*")
	f.opt(x.Distinct, "DISTINCT ")
	f.opt(x.AllWord, "ALL ")
	for i, a := range x.Args {
		f.opt(i > 0, ", ")
		f.opt(x.Variadic && i == len(x.Args)-1, "VARIADIC ")
		f.expr(a)
	}
	f.orderBy(x.OrderBy)
	f.w(")")
	if x.WithinGroup != nil {
		f.w(" WITHIN GROUP (")
		each(f, x.WithinGroup, f.orderItemHead(true))
		f.w(")")
	}
	if x.Filter != nil {
		f.w(" FILTER (WHERE ")
		f.expr(x.Filter)
		f.w(")")
	}
	if x.Over != nil {
		f.w(" OVER ")
		if x.Over.Bare {
			f.ident(x.Over.Ref)
		} else {
			f.window(x.Over)
		}
	}
}

// orderBy writes " ORDER BY ..." if there is any.
func (f *printer) orderBy(items []OrderItem) {
	if len(items) > 0 {
		f.w(" ORDER BY ")
		each(f, items, f.orderItem)
	}
}

// orderItemHead writes ORDER BY before the first item.
func (f *printer) orderItemHead(first bool) func(OrderItem) {
	return func(o OrderItem) {
		f.opt(first, "ORDER BY ")
		first = false
		f.orderItem(o)
	}
}

func (f *printer) orderItem(o OrderItem) {
	f.expr(o.X)
	if o.Using.Symbol != "" {
		f.w(" USING ")
		f.operator(o.Using)
	}
	f.dirNulls(o.Dir, o.Nulls)
}

func (f *printer) dirNulls(d SortDir, n NullsOrder) {
	f.w([...]string{SortDefault: "", SortAsc: " ASC", SortDesc: " DESC"}[d])
	f.w([...]string{NullsDefault: "", NullsFirst: " NULLS FIRST", NullsLast: " NULLS LAST"}[n])
}

// window writes the definition of a window, in parentheses.
func (f *printer) window(w *WindowSpec) {
	var parts []string
	part := func(write func(*printer)) {
		sub := &printer{parens: f.parens}
		write(sub)
		parts = append(parts, strings.TrimPrefix(sub.b.String(), " "))
	}
	if w.Ref.Text != "" {
		part(func(s *printer) { s.ident(w.Ref) })
	}
	if w.PartitionBy != nil {
		part(func(s *printer) { s.w("PARTITION BY "); each(s, w.PartitionBy, s.expr) })
	}
	if w.OrderBy != nil {
		part(func(s *printer) { s.orderBy(w.OrderBy) })
	}
	if w.Frame != nil {
		part(func(s *printer) { s.frame(w.Frame) })
	}
	f.w("(", strings.Join(parts, " "), ")")
}

func (f *printer) frame(x *Frame) {
	f.w([...]string{FrameRange: "RANGE ", FrameRows: "ROWS ", FrameGroups: "GROUPS "}[x.Mode])
	f.opt(x.Between, "BETWEEN ")
	f.bound(x.Start)
	if x.Between {
		f.w(" AND ")
		f.bound(x.End)
	}
	f.w([...]string{ExcludeNone: "", ExcludeCurrentRow: " EXCLUDE CURRENT ROW", ExcludeGroup: " EXCLUDE GROUP", ExcludeTies: " EXCLUDE TIES"}[x.Exclude])
}

func (f *printer) bound(b Bound) {
	if b.Offset != nil {
		f.operand(b.Offset, precLowest+1)
		f.w(" ")
	}
	f.w([...]string{UnboundedPreceding: "UNBOUNDED PRECEDING", OffsetPreceding: "PRECEDING", CurrentRow: "CURRENT ROW",
		OffsetFollowing: "FOLLOWING", UnboundedFollowing: "UNBOUNDED FOLLOWING"}[b.Kind])
}
