package sql

// Query is SELECT, VALUES or TABLE with all that may surround it: WITH, set operations, ORDER BY, LIMIT.
type Query struct {
	Span
	With    *With
	Body    QueryBody
	OrderBy []OrderItem
	// Limit is the count of LIMIT or FETCH FIRST; nil if not written. LimitAll is LIMIT ALL.
	Limit    Expr
	LimitAll bool
	WithTies bool // FETCH FIRST n ROWS WITH TIES
	Offset   Expr
	Locking  []Locking
	Emit     EmitMode
}

// EmitMode is the EMIT clause at the end of a streaming query.
type EmitMode uint8

// Modes of EMIT. EmitDefault means none was written.
const (
	EmitDefault EmitMode = iota
	EmitChanges
	EmitOnWindowClose
)

// Select is one SELECT ... FROM ... without the clauses of Query.
type Select struct {
	At
	Distinct   bool
	DistinctOn []Expr // SELECT DISTINCT ON (...); then Distinct is set as well
	AllWord    bool   // SELECT ALL
	Items      []SelectItem
	Into       *IntoClause // SELECT ... INTO t
	From       []TableExpr
	Where      Expr
	GroupBy    []GroupItem
	GroupMode  GroupMode
	Having     Expr
	Windows    []*WindowSpec
}

// GroupMode is GROUP BY ALL or GROUP BY DISTINCT.
type GroupMode uint8

// Modes of GROUP BY. GroupDefault means none was written, which is ALL.
const (
	GroupDefault GroupMode = iota
	GroupAll
	GroupDistinct
)

// IntoClause is INTO [TEMP | UNLOGGED] [TABLE] name.
type IntoClause struct {
	At
	Name     Name
	Temp     bool
	Unlogged bool
}

// SelectItem is one item of a select list or of RETURNING. X is a *StarExpr for * and t.*.
type SelectItem struct {
	At
	X     Expr
	Alias Ident // empty if none was given
}

// GroupKind is what a GroupItem groups by.
type GroupKind uint8

// Kinds of GROUP BY items.
const (
	GroupExpr   GroupKind = iota // Exprs[0]
	GroupEmpty                   // ()
	GroupCube                    // CUBE (Exprs)
	GroupRollup                  // ROLLUP (Exprs)
	GroupSets                    // GROUPING SETS (Sets)
)

// GroupItem is one item of GROUP BY.
type GroupItem struct {
	At
	Kind  GroupKind
	Exprs []Expr
	Sets  []GroupItem
}

// SetOpKind is UNION, INTERSECT or EXCEPT.
type SetOpKind uint8

// Set operations.
const (
	Union SetOpKind = iota
	Intersect
	Except
)

// SetOp is l UNION|INTERSECT|EXCEPT [ALL] r.
type SetOp struct {
	At
	Kind SetOpKind
	All  bool
	Op   At // offset of the word UNION, INTERSECT or EXCEPT
	L, R QueryBody
}

// Values is VALUES (...), (...). Rows may differ in length here; that they must not is for the planner to say.
type Values struct {
	At
	Rows [][]Expr
}

// TableQuery is TABLE t, which means SELECT * FROM t.
type TableQuery struct {
	At
	Table *TableRef
}

// With is WITH [RECURSIVE] ...
type With struct {
	At
	Recursive bool
	CTEs      []*CTE
}

// Materialize is a CTE's [NOT] MATERIALIZED.
type Materialize uint8

// Wishes about a CTE.
const (
	MaterializeDefault Materialize = iota
	MaterializeAlways
	MaterializeNever
)

// CTE is one common table expression: name [(columns)] AS (statement).
type CTE struct {
	At
	Name         Ident
	Columns      []Ident
	Materialized Materialize
	Stmt         Stmt // *Query, *Insert, *Update or *Delete
	Search       *CTESearch
	Cycle        *CTECycle
}

// CTESearch is SEARCH DEPTH|BREADTH FIRST BY columns SET column.
type CTESearch struct {
	At
	Breadth bool
	By      []Ident
	Set     Ident
}

// CTECycle is CYCLE columns SET mark [TO v DEFAULT d] USING path.
type CTECycle struct {
	At
	Columns []Ident
	Mark    Ident
	To      Expr // nil if not written
	Default Expr
	Path    Ident
}

// Locking is FOR UPDATE | NO KEY UPDATE | SHARE | KEY SHARE [OF tables] [NOWAIT | SKIP LOCKED].
type Locking struct {
	At
	Strength string // "update", "no key update", "share", "key share"
	Of       []Name
	Wait     string // "", "nowait", "skip locked"
}

// Alias is [AS] name [(columns)] behind an item of FROM.
type Alias struct {
	At
	Name    Ident
	Columns []Ident
	Defs    []ColumnDef // AS f (a int, b text), for functions; then Name may be empty
}

// TableRef is a table, view, source or CTE in FROM.
type TableRef struct {
	At
	Name  Name
	Only  bool
	Star  bool   // t *, which PostgreSQL still reads and which changes nothing
	AsOf  Expr   // FOR SYSTEM_TIME AS OF expr; nil if not written
	Alias *Alias // nil if none
}

// SubqueryTable is (SELECT ...) [AS] alias.
type SubqueryTable struct {
	At
	Lateral bool
	Query   *Query
	Alias   *Alias
}

// FuncTable is a function, or ROWS FROM (functions), in FROM.
type FuncTable struct {
	At
	Lateral    bool
	RowsFrom   bool
	Funcs      []FuncItem // exactly one unless RowsFrom
	Ordinality bool       // WITH ORDINALITY
	Alias      *Alias
}

// FuncItem is one function of a FuncTable. Call is a *FuncCall or one of the functions with syntax of its own (*CastExpr, *ValueFunc ...).
type FuncItem struct {
	At
	Call Expr
	Defs []ColumnDef // AS (a int, ...) inside ROWS FROM
}

// JoinKind is the kind of a join.
type JoinKind uint8

// Kinds of joins.
const (
	InnerJoin JoinKind = iota
	LeftJoin
	RightJoin
	FullJoin
	CrossJoin
)

// Join is l JOIN r.
type Join struct {
	At
	Kind    JoinKind
	Natural bool
	AsOf    bool // ASOF JOIN, inner or left: On holds one inequality besides equalities
	L, R    TableExpr
	On      Expr
	Using   []Ident
	// UsingAlias is JOIN ... USING (a) AS x; Alias is (l JOIN r) AS x.
	UsingAlias Ident
	Alias      *Alias
	Op         At // offset of the first word of the join itself: JOIN, LEFT, NATURAL ...
}

// WindowKind is the kind of a window table function.
type WindowKind uint8

// Window table functions.
const (
	Tumble WindowKind = iota
	Hop
	Cumulate
	Session
)

// WindowTable is a window table function in FROM. RisingWave's spelling HOP(bids, at, slide, size [, offset]) and Flink's
// TABLE(HOP(TABLE bids, DESCRIPTOR(at), slide, size [, offset])) give the same node but for Flink.
type WindowTable struct {
	At
	Kind        WindowKind
	Lateral     bool
	Flink       bool
	Input       TableExpr // *TableRef or *SubqueryTable without an alias
	PartitionBy []Expr    // TABLE t PARTITION BY k, of Flink's SESSION
	TimeCol     *ColumnRef
	// Args are the durations in the order they are written: TUMBLE size [, offset]; HOP slide, size [, offset];
	// CUMULATE step, size [, offset]; SESSION gap. Flink's named arguments have been put in this order.
	Args  []Expr
	Alias *Alias
}

// MatchRecognize is input MATCH_RECOGNIZE (...) [AS] alias.
type MatchRecognize struct {
	At
	Input       TableExpr
	PartitionBy []Expr
	OrderBy     []OrderItem
	Measures    []Measure
	Rows        MatchRows
	Skip        MatchSkip
	SkipTo      Ident // pattern variable of SkipToFirst and SkipToLast
	Pattern     PatternNode
	Within      Expr // PATTERN (...) WITHIN interval; nil if not written
	Subsets     []Subset
	Define      []Define
	Alias       *Alias
}

// Measure is expr AS name in MEASURES.
type Measure struct {
	At
	X    Expr
	Name Ident
}

// Subset is SUBSET name = (a, b).
type Subset struct {
	At
	Name Ident
	Vars []Ident
}

// Define is name AS condition in DEFINE.
type Define struct {
	At
	Name Ident
	Cond Expr
}

// MatchRows is how many rows a match yields.
type MatchRows uint8

// Rows per match.
const (
	MatchRowsDefault     MatchRows = iota // not written: one row
	OneRowPerMatch                        // ONE ROW PER MATCH
	AllRowsPerMatch                       // ALL ROWS PER MATCH
	AllRowsShowEmpty                      // ALL ROWS PER MATCH SHOW EMPTY MATCHES
	AllRowsOmitEmpty                      // ALL ROWS PER MATCH OMIT EMPTY MATCHES
	AllRowsWithUnmatched                  // ALL ROWS PER MATCH WITH UNMATCHED ROWS
)

// MatchSkip is where the search goes on after a match.
type MatchSkip uint8

// AFTER MATCH SKIP ...
const (
	SkipDefault     MatchSkip = iota // not written: past last row
	SkipPastLastRow                  // PAST LAST ROW
	SkipToNextRow                    // TO NEXT ROW
	SkipToFirst                      // TO FIRST v
	SkipToLast                       // TO [LAST] v
)

// PatternNode is a part of a row pattern.
type PatternNode interface {
	Node
	pattern()
}

// PatternVar is a variable of a row pattern.
type PatternVar struct {
	At
	Name Ident
}

// PatternAnchor is ^ or $ in a row pattern.
type PatternAnchor struct {
	At
	End bool // $
}

// PatternConcat is a b c; with no parts it is the empty pattern ().
type PatternConcat struct {
	At
	Parts []PatternNode
}

// PatternAlt is a | b | c.
type PatternAlt struct {
	At
	Parts []PatternNode
}

// PatternPermute is PERMUTE(a, b).
type PatternPermute struct {
	At
	Parts []PatternNode
}

// PatternExclude is {- a -}: matched but not shown.
type PatternExclude struct {
	At
	X PatternNode
}

// PatternRepeat is x*, x+, x?, x{n,m}, each also reluctant with a further ?.
type PatternRepeat struct {
	At
	X         PatternNode
	Min       int
	Max       int // -1 = no bound
	Reluctant bool
}

func (*PatternVar) pattern()     {}
func (*PatternAnchor) pattern()  {}
func (*PatternConcat) pattern()  {}
func (*PatternAlt) pattern()     {}
func (*PatternPermute) pattern() {}
func (*PatternExclude) pattern() {}
func (*PatternRepeat) pattern()  {}

func (*Query) stmt() {}

func (*Query) queryBody()      {}
func (*Select) queryBody()     {}
func (*SetOp) queryBody()      {}
func (*Values) queryBody()     {}
func (*TableQuery) queryBody() {}

func (*TableRef) tableExpr()       {}
func (*SubqueryTable) tableExpr()  {}
func (*FuncTable) tableExpr()      {}
func (*Join) tableExpr()           {}
func (*WindowTable) tableExpr()    {}
func (*MatchRecognize) tableExpr() {}
