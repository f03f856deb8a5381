// Package sql reads and prints Tidemill's SQL: PostgreSQL 15's grammar plus the streaming words known from RisingWave, Flink and
// Materialize. It holds the lexer, the parser, the syntax tree and the printer, and knows nothing of types, catalogs or meaning.
//
// Every node carries the byte offset at which its text begins. Parsed trees are never shared with the parser and may be
// kept; nothing here changes a tree after Parse returned it.
package sql

// Node is anything in the tree that has a place in the text.
type Node interface {
	// Pos returns the byte offset of the node's first byte in the text given to Parse.
	Pos() int
}

// Stmt is one SQL statement.
type Stmt interface {
	Node
	// End returns the byte offset just past the statement's last token (the semicolon is not part of it).
	End() int
	stmt()
}

// Expr is a value expression.
type Expr interface {
	Node
	expr()
}

// TableExpr is an item of a FROM list.
type TableExpr interface {
	Node
	tableExpr()
}

// QueryBody is what a Query orders and limits: *Select, *SetOp, *Values, *TableQuery, or a *Query in parentheses that has clauses of
// its own.
type QueryBody interface {
	Node
	queryBody()
}

// At is a byte offset into the parsed text; it is embedded in every node.
type At int

// Pos returns the offset.
func (a At) Pos() int { return int(a) }

// Span is the half-open byte range of a statement: [Start, Stop).
type Span struct{ Start, Stop int }

// Pos returns the offset of the statement's first byte.
func (s Span) Pos() int { return s.Start }

// End returns the offset just past the statement's last token.
func (s Span) End() int { return s.Stop }

// Ident is one identifier. Text is folded to lower case unless it was quoted, and cut to 63 bytes.
type Ident struct {
	At
	Text   string
	Quoted bool // it was written in double quotes; Equal ignores this
}

// Name is a possibly qualified name: 1 to 4 parts, outermost first (catalog, schema, object).
type Name struct {
	At
	Parts []Ident
}

// Last returns the innermost part's text, which names the object itself.
func (n Name) Last() string {
	if len(n.Parts) == 0 {
		return ""
	}
	return n.Parts[len(n.Parts)-1].Text
}

// Schema returns the part before the last, or "" if the name is unqualified.
func (n Name) Schema() string {
	if len(n.Parts) < 2 {
		return ""
	}
	return n.Parts[len(n.Parts)-2].Text
}

// IsZero reports that there is no name.
func (n Name) IsZero() bool { return len(n.Parts) == 0 }

// TypeName names a type: integer, numeric(10,2), text[], interval day to second(3), s.t, double precision.
//
// PostgreSQL's spellings of built-in types are reduced to one name, qualified with pg_catalog as PostgreSQL does: INT and INTEGER to
// pg_catalog.int4, SMALLINT int2, BIGINT int8, REAL float4, DOUBLE PRECISION and FLOAT(25..53) float8, FLOAT(1..24) float4, DECIMAL
// and NUMERIC numeric, BOOLEAN bool, CHARACTER/CHAR bpchar (with length 1 if none was given), VARCHAR and CHARACTER VARYING varchar,
// BIT bit, BIT VARYING varbit, TIME, TIMETZ (TIME WITH TIME ZONE), TIMESTAMP, TIMESTAMPTZ, INTERVAL. Any other name stays as
// written and unqualified: text, int4, timestamptz, my_schema.my_type.
type TypeName struct {
	At
	Name      Name
	Mods      []Expr         // precision, scale, length; for user types any expressions
	Interval  IntervalFields // restriction of an INTERVAL; 0 = none
	ArrayDims []int          // one entry per dimension, -1 where no bound was written
	SetOf     bool           // SETOF t, in function results
	PercentTy bool           // name%TYPE, in function arguments
}

// IntervalFields says which fields an INTERVAL type keeps, as INTERVAL DAY TO SECOND does.
type IntervalFields uint8

// The restrictions that PostgreSQL's grammar knows.
const (
	IntervalAll IntervalFields = iota
	IntervalYear
	IntervalMonth
	IntervalDay
	IntervalHour
	IntervalMinute
	IntervalSecond
	IntervalYearToMonth
	IntervalDayToHour
	IntervalDayToMinute
	IntervalDayToSecond
	IntervalHourToMinute
	IntervalHourToSecond
	IntervalMinuteToSecond
)

// OrderItem is one item of ORDER BY.
type OrderItem struct {
	At
	X     Expr
	Dir   SortDir
	Using Operator // ORDER BY x USING <; Symbol is empty otherwise
	Nulls NullsOrder
}

// SortDir is ASC or DESC.
type SortDir uint8

// Sort directions. SortDefault means none was written, which is ascending.
const (
	SortDefault SortDir = iota
	SortAsc
	SortDesc
)

// NullsOrder is NULLS FIRST or NULLS LAST.
type NullsOrder uint8

// Places of nulls. NullsDefault is last for ascending order and first for descending.
const (
	NullsDefault NullsOrder = iota
	NullsFirst
	NullsLast
)

// Operator is an operator's symbol, perhaps written OPERATOR(schema.+).
type Operator struct {
	At
	Symbol   string  // as PostgreSQL normalises it: != is <>
	Schema   []Ident // qualification inside OPERATOR(...), outermost first
	Explicit bool    // written with OPERATOR(...), which has the precedence of "any other operator"
}

// Option is one element of WITH (k = 'v'), of COPY's or EXPLAIN's parenthesised options, and the like.
type Option struct {
	At
	Name   string // folded to lower case unless quoted; dotted names are joined with dots
	Quoted bool   // the name was a string or a quoted identifier
	Value  Expr   // *StringLit, *NumberLit, *BoolLit, *NullLit, *Word, *StarExpr, *RowExpr of those (a list), or nil if none was given
}

// Text returns the option's value as text: the string's value, a number or word as written, true/false. It reports false if there is
// no value or it is a list.
func (o Option) Text() (string, bool) {
	switch v := o.Value.(type) {
	case *StringLit:
		return v.Value, true
	case *NumberLit:
		return v.Text, true
	case *Word:
		return v.Text, true
	case *BoolLit:
		if v.Value {
			return "true", true
		}
		return "false", true
	}
	return "", false
}
