package sql

import (
	"fmt"
	"strconv"
	"strings"
)

// Format prints a node as canonical SQL on one line: key words in upper case, parentheses only where precedence needs them. Parsing
// the text again gives an equal tree (see Equal). Node is anything in a tree that Parse, ParseExpr or ParseTypeName returned.
func Format(n Node) string { return format(n, false) }

// FormatParens is Format with parentheses around every operand that is itself an operation, so that the text shows the
// tree whatever the reader believes of precedence.
func FormatParens(n Node) string { return format(n, true) }

func format(n Node, parens bool) string {
	f := &printer{parens: parens}
	switch n := n.(type) {
	case Stmt:
		f.stmt(n)
	case Expr:
		f.expr(n)
	case *TypeName:
		f.typeName(n)
	case QueryBody:
		f.body(n)
	case TableExpr:
		f.table(n)
	case Name:
		f.name(n)
	case Ident:
		f.ident(n)
	case *ColumnDef:
		f.columnDef(n)
	default:
		panic(fmt.Sprintf("sql: Format of %T", n))
	}
	return f.b.String()
}

// QuoteIdent returns name as it must be written to be read back as the same identifier.
func QuoteIdent(name string) string {
	plain := name != ""
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && (isDigit(c) || c == '$')) {
			plain = false
			break
		}
	}
	if kw, ok := keywords[name]; ok && kw.class != unreserved {
		plain = false
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteString returns s as a string constant.
func QuoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// printer collects the text of a node.
type printer struct {
	b      strings.Builder
	parens bool
}

// w writes words as they are.
func (f *printer) w(parts ...string) {
	for _, s := range parts {
		f.b.WriteString(s)
	}
}

// opt writes s if the condition holds.
func (f *printer) opt(cond bool, s string) {
	if cond {
		f.b.WriteString(s)
	}
}

// each writes items separated by commas.
func each[T any](f *printer, items []T, item func(T)) {
	for i, it := range items {
		if i > 0 {
			f.w(", ")
		}
		item(it)
	}
}

// group writes (items).
func group[T any](f *printer, items []T, item func(T)) {
	f.w("(")
	each(f, items, item)
	f.w(")")
}

func (f *printer) ident(id Ident) {
	if id.Quoted {
		f.w(`"`, strings.ReplaceAll(id.Text, `"`, `""`), `"`)
		return
	}
	f.w(QuoteIdent(id.Text))
}

func (f *printer) idents(ids []Ident) { each(f, ids, f.ident) }

// columns writes " (a, b)" if there are any.
func (f *printer) columns(ids []Ident) {
	if len(ids) > 0 {
		f.w(" ")
		group(f, ids, f.ident)
	}
}

func (f *printer) dotted(ids []Ident) {
	for i, id := range ids {
		if i > 0 {
			f.w(".")
		}
		f.ident(id)
	}
}

func (f *printer) name(n Name) { f.dotted(n.Parts) }

func (f *printer) str(s string) { f.w(QuoteString(s)) }

// word writes a bare word of an option or parameter.
func (f *printer) word(s string, quoted bool) {
	if quoted {
		f.w(`"`, strings.ReplaceAll(s, `"`, `""`), `"`)
		return
	}
	if _, ok := keywords[s]; ok {
		f.w(s)
		return
	}
	for i, part := range strings.Split(s, ".") {
		if i > 0 {
			f.w(".")
		}
		f.w(QuoteIdent(part))
	}
}

// operator writes an operator's symbol.
func (f *printer) operator(op Operator) {
	if !op.Explicit {
		f.w(op.Symbol)
		return
	}
	f.w("OPERATOR(")
	for _, s := range op.Schema {
		f.ident(s)
		f.w(".")
	}
	f.w(op.Symbol, ")")
}

// builtinNames are SQL's words for built-in types.
var builtinNames = map[string]string{"int4": "integer", "int2": "smallint", "int8": "bigint", "float4": "real",
	"float8": "double precision", "numeric": "numeric", "bool": "boolean", "bpchar": "character", "varchar": "character varying",
	"bit": "bit", "varbit": "bit varying", "time": "time", "timetz": "time", "timestamp": "timestamp", "timestamptz": "timestamp",
	"interval": "interval"}

func (f *printer) typeName(t *TypeName) {
	f.opt(t.SetOf, "SETOF ")
	f.simpleType(t, false)
	f.opt(t.PercentTy, "%TYPE")
	for _, d := range t.ArrayDims {
		f.w("[")
		f.opt(d >= 0, strconv.Itoa(d))
		f.w("]")
	}
}

// simpleType writes a type without its array bounds; in front of a constant, the fields of an interval stand behind it.
func (f *printer) simpleType(t *TypeName, isConst bool) {
	short := ""
	if len(t.Name.Parts) == 2 && t.Name.Parts[0].Text == "pg_catalog" {
		short = builtinNames[t.Name.Last()]
	}
	if short == "" || !f.shortTypeFits(t, isConst) {
		f.name(t.Name)
		f.mods(t)
		return
	}
	f.w(short)
	if t.Name.Last() == "interval" {
		if isConst && t.Interval != IntervalAll {
			return
		}
		f.interval(t)
		return
	}
	f.mods(t)
	switch t.Name.Last() {
	case "timetz", "timestamptz":
		f.w(" with time zone")
	}
}

// shortTypeFits reports whether SQL's words can say the type with the modifiers it has.
func (f *printer) shortTypeFits(t *TypeName, isConst bool) bool {
	switch t.Name.Last() {
	case "int4", "int2", "int8", "float4", "float8", "bool":
		return len(t.Mods) == 0
	case "numeric", "varbit":
		return true
	case "bit":
		return isConst || len(t.Mods) > 0
	case "bpchar":
		if len(t.Mods) == 0 {
			return isConst
		}
	}
	if len(t.Mods) == 0 {
		return true
	}
	n, ok := t.Mods[0].(*NumberLit)
	return ok && n.IsInt && len(t.Mods) == 1 && !strings.HasPrefix(n.Text, "-")
}

func (f *printer) mods(t *TypeName) {
	if len(t.Mods) > 0 {
		group(f, t.Mods, f.expr)
	}
}

var intervalNames = [...]string{IntervalYear: "year", IntervalMonth: "month", IntervalDay: "day", IntervalHour: "hour",
	IntervalMinute: "minute", IntervalSecond: "second", IntervalYearToMonth: "year to month", IntervalDayToHour: "day to hour",
	IntervalDayToMinute: "day to minute", IntervalDayToSecond: "day to second", IntervalHourToMinute: "hour to minute",
	IntervalHourToSecond: "hour to second", IntervalMinuteToSecond: "minute to second"}

// interval writes the fields and precision of an interval type.
func (f *printer) interval(t *TypeName) {
	if t.Interval != IntervalAll {
		f.w(" ", intervalNames[t.Interval])
	}
	f.mods(t)
}
