package expr

import (
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// String implements Expr: $ and the number of the column, from 0.
func (e Col) String() string { return "#" + strconv.Itoa(e.Index) }

// String implements Expr.
func (e Const) String() string { return constString(e.V) }

// String implements Expr.
func (e Param) String() string { return "$" + strconv.Itoa(e.Index+1) + "::" + e.T.String() }

// String implements Expr: operators are written between their arguments. The types
// of the arguments are part of what they print, so the overload is known.
func (e *Call) String() string {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = a.String()
	}
	if isOperator(e.Fn.Name) {
		sym := e.Fn.Name + e.Fn.overload()
		if len(args) == 1 {
			return "(" + sym + " " + args[0] + ")"
		}
		return "(" + strings.Join(args, " "+sym+" ") + ")"
	}
	return e.Fn.Name + e.Fn.overload() + "(" + strings.Join(args, ", ") + ")"
}

// overload tells the overloads of a name apart where there are several.
func (f *Func) overload() string {
	if !f.several {
		return ""
	}
	return "[" + typeList(f.Args) + "]"
}

// String implements Expr.
func (e *Cast) String() string {
	if e.Explicit {
		return e.Arg.String() + "::" + e.T.String()
	}
	return "assign(" + e.Arg.String() + " as " + e.T.String() + ")"
}

// String implements Expr.
func (e *Logic) String() string {
	if e.Or {
		return joined(e.Args, " OR ")
	}
	return joined(e.Args, " AND ")
}

func joined(args []Expr, sep string) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(a.String())
	}
	b.WriteByte(')')
	return b.String()
}

// String implements Expr.
func (e *Not) String() string { return "(NOT " + e.Arg.String() + ")" }

// String implements Expr.
func (e *IsNull) String() string {
	if e.Negate {
		return "(" + e.Arg.String() + " IS NOT NULL)"
	}
	return "(" + e.Arg.String() + " IS NULL)"
}

// String implements Expr.
func (e *IsBool) String() string {
	word := [...]string{True: "TRUE", False: "FALSE", UnknownTruth: "UNKNOWN"}[e.Want]
	if e.Negate {
		word = "NOT " + word
	}
	return "(" + e.Arg.String() + " IS " + word + ")"
}

// String implements Expr.
func (e *Distinct) String() string {
	if e.Negate {
		return "(" + e.L.String() + " IS NOT DISTINCT FROM " + e.R.String() + ")"
	}
	return "(" + e.L.String() + " IS DISTINCT FROM " + e.R.String() + ")"
}

// String implements Expr.
func (e *Case) String() string {
	var b strings.Builder
	b.WriteString("CASE")
	for _, w := range e.Whens {
		b.WriteString(" WHEN " + w.Cond.String() + " THEN " + w.Then.String())
	}
	if e.Else != nil {
		b.WriteString(" ELSE " + e.Else.String())
	}
	b.WriteString(" END")
	return b.String()
}

// String implements Expr.
func (e *Coalesce) String() string { return "COALESCE" + joined(e.Args, ", ") }

// String implements Expr.
func (e *InList) String() string {
	var b strings.Builder
	b.WriteString("(" + e.Arg.String())
	if e.Negate {
		b.WriteString(" NOT")
	}
	b.WriteString(" IN (")
	for i, v := range e.List {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(constString(v))
	}
	if e.HasNull {
		if len(e.List) > 0 {
			b.WriteString(", ")
		}
		b.WriteString("NULL")
	}
	b.WriteString("))")
	return b.String()
}

// String implements Expr.
func (e Now) String() string { return "now()" }

// constString prints a value with what it takes to know its type: numbers and
// booleans bare, text quoted, others quoted with a cast.
func constString(v types.Value) string {
	if v.Null {
		if v.T.Kind == types.Unknown {
			return "NULL"
		}
		return "NULL::" + v.T.String()
	}
	text := valueText(v)
	switch v.T.Kind {
	case types.Bool:
		if v.I != 0 {
			return "true"
		}
		return "false"
	case types.Int4:
		return text
	case types.Text:
		return quote(text)
	case types.Numeric:
		if v.T.Mod == 0 && strings.IndexByte(text, '.') >= 0 {
			return text
		}
	case types.Unknown:
		return quote(v.S)
	}
	return quote(text) + "::" + v.T.String()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func isOperator(name string) bool { return strings.IndexByte("+-*/%^<>=~!@#&|?", name[0]) >= 0 }

func typeList(ts []types.Type) string {
	var b strings.Builder
	for i, t := range ts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(typeName(t))
	}
	return b.String()
}
