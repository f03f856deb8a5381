package sql

// Insert is INSERT INTO.
type Insert struct {
	Span
	With       *With
	Table      Name
	Alias      Ident // empty if none
	Columns    []Target
	Overriding string // "", "system", "user"
	// Source is VALUES or a query; nil for DEFAULT VALUES.
	Source     *Query
	OnConflict *OnConflict
	Returning  []SelectItem
}

// Target is a column that is assigned: a, a.field, a[1]. Path holds what follows the column, each an *IndexExpr or *FieldExpr whose X is nil.
type Target struct {
	At
	Column Ident
	Path   []Expr
}

// OnConflict is INSERT's ON CONFLICT clause.
type OnConflict struct {
	At
	Columns    []IndexElem // the inferred index's columns; empty if not written
	Where      Expr        // the inferred index's predicate
	Constraint Ident       // ON CONSTRAINT name
	Update     bool        // DO UPDATE; otherwise DO NOTHING
	Set        []SetClause
	SetWhere   Expr
}

// SetClause is a = x or (a, b) = (x, y), (a, b) = (SELECT ...).
type SetClause struct {
	At
	Targets []Target
	Multi   bool // written with parentheses: Value gives one value for each target
	Value   Expr // for Multi a *RowExpr, *SubqueryExpr or any row expression
}

// Update is UPDATE.
type Update struct {
	Span
	With      *With
	Table     *TableRef
	Set       []SetClause
	From      []TableExpr
	Where     Expr // a *CurrentOf for WHERE CURRENT OF
	Returning []SelectItem
}

// Delete is DELETE FROM.
type Delete struct {
	Span
	With      *With
	Table     *TableRef
	Using     []TableExpr
	Where     Expr // a *CurrentOf for WHERE CURRENT OF
	Returning []SelectItem
}

// Truncate is TRUNCATE.
type Truncate struct {
	Span
	Tables          []*TableRef
	RestartIdentity bool
	Behavior        Behavior
}

// Copy is COPY table or (query) FROM or TO.
type Copy struct {
	Span
	Table   Name // zero if Stmt is set
	Columns []Ident
	Stmt    Stmt // COPY (stmt) TO: *Query, *Insert, *Update, *Delete or *Subscribe
	From    bool // FROM; otherwise TO
	Program bool
	File    string // "" for STDIN and STDOUT
	Stdio   bool   // STDIN or STDOUT
	// Options are in the new form; the old one (WITH CSV HEADER DELIMITER ',') is translated.
	Options []Option
	Where   Expr
}

// Subscribe is SUBSCRIBE [TO] name or (query). The clauses after it may come in any order.
type Subscribe struct {
	Span
	Name     Name   // zero if Query is set
	Query    *Query //
	Envelope string // "", "upsert", "debezium"
	Key      []Ident
	Options  []Option
	AsOf     Expr // AS OF step; nil if not written
	UpTo     Expr // UP TO step; nil if not written
}

// Behavior is CASCADE or RESTRICT.
type Behavior uint8

// Behaviors. BehaviorDefault means none was written, which is RESTRICT.
const (
	BehaviorDefault Behavior = iota
	Cascade
	Restrict
)

// CreateTable is CREATE TABLE.
type CreateTable struct {
	Span
	Name        Name
	Temp        bool
	Unlogged    bool
	IfNotExists bool
	Elems       []TableElem // *ColumnDef, *TableConstraint, *WatermarkDef, *LikeClause, in the order written
	Inherits    []Name
	AppendOnly  bool
	With        []Option
	Format      *FormatClause
	OnCommit    string // "", "preserve rows", "delete rows", "drop"
	Tablespace  Ident
}

// CreateTableAs is CREATE TABLE name AS query, or AS EXECUTE.
type CreateTableAs struct {
	Span
	Name        Name
	Columns     []Ident
	Temp        bool
	Unlogged    bool
	IfNotExists bool
	With        []Option
	OnCommit    string
	Tablespace  Ident
	Query       Stmt // *Query or *Execute
	NoData      bool // WITH NO DATA
}

// TableElem is an element between the parentheses of CREATE TABLE and CREATE SOURCE.
type TableElem interface {
	Node
	tableElem()
}

// ColumnDef is a column of a table or source. In alias lists of functions only Name, Type and Collation are set.
type ColumnDef struct {
	At
	Name        Ident
	Type        *TypeName // nil only for a source's column without a type
	Collation   Name
	Compression string // COMPRESSION method, "" if none
	Constraints []ColumnConstraint
}

// ConstraintKind is the kind of a constraint.
type ConstraintKind uint8

// Kinds of constraints; those up to ConCheck also stand behind a column.
const (
	ConNotNull ConstraintKind = iota
	ConNull
	ConDefault
	ConGenerated // GENERATED ALWAYS AS (X) STORED, or AS X in a source
	ConIdentity  // GENERATED ALWAYS | BY DEFAULT AS IDENTITY
	ConUnique
	ConPrimaryKey
	ConReferences // REFERENCES; FOREIGN KEY for a table
	ConCheck
	ConExclude // not supported; kept for messages
)

// ColumnConstraint is a constraint or property behind a column.
type ColumnConstraint struct {
	At
	Name         Ident // CONSTRAINT name; empty if none
	Kind         ConstraintKind
	X            Expr // of ConDefault, ConGenerated, ConCheck
	Stored       bool // GENERATED ALWAYS AS (X) STORED
	Always       bool // of ConIdentity; otherwise BY DEFAULT
	Options      []Option
	NullsNotDist bool // UNIQUE NULLS NOT DISTINCT
	NoInherit    bool
	References   *References
	Deferrable   Tristate
	InitDeferred Tristate
}

// Tristate is yes, no or not written.
type Tristate uint8

// Values of Tristate.
const (
	Unset Tristate = iota
	Yes
	No
)

// References is REFERENCES table (columns) MATCH .. ON DELETE .. ON UPDATE ..
type References struct {
	At
	Table    Name
	Columns  []Ident
	Match    string // "", "full", "partial", "simple"
	OnDelete string // "", "no action", "restrict", "cascade", "set null", "set default"
	OnUpdate string
	// OnDeleteColumns is SET NULL (a, b) and SET DEFAULT (a, b).
	OnDeleteColumns []Ident
}

// TableConstraint is a constraint that is an element of its own.
type TableConstraint struct {
	At
	Name         Ident
	Kind         ConstraintKind // ConUnique, ConPrimaryKey, ConReferences, ConCheck
	Columns      []Ident
	Include      []Ident
	X            Expr // of ConCheck
	NullsNotDist bool
	NoInherit    bool
	NotValid     bool
	NotEnforced  bool // Flink's PRIMARY KEY (a) NOT ENFORCED
	References   *References
	Deferrable   Tristate
	InitDeferred Tristate
	UsingIndex   Ident
}

// WatermarkDef is WATERMARK FOR column AS expr.
type WatermarkDef struct {
	At
	Column Ident
	X      Expr
}

// LikeClause is LIKE table [INCLUDING ... | EXCLUDING ...].
type LikeClause struct {
	At
	Table   Name
	Options []string // "including all", "excluding defaults", ...
}

// FormatClause is FORMAT x ENCODE y (options), of sources and sinks.
type FormatClause struct {
	At
	Format  string // folded to lower case: plain, upsert, debezium ...
	Encode  string // folded to lower case: json, csv, avro ...; "" if not written
	Options []Option
}

// CreateSource is CREATE SOURCE.
type CreateSource struct {
	Span
	Name        Name
	Temp        bool
	IfNotExists bool
	Elems       []TableElem
	With        []Option
	Format      *FormatClause
}

// CreateSink is CREATE SINK name FROM relation, or AS query.
type CreateSink struct {
	Span
	Name        Name
	IfNotExists bool
	From        Name // zero if Query is set
	Query       *Query
	With        []Option
	Format      *FormatClause
}

// CreateView is CREATE [OR REPLACE] VIEW.
type CreateView struct {
	Span
	Name        Name
	OrReplace   bool
	Temp        bool
	Recursive   bool
	IfNotExists bool // not PostgreSQL's
	Columns     []Ident
	With        []Option
	Query       *Query
	Check       string // WITH CHECK OPTION: "", "cascaded", "local"
}

// CreateMatView is CREATE MATERIALIZED VIEW.
type CreateMatView struct {
	Span
	Name        Name
	OrReplace   bool // not PostgreSQL's
	IfNotExists bool
	Columns     []Ident
	With        []Option
	Tablespace  Ident
	Query       *Query
	NoData      bool
}

// CreateIndex is CREATE [UNIQUE] INDEX.
type CreateIndex struct {
	Span
	Name         Ident // empty if none was given
	Unique       bool
	Concurrently bool
	IfNotExists  bool
	Table        *TableRef
	Method       string // USING method; "" if not written
	Elems        []IndexElem
	Include      []IndexElem
	NullsNotDist bool
	With         []Option
	Tablespace   Ident
	Where        Expr
}

// IndexElem is a column or an expression of an index.
type IndexElem struct {
	At
	X         Expr // a *ColumnRef of one part for a plain column
	Collation Name
	OpClass   Name
	OpOptions []Option
	Dir       SortDir
	Nulls     NullsOrder
}

// CreateAssertion is CREATE ASSERTION name CHECK (expr).
type CreateAssertion struct {
	Span
	Name        Name
	IfNotExists bool
	X           Expr
}

// CreateFunction is CREATE [OR REPLACE] FUNCTION or PROCEDURE.
type CreateFunction struct {
	Span
	Name         Name
	Procedure    bool
	OrReplace    bool
	Params       []FuncParam
	Returns      *TypeName   // nil if not written, or with ReturnsTable
	ReturnsTable []FuncParam // RETURNS TABLE (...)
	Options      []FuncOption
	Return       Expr   // RETURN expr
	Body         []Stmt // BEGIN ATOMIC ... END; nil if not written
	Atomic       bool
}

// FuncParam is a parameter of a function.
type FuncParam struct {
	At
	Mode    string // "", "in", "out", "inout", "variadic"
	Name    Ident  // empty if none
	Type    *TypeName
	Default Expr
}

// FuncOption is LANGUAGE sql, IMMUTABLE, STRICT, AS '...' and the like.
type FuncOption struct {
	At
	Name  string   // lower case: "language", "as", "volatility", "strict", "security", "leakproof", "parallel", "cost", "rows", "window", "set", "support", "transform"
	Text  []string // its words or strings, in order
	Value Expr     // of cost and rows
	Set   *Set     // of set
}

// CreateType is CREATE TYPE ... AS ENUM (...), AS (...), or a shell type.
type CreateType struct {
	Span
	Name   Name
	Enum   bool
	Labels []string
	Fields []ColumnDef
	Shell  bool // CREATE TYPE name
}

// CreateDomain is CREATE DOMAIN.
type CreateDomain struct {
	Span
	Name        Name
	Type        *TypeName
	Collation   Name
	Constraints []ColumnConstraint
}

// CreateSequence is CREATE SEQUENCE.
type CreateSequence struct {
	Span
	Name        Name
	Temp        bool
	IfNotExists bool
	Options     []Option
}

// CreateSchema is CREATE SCHEMA.
type CreateSchema struct {
	Span
	Name          Ident // empty with AUTHORIZATION alone
	IfNotExists   bool
	Authorization *Role
	Elems         []Stmt
}

// CreateDatabase is CREATE DATABASE.
type CreateDatabase struct {
	Span
	Name    Ident
	Options []Option
}

// CreateSecret is CREATE SECRET name WITH (...) AS value, and CREATE CONNECTION name WITH (...).
type CreateSecret struct {
	Span
	Name        Name
	Connection  bool
	IfNotExists bool
	With        []Option
	Value       Expr // nil for a connection
}

// CreateRole is CREATE ROLE | USER | GROUP.
type CreateRole struct {
	Span
	Kind    string // "role", "user", "group"
	Name    Role
	Options []RoleOption
}

// AlterRole is ALTER ROLE | USER | GROUP.
type AlterRole struct {
	Span
	Kind     string
	Name     Role
	All      bool // ALTER ROLE ALL SET
	Options  []RoleOption
	Database Ident // IN DATABASE
	Set      *Set  // SET or RESET; nil otherwise
	RenameTo Ident
}

// RoleOption is SUPERUSER, NOLOGIN, PASSWORD '...', CONNECTION LIMIT n, VALID UNTIL '...', IN ROLE a, ...
type RoleOption struct {
	At
	Name  string // lower case, words joined with spaces: "login", "nologin", "password", "connection limit", "valid until", "in role"
	Value Expr   // *StringLit, *NumberLit, *NullLit or nil
	Roles []Role
}

// Role is a role by name, or CURRENT_USER, CURRENT_ROLE, SESSION_USER, PUBLIC.
type Role struct {
	At
	Name    Ident  // empty with Special
	Special string // "current_user", "current_role", "session_user", "public"; "" otherwise
}

// Grant is GRANT or REVOKE of privileges on objects, or of roles if Roles is set.
type Grant struct {
	Span
	Revoke      bool
	OptionFor   bool // REVOKE GRANT OPTION FOR, REVOKE ADMIN OPTION FOR
	Privileges  []Privilege
	All         bool   // ALL [PRIVILEGES], with the columns in Privileges[0].Columns if given
	ObjectKind  string // lower case: "table", "sequence", "database", "schema", "function", "type", ..., "tables in schema"
	Objects     []ObjectName
	Roles       []Ident // roles granted, in GRANT role TO role
	To          []Role
	GrantOption bool // WITH GRANT OPTION, WITH ADMIN OPTION
	GrantedBy   *Role
	Behavior    Behavior
}

// Privilege is SELECT, UPDATE (a, b), ...
type Privilege struct {
	At
	Name    string // lower case
	Columns []Ident
}

// ObjectName is an object in DROP, GRANT and COMMENT. Args are a function's parameters.
type ObjectName struct {
	At
	Name    Name
	Args    []FuncParam
	HasArgs bool
}

// Alter is ALTER <kind> name with one or more actions. Kind is "table", "source", "sink", "view", "materialized view", "index", "schema",
// "database", "sequence", "function", "type", "system".
type Alter struct {
	Span
	Kind     string
	IfExists bool
	Only     bool
	Name     Name
	Args     []FuncParam
	HasArgs  bool
	Actions  []AlterAction
}

// AlterKind is what an AlterAction does.
type AlterKind uint8

// Alterations.
const (
	AlterAddColumn            AlterKind = iota // Column, IfNotExists
	AlterDropColumn                            // Ident, IfExists, Behavior
	AlterColumnType                            // Ident, Type, Collation, X (USING)
	AlterColumnSetDefault                      // Ident, X
	AlterColumnDropDefault                     // Ident
	AlterColumnSetNotNull                      // Ident
	AlterColumnDropNotNull                     // Ident
	AlterColumnDropExpression                  // Ident, IfExists
	AlterColumnSetStatistics                   // Ident, X
	AlterColumnSetStorage                      // Ident, Text
	AlterAddConstraint                         // Constraint
	AlterDropConstraint                        // Ident, IfExists, Behavior
	AlterValidateConstraint                    // Ident
	AlterRenameTo                              // Ident
	AlterRenameColumn                          // Ident, To
	AlterRenameConstraint                      // Ident, To
	AlterSetSchema                             // Ident
	AlterOwnerTo                               // Role
	AlterSetOptions                            // Options
	AlterResetOptions                          // Options
	AlterSetParameter                          // Set: ALTER DATABASE/FUNCTION/SYSTEM SET or RESET
	AlterAddValue                              // Text, IfNotExists, Before, After: of enums
	AlterRenameValue                           // Text, NewText
	AlterAddWatermark                          // Watermark
	AlterFormat                                // Format
	AlterSequenceOptions                       // Options
	AlterTriggerOrRule                         // Text ("enable trigger all", ...), parsed only
)

// AlterAction is one action of an Alter; which fields hold what is said at AlterKind.
type AlterAction struct {
	At
	Kind          AlterKind
	Ident, To     Ident
	Column        *ColumnDef
	Type          *TypeName
	Collation     Name
	X             Expr
	Constraint    *TableConstraint
	Role          *Role
	Options       []Option
	Set           *Set
	Watermark     *WatermarkDef
	Format        *FormatClause
	Text, NewText string
	Before, After string
	IfExists      bool
	IfNotExists   bool
	Behavior      Behavior
}

// Drop is DROP <kind> names. Kind is lower case: "table", "source", "sink", "view", "materialized view", "index", "assertion", "schema",
// "database", "function", "procedure", "type", "domain", "sequence", "role", "user", "group", "secret", "connection".
type Drop struct {
	Span
	Kind         string
	IfExists     bool
	Concurrently bool
	Objects      []ObjectName
	Behavior     Behavior
	Force        bool // DROP DATABASE ... WITH (FORCE)
}

// Comment is COMMENT ON <kind> name IS 'text'. Kind is lower case; for "column" the name's last part is the column.
type Comment struct {
	Span
	Kind   string
	Object ObjectName
	On     Name   // of constraint, trigger and policy: the table
	Text   string // meaningless with Null
	Null   bool   // IS NULL, which removes the comment
}

// Explain is EXPLAIN stmt, or EXPLAIN of an existing view.
type Explain struct {
	Span
	Analyze bool
	Verbose bool
	Options []Option // in parentheses, including analyze and verbose as written
	Stmt    Stmt     // nil if ViewName is set
	// ViewKind and ViewName are EXPLAIN VIEW name and EXPLAIN MATERIALIZED VIEW name: "view", "materialized view", "sink", "source", "index".
	ViewKind string
	ViewName Name
}

// Show is SHOW parameter (Name) or SHOW <objects>.
type Show struct {
	Span
	// What is "" for a parameter, else lower case: "all", "sources", "tables", "views", "materialized views", "sinks", "indexes",
	// "schemas", "databases", "functions", "assertions", "subscriptions", "jobs", "cluster", "nodes", "columns", "create source", "create table", "create view",
	// "create materialized view", "create sink", "create index", "create assertion".
	What string
	Name string // the parameter, dotted, lower case: "timezone" for TIME ZONE, "transaction_isolation", "session_authorization"
	From Name   // FROM or IN schema; the object of COLUMNS FROM and CREATE
	Like *StringLit
}

// SetScope is SESSION or LOCAL.
type SetScope uint8

// Scopes of SET. ScopeDefault means none was written, which is the session.
const (
	ScopeDefault SetScope = iota
	ScopeSession
	ScopeLocal
)

// Set is SET name = values, RESET, and SET's special forms, which are given as parameters: TIME ZONE (timezone), NAMES
// (client_encoding), SCHEMA (search_path), ROLE (role), SESSION AUTHORIZATION (session_authorization), XML OPTION (xmloption), SEED (seed).
type Set struct {
	Span
	Scope       SetScope
	Name        string // dotted, lower case; "all" for RESET ALL
	Values      []Expr // *StringLit, *NumberLit, *BoolLit, *Word, or a *TypedLit (an interval) for timezone; empty with Default, Reset
	Default     bool   // TO DEFAULT, SET TIME ZONE LOCAL
	FromCurrent bool   // FROM CURRENT, in CREATE FUNCTION
	Reset       bool   // RESET name
}

// SetTransaction is SET TRANSACTION modes, or SET SESSION CHARACTERISTICS AS TRANSACTION modes.
type SetTransaction struct {
	Span
	Local    bool
	Session  bool
	Modes    TxModes
	Snapshot string // SET TRANSACTION SNAPSHOT 'id'
}

// SetConstraints is SET CONSTRAINTS ALL | names DEFERRED | IMMEDIATE.
type SetConstraints struct {
	Span
	All      bool
	Names    []Name
	Deferred bool
}

// TxModes are the modes of a transaction.
type TxModes struct {
	Isolation  string // "", "serializable", "repeatable read", "read committed", "read uncommitted"
	ReadOnly   Tristate
	Deferrable Tristate
}

// Begin is BEGIN or START TRANSACTION.
type Begin struct {
	Span
	Start bool // START TRANSACTION
	Modes TxModes
}

// Commit is COMMIT or END.
type Commit struct {
	Span
	Chain    bool
	NoChain  bool   // AND NO CHAIN was written
	Prepared string // COMMIT PREPARED 'id'
}

// Rollback is ROLLBACK or ABORT, ROLLBACK TO SAVEPOINT, ROLLBACK PREPARED.
type Rollback struct {
	Span
	Chain     bool
	NoChain   bool
	Savepoint Ident // empty if none
	Prepared  string
}

// PrepareTransaction is PREPARE TRANSACTION 'id'.
type PrepareTransaction struct {
	Span
	ID string
}

// Savepoint is SAVEPOINT name.
type Savepoint struct {
	Span
	Name Ident
}

// Release is RELEASE [SAVEPOINT] name.
type Release struct {
	Span
	Name Ident
}

// DeclareCursor is DECLARE name CURSOR FOR.
type DeclareCursor struct {
	Span
	Name      Ident
	Binary    bool
	Sensitive string   // "", "insensitive", "asensitive"
	Scroll    Tristate // SCROLL, NO SCROLL
	Hold      Tristate // WITH HOLD, WITHOUT HOLD
	Stmt      Stmt     // *Query or *Subscribe
}

// FetchDir is the direction of FETCH and MOVE.
type FetchDir uint8

// Directions.
const (
	FetchForward  FetchDir = iota // also NEXT and a bare count
	FetchBackward                 // also PRIOR
	FetchAbsolute                 // also FIRST (1) and LAST (-1)
	FetchRelative
)

// Fetch is FETCH or MOVE.
type Fetch struct {
	Span
	Move   bool
	Dir    FetchDir
	Count  int64 // rows; meaningless with All
	All    bool
	Cursor Ident
	// Options are FETCH ... WITH (timeout = '1s'), which bounds the wait for a subscription's next row.
	Options []Option
}

// CloseCursor is CLOSE name or CLOSE ALL.
type CloseCursor struct {
	Span
	Name Ident
	All  bool
}

// Prepare is PREPARE name [(types)] AS stmt.
type Prepare struct {
	Span
	Name  Ident
	Types []*TypeName
	Stmt  Stmt
}

// Execute is EXECUTE name [(args)].
type Execute struct {
	Span
	Name Ident
	Args []Expr
}

// Deallocate is DEALLOCATE [PREPARE] name or ALL.
type Deallocate struct {
	Span
	Name Ident
	All  bool
}

// Flush is FLUSH: wait until all that was acknowledged is in every view.
type Flush struct{ Span }

// Checkpoint is CHECKPOINT.
type Checkpoint struct{ Span }

// Call is CALL procedure(args).
type Call struct {
	Span
	Func *FuncCall
}

// Discard is DISCARD ALL | PLANS | SEQUENCES | TEMP.
type Discard struct {
	Span
	What string // "all", "plans", "sequences", "temp"
}

// Listen is LISTEN channel.
type Listen struct {
	Span
	Channel Ident
}

// Unlisten is UNLISTEN channel or *.
type Unlisten struct {
	Span
	Channel Ident
	All     bool
}

// Notify is NOTIFY channel [, 'payload'].
type Notify struct {
	Span
	Channel    Ident
	Payload    string
	HasPayload bool
}

// LockTable is LOCK [TABLE] names [IN mode MODE] [NOWAIT].
type LockTable struct {
	Span
	Tables []*TableRef
	Mode   string // "" or lower case: "access exclusive", "row share", ...
	NoWait bool
}

// Maintenance is ANALYZE or VACUUM: read so that tools may send it.
type Maintenance struct {
	Span
	Vacuum  bool // VACUUM; otherwise ANALYZE
	Options []Option
	Tables  []MaintenanceTable
}

// MaintenanceTable is a table of VACUUM or ANALYZE.
type MaintenanceTable struct {
	At
	Table   Name
	Columns []Ident
}

// RefreshMatView is REFRESH MATERIALIZED VIEW.
type RefreshMatView struct {
	Span
	Concurrently bool
	Name         Name
	NoData       bool
}

func (*ColumnDef) tableElem()       {}
func (*TableConstraint) tableElem() {}
func (*WatermarkDef) tableElem()    {}
func (*LikeClause) tableElem()      {}

func (*Insert) stmt()             {}
func (*Update) stmt()             {}
func (*Delete) stmt()             {}
func (*Truncate) stmt()           {}
func (*Copy) stmt()               {}
func (*Subscribe) stmt()          {}
func (*CreateTable) stmt()        {}
func (*CreateTableAs) stmt()      {}
func (*CreateSource) stmt()       {}
func (*CreateSink) stmt()         {}
func (*CreateView) stmt()         {}
func (*CreateMatView) stmt()      {}
func (*CreateIndex) stmt()        {}
func (*CreateAssertion) stmt()    {}
func (*CreateFunction) stmt()     {}
func (*CreateType) stmt()         {}
func (*CreateDomain) stmt()       {}
func (*CreateSequence) stmt()     {}
func (*CreateSchema) stmt()       {}
func (*CreateDatabase) stmt()     {}
func (*CreateSecret) stmt()       {}
func (*CreateRole) stmt()         {}
func (*AlterRole) stmt()          {}
func (*Grant) stmt()              {}
func (*Alter) stmt()              {}
func (*Drop) stmt()               {}
func (*Comment) stmt()            {}
func (*Explain) stmt()            {}
func (*Show) stmt()               {}
func (*Set) stmt()                {}
func (*SetTransaction) stmt()     {}
func (*SetConstraints) stmt()     {}
func (*Begin) stmt()              {}
func (*Commit) stmt()             {}
func (*Rollback) stmt()           {}
func (*PrepareTransaction) stmt() {}
func (*Savepoint) stmt()          {}
func (*Release) stmt()            {}
func (*DeclareCursor) stmt()      {}
func (*Fetch) stmt()              {}
func (*CloseCursor) stmt()        {}
func (*Prepare) stmt()            {}
func (*Execute) stmt()            {}
func (*Deallocate) stmt()         {}
func (*Flush) stmt()              {}
func (*Checkpoint) stmt()         {}
func (*Call) stmt()               {}
func (*Discard) stmt()            {}
func (*Listen) stmt()             {}
func (*Unlisten) stmt()           {}
func (*Notify) stmt()             {}
func (*LockTable) stmt()          {}
func (*Maintenance) stmt()        {}
func (*RefreshMatView) stmt()     {}
