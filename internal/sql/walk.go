package sql

import "reflect"

// Walk calls visit for x and, where visit returns true, for the expressions below it, in the order of the text. It does not enter queries:
// Subquery gives those.
func Walk(x Expr, visit func(Expr) bool) {
	if x == nil || !visit(x) {
		return
	}
	for _, c := range Children(x) {
		Walk(c, visit)
	}
}

// Children returns the expressions directly below x in the order of the text, without those inside queries. Absent parts are left out.
func Children(x Expr) []Expr {
	var l []Expr
	add := func(xs ...Expr) {
		for _, c := range xs {
			if c != nil {
				l = append(l, c)
			}
		}
	}
	switch x := x.(type) {
	case *UnaryExpr:
		add(x.X)
	case *BinaryExpr:
		add(x.L, x.R)
	case *AndExpr:
		add(x.Args...)
	case *OrExpr:
		add(x.Args...)
	case *NotExpr:
		add(x.X)
	case *IsExpr:
		add(x.X)
	case *IsDistinctExpr:
		add(x.L, x.R)
	case *BetweenExpr:
		add(x.X, x.Lo, x.Hi)
	case *InListExpr:
		add(x.X)
		add(x.List...)
	case *InQueryExpr:
		add(x.X)
	case *LikeExpr:
		add(x.X, x.Pattern, x.Escape)
	case *AnyExpr:
		add(x.L, x.Array)
	case *ArrayExpr:
		add(x.Elems...)
	case *RowExpr:
		add(x.Elems...)
	case *IndexExpr:
		add(x.X, x.Index, x.Lo, x.Hi)
	case *FieldExpr:
		add(x.X)
	case *FieldStarExpr:
		add(x.X)
	case *CaseExpr:
		add(x.Operand)
		for _, w := range x.Whens {
			add(w.Cond, w.Result)
		}
		add(x.Else)
	case *CoalesceExpr:
		add(x.Args...)
	case *NullIfExpr:
		add(x.L, x.R)
	case *MinMaxExpr:
		add(x.Args...)
	case *CastExpr:
		add(x.X)
	case *CollateExpr:
		add(x.X)
	case *AtTimeZoneExpr:
		add(x.X, x.Zone)
	case *OverlapsExpr:
		add(x.L, x.R)
	case *FuncCall:
		callChildren(x, add)
	case *NamedArg:
		add(x.Value)
	case *ExtractExpr:
		add(x.X)
	case *PositionExpr:
		add(x.Sub, x.X)
	case *SubstringExpr:
		add(x.X, x.Similar, x.Escape, x.From, x.For)
	case *OverlayExpr:
		add(x.X, x.Placing, x.From, x.For)
	case *TrimExpr:
		add(x.Args...)
	case *NormalizeExpr:
		add(x.X)
	case *GroupingExpr:
		add(x.Args...)
	case *CollationForExpr:
		add(x.X)
	}
	return l
}

func callChildren(x *FuncCall, add func(...Expr)) {
	add(x.Args...)
	for _, o := range x.OrderBy {
		add(o.X)
	}
	for _, o := range x.WithinGroup {
		add(o.X)
	}
	add(x.Filter)
	if w := x.Over; w != nil {
		add(w.PartitionBy...)
		for _, o := range w.OrderBy {
			add(o.X)
		}
		if w.Frame != nil {
			add(w.Frame.Start.Offset, w.Frame.End.Offset)
		}
	}
}

// Equal reports whether two trees are the same but for positions and for quotes that names did not need. Nil and empty lists are equal.
func Equal(a, b Node) bool { return equalValues(reflect.ValueOf(a), reflect.ValueOf(b)) }

var (
	atType   = reflect.TypeFor[At]()
	spanType = reflect.TypeFor[Span]()
)

func equalValues(a, b reflect.Value) bool {
	if a.IsValid() != b.IsValid() {
		return false
	}
	if !a.IsValid() {
		return true
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equalValues(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			field := a.Type().Field(i)
			if field.Type == atType || field.Type == spanType || field.Name == "Quoted" {
				continue
			}
			if !equalValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}
