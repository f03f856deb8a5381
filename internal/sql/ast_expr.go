package sql

// NullLit is NULL.
type NullLit struct{ At }

// BoolLit is TRUE or FALSE.
type BoolLit struct {
	At
	Value bool
}

// NumberLit is an unsigned numeric constant, or a signed one in an Option and in a type's modifiers.
type NumberLit struct {
	At
	Text  string // as written
	IsInt bool   // only digits: an integer of whatever size; otherwise it has a point or an exponent
}

// StringLit is a string constant with its escapes resolved and its continuation lines joined: '..', E'..', U&'..', $$..$$.
type StringLit struct {
	At
	Value string
}

// BitStringLit is B'0101' or X'1F'.
type BitStringLit struct {
	At
	Digits string
	Hex    bool
}

// TypedLit is a constant with its type in front: DATE '2001-01-01', INTERVAL '1' DAY, my_type 'x'.
type TypedLit struct {
	At
	Type  *TypeName
	Value string
}

// DefaultExpr is DEFAULT as a value in VALUES or SET.
type DefaultExpr struct{ At }

// Word is a bare word as an option's or a parameter's value; it is never part of an ordinary expression.
type Word struct {
	At
	Text   string // folded to lower case unless quoted
	Quoted bool
}

// Param is $1, $2 ...
type Param struct {
	At
	N int // from 1
}

// ColumnRef is a column, perhaps qualified: a, t.a, s.t.a.
type ColumnRef struct {
	At
	Parts []Ident
}

// StarExpr is * or t.* in a select list, in RETURNING or as an argument of ROW.
type StarExpr struct {
	At
	Qualifier []Ident // empty for a bare *
}

// UnaryExpr is a prefix operator: -x, @x, ~x.
type UnaryExpr struct {
	At
	Op Operator
	X  Expr
}

// BinaryExpr is an infix operator: arithmetic, comparison or any other symbol. Pos is the left operand's; Op.Pos the operator's, which
// is where PostgreSQL points for "operator does not exist".
type BinaryExpr struct {
	At
	Op   Operator
	L, R Expr
}

// AndExpr is a AND b AND ...: two or more arguments; nested ANDs are flattened as PostgreSQL does.
type AndExpr struct {
	At
	Args []Expr
}

// OrExpr is a OR b OR ...: two or more arguments; nested ORs are flattened.
type OrExpr struct {
	At
	Args []Expr
}

// NotExpr is NOT x.
type NotExpr struct {
	At
	X Expr
}

// IsKind is what an IsExpr tests.
type IsKind uint8

// Tests of IsExpr.
const (
	IsNull IsKind = iota
	IsTrue
	IsFalse
	IsUnknown
	IsNormalized
)

// IsExpr is x IS [NOT] NULL | TRUE | FALSE | UNKNOWN | [form] NORMALIZED, also x ISNULL and x NOTNULL.
type IsExpr struct {
	At
	X    Expr
	Kind IsKind
	Not  bool
	Form string // NFC, NFD, NFKC or NFKD for IsNormalized; "" = not written
}

// IsDistinctExpr is l IS [NOT] DISTINCT FROM r.
type IsDistinctExpr struct {
	At
	L, R Expr
	Not  bool
}

// BetweenExpr is x [NOT] BETWEEN [SYMMETRIC] lo AND hi.
type BetweenExpr struct {
	At
	X, Lo, Hi Expr
	Not       bool
	Symmetric bool
}

// InListExpr is x [NOT] IN (a, b, ...).
type InListExpr struct {
	At
	X    Expr
	List []Expr
	Not  bool
}

// InQueryExpr is x [NOT] IN (SELECT ...); X is a *RowExpr for several columns.
type InQueryExpr struct {
	At
	X     Expr
	Query *Query
	Not   bool
}

// LikeKind is the pattern language of a LikeExpr.
type LikeKind uint8

// Pattern languages.
const (
	Like LikeKind = iota
	ILike
	SimilarTo
)

// LikeExpr is x [NOT] LIKE | ILIKE | SIMILAR TO pattern [ESCAPE e].
type LikeExpr struct {
	At
	X, Pattern Expr
	Escape     Expr // nil if not written
	Kind       LikeKind
	Not        bool
}

// AnyExpr is l op ANY|SOME|ALL (array) or (subquery). LIKE ANY has Op ~~, NOT LIKE !~~, ILIKE ~~*, NOT ILIKE !~~*.
type AnyExpr struct {
	At
	L     Expr
	Op    Operator
	All   bool   // ALL; otherwise ANY or SOME
	Array Expr   // exactly one of Array and Query is set
	Query *Query //
}

// ExistsExpr is EXISTS (SELECT ...).
type ExistsExpr struct {
	At
	Query *Query
}

// SubqueryExpr is a query in parentheses used as a value.
type SubqueryExpr struct {
	At
	Query *Query
}

// ArrayExpr is ARRAY[a, b]; inner lists of ARRAY[[1,2],[3,4]] are *ArrayExpr with Nested set.
type ArrayExpr struct {
	At
	Elems  []Expr
	Nested bool // an inner [ ... ] without the word ARRAY
}

// ArrayQueryExpr is ARRAY(SELECT ...).
type ArrayQueryExpr struct {
	At
	Query *Query
}

// RowExpr is ROW(a, b) or (a, b).
type RowExpr struct {
	At
	Elems    []Expr
	Explicit bool // written with the word ROW; otherwise it has at least two elements
}

// IndexExpr is x[i] or x[lo:hi]; several subscripts nest, the innermost being the first.
type IndexExpr struct {
	At
	X      Expr
	Index  Expr // the subscript, if Slice is false
	Lo, Hi Expr // the bounds of a slice; nil where omitted
	Slice  bool
}

// FieldExpr is (x).f, a field of a composite value.
type FieldExpr struct {
	At
	X     Expr
	Field Ident
}

// FieldStarExpr is (x).*, all fields of a composite value.
type FieldStarExpr struct {
	At
	X Expr
}

// CaseExpr is CASE [operand] WHEN c THEN r ... [ELSE e] END.
type CaseExpr struct {
	At
	Operand Expr // nil for a searched CASE
	Whens   []When
	Else    Expr // nil if not written
}

// When is one branch of a CASE.
type When struct {
	At
	Cond, Result Expr
}

// CoalesceExpr is COALESCE(a, ...).
type CoalesceExpr struct {
	At
	Args []Expr
}

// NullIfExpr is NULLIF(a, b).
type NullIfExpr struct {
	At
	L, R Expr
}

// MinMaxExpr is GREATEST(a, ...) or LEAST(a, ...).
type MinMaxExpr struct {
	At
	Args  []Expr
	Least bool
}

// CastExpr is CAST(x AS t) or x::t.
type CastExpr struct {
	At
	X    Expr
	Type *TypeName
	Op   At // offset of the :: or of the word CAST
}

// CollateExpr is x COLLATE c.
type CollateExpr struct {
	At
	X         Expr
	Collation Name
}

// AtTimeZoneExpr is x AT TIME ZONE zone.
type AtTimeZoneExpr struct {
	At
	X, Zone Expr
}

// OverlapsExpr is (a, b) OVERLAPS (c, d).
type OverlapsExpr struct {
	At
	L, R *RowExpr
}

// FuncCall is a call of a function, an aggregate or a window function.
type FuncCall struct {
	At
	Name        Name
	Args        []Expr // a *NamedArg for name => value
	Star        bool   // f(*)
	Distinct    bool
	AllWord     bool // f(ALL x)
	Variadic    bool // the last argument is VARIADIC
	OrderBy     []OrderItem
	WithinGroup []OrderItem
	Filter      Expr
	Over        *WindowSpec // nil without OVER; OVER w has only Over.Ref
	// Running and Final are prefixes in MATCH_RECOGNIZE: FINAL LAST(a.x), RUNNING LAST(a.x).
	Running, Final bool
}

// NamedArg is name => value (or name := value) in a call.
type NamedArg struct {
	At
	Name  Ident
	Value Expr
}

// WindowSpec is OVER (...), OVER name, or a definition in WINDOW.
type WindowSpec struct {
	At
	Name        Ident // the name defined by WINDOW name AS (...); empty in OVER
	Ref         Ident // OVER w, or the existing window copied by OVER (w ...)
	Bare        bool  // OVER w, without parentheses
	PartitionBy []Expr
	OrderBy     []OrderItem
	Frame       *Frame
}

// FrameMode is ROWS, RANGE or GROUPS.
type FrameMode uint8

// Frame modes.
const (
	FrameRange FrameMode = iota
	FrameRows
	FrameGroups
)

// BoundKind is a frame's end.
type BoundKind uint8

// Ends of a frame, in their order.
const (
	UnboundedPreceding BoundKind = iota
	OffsetPreceding
	CurrentRow
	OffsetFollowing
	UnboundedFollowing
)

// FrameExclude is a frame's EXCLUDE clause.
type FrameExclude uint8

// Exclusions.
const (
	ExcludeNone FrameExclude = iota // also EXCLUDE NO OTHERS
	ExcludeCurrentRow
	ExcludeGroup
	ExcludeTies
)

// Frame is the frame clause of a window.
type Frame struct {
	At
	Mode       FrameMode
	Start, End Bound
	Between    bool // BETWEEN start AND end was written; otherwise End is CurrentRow
	Exclude    FrameExclude
}

// Bound is one end of a frame.
type Bound struct {
	At
	Kind   BoundKind
	Offset Expr // for OffsetPreceding and OffsetFollowing
}

// ExtractExpr is EXTRACT(field FROM x).
type ExtractExpr struct {
	At
	Field string // as written in a string; folded to lower case otherwise; compare it without regard to case
	X     Expr
}

// PositionExpr is POSITION(sub IN x).
type PositionExpr struct {
	At
	Sub, X Expr
}

// SubstringExpr is SUBSTRING(x FROM a FOR b) or SUBSTRING(x SIMILAR p ESCAPE e). The form with commas is a FuncCall named substring.
type SubstringExpr struct {
	At
	X, From, For Expr // From or For may be nil
	Similar      Expr // pattern; then Escape is set and From, For are nil
	Escape       Expr
}

// OverlayExpr is OVERLAY(x PLACING r FROM a [FOR b]). The form with commas is a FuncCall named overlay.
type OverlayExpr struct {
	At
	X, Placing, From, For Expr
}

// TrimSide is BOTH, LEADING or TRAILING.
type TrimSide uint8

// Sides of TRIM.
const (
	TrimBoth TrimSide = iota
	TrimLeading
	TrimTrailing
)

// TrimExpr is TRIM([side] [chars] FROM x) or TRIM([side] x, chars): Args is x first and, if given, chars second.
type TrimExpr struct {
	At
	Side TrimSide
	Args []Expr
}

// NormalizeExpr is NORMALIZE(x [, form]).
type NormalizeExpr struct {
	At
	X    Expr
	Form string // NFC, NFD, NFKC, NFKD; "" = not written
}

// ValueFunc is a function without parentheses: CURRENT_DATE, CURRENT_TIME, CURRENT_TIMESTAMP, LOCALTIME, LOCALTIMESTAMP,
// CURRENT_ROLE, CURRENT_USER, SESSION_USER, USER, CURRENT_CATALOG, CURRENT_SCHEMA.
type ValueFunc struct {
	At
	Name      string // lower case
	Precision int    // of the time functions; -1 if none was written
}

// GroupingExpr is GROUPING(a, b).
type GroupingExpr struct {
	At
	Args []Expr
}

// CollationForExpr is COLLATION FOR (x).
type CollationForExpr struct {
	At
	X Expr
}

// CurrentOf is WHERE CURRENT OF cursor, in UPDATE and DELETE only.
type CurrentOf struct {
	At
	Cursor Ident
}

func (*NullLit) expr()          {}
func (*BoolLit) expr()          {}
func (*NumberLit) expr()        {}
func (*StringLit) expr()        {}
func (*BitStringLit) expr()     {}
func (*TypedLit) expr()         {}
func (*DefaultExpr) expr()      {}
func (*Word) expr()             {}
func (*Param) expr()            {}
func (*ColumnRef) expr()        {}
func (*StarExpr) expr()         {}
func (*UnaryExpr) expr()        {}
func (*BinaryExpr) expr()       {}
func (*AndExpr) expr()          {}
func (*OrExpr) expr()           {}
func (*NotExpr) expr()          {}
func (*IsExpr) expr()           {}
func (*IsDistinctExpr) expr()   {}
func (*BetweenExpr) expr()      {}
func (*InListExpr) expr()       {}
func (*InQueryExpr) expr()      {}
func (*LikeExpr) expr()         {}
func (*AnyExpr) expr()          {}
func (*ExistsExpr) expr()       {}
func (*SubqueryExpr) expr()     {}
func (*ArrayExpr) expr()        {}
func (*ArrayQueryExpr) expr()   {}
func (*RowExpr) expr()          {}
func (*IndexExpr) expr()        {}
func (*FieldExpr) expr()        {}
func (*FieldStarExpr) expr()    {}
func (*CaseExpr) expr()         {}
func (*CoalesceExpr) expr()     {}
func (*NullIfExpr) expr()       {}
func (*MinMaxExpr) expr()       {}
func (*CastExpr) expr()         {}
func (*CollateExpr) expr()      {}
func (*AtTimeZoneExpr) expr()   {}
func (*OverlapsExpr) expr()     {}
func (*FuncCall) expr()         {}
func (*NamedArg) expr()         {}
func (*ExtractExpr) expr()      {}
func (*PositionExpr) expr()     {}
func (*SubstringExpr) expr()    {}
func (*OverlayExpr) expr()      {}
func (*TrimExpr) expr()         {}
func (*NormalizeExpr) expr()    {}
func (*ValueFunc) expr()        {}
func (*GroupingExpr) expr()     {}
func (*CollationForExpr) expr() {}
func (*CurrentOf) expr()        {}
