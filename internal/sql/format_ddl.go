package sql

import (
	"strconv"
	"strings"
)

// ddl writes the statements that create, alter and drop; false if s is none.
func (f *printer) ddl(s Stmt) bool {
	switch s := s.(type) {
	case *CreateTable:
		f.createTable(s)
	case *CreateTableAs:
		f.createTableAs(s)
	case *CreateSource:
		f.head(false, s.Temp, false, "SOURCE", s.IfNotExists, s.Name)
		if s.Elems != nil {
			f.w(" ")
			group(f, s.Elems, f.tableElem)
		}
		f.withOptions(s.With)
		f.format(s.Format)
	case *CreateSink:
		f.head(false, false, false, "SINK", s.IfNotExists, s.Name)
		if s.Query != nil {
			f.w(" AS ")
			f.query(s.Query)
		} else {
			f.w(" FROM ")
			f.name(s.From)
		}
		f.withOptions(s.With)
		f.format(s.Format)
	case *CreateView:
		f.createView(s)
	case *CreateMatView:
		f.head(s.OrReplace, false, false, "MATERIALIZED VIEW", s.IfNotExists, s.Name)
		f.columns(s.Columns)
		f.withOptions(s.With)
		f.tablespace(s.Tablespace)
		f.w(" AS ")
		f.query(s.Query)
		f.opt(s.NoData, " WITH NO DATA")
	case *CreateIndex:
		f.createIndex(s)
	case *CreateAssertion:
		f.head(false, false, false, "ASSERTION", s.IfNotExists, s.Name)
		f.call(" CHECK ", s.X)
	case *CreateFunction:
		f.createFunction(s)
	case *Alter:
		f.alter(s)
	case *Drop:
		f.drop(s)
	case *Comment:
		f.comment(s)
	default:
		return f.ddlRest(s)
	}
	return true
}

// head writes CREATE and the object's name.
func (f *printer) head(orReplace, temp, unlogged bool, kind string, ifNotExists bool, n Name) {
	f.w("CREATE ")
	f.opt(orReplace, "OR REPLACE ")
	f.opt(temp, "TEMPORARY ")
	f.opt(unlogged, "UNLOGGED ")
	f.w(kind, " ")
	f.opt(ifNotExists, "IF NOT EXISTS ")
	f.name(n)
}

func (f *printer) tablespace(id Ident) {
	if id.Text != "" {
		f.w(" TABLESPACE ")
		f.ident(id)
	}
}

func (f *printer) format(c *FormatClause) {
	if c == nil {
		return
	}
	f.w(" FORMAT ")
	f.word(c.Format, false)
	if c.Encode != "" {
		f.w(" ENCODE ")
		f.word(c.Encode, false)
	}
	if c.Options != nil {
		f.w(" ")
		group(f, c.Options, f.equalsOption)
	}
}

func (f *printer) createTable(s *CreateTable) {
	f.head(false, s.Temp, s.Unlogged, "TABLE", s.IfNotExists, s.Name)
	f.w(" ")
	group(f, s.Elems, f.tableElem)
	if s.Inherits != nil {
		f.w(" INHERITS ")
		group(f, s.Inherits, f.name)
	}
	f.opt(s.AppendOnly, " APPEND ONLY")
	f.withOptions(s.With)
	f.opt(s.OnCommit != "", " ON COMMIT "+strings.ToUpper(s.OnCommit))
	f.tablespace(s.Tablespace)
	f.format(s.Format)
}

func (f *printer) createTableAs(s *CreateTableAs) {
	f.head(false, s.Temp, s.Unlogged, "TABLE", s.IfNotExists, s.Name)
	f.columns(s.Columns)
	f.withOptions(s.With)
	f.opt(s.OnCommit != "", " ON COMMIT "+strings.ToUpper(s.OnCommit))
	f.tablespace(s.Tablespace)
	f.w(" AS ")
	f.stmt(s.Query)
	f.opt(s.NoData, " WITH NO DATA")
}

func (f *printer) createView(s *CreateView) {
	kind := "VIEW"
	if s.Recursive {
		kind = "RECURSIVE VIEW"
	}
	f.head(s.OrReplace, s.Temp, false, kind, s.IfNotExists, s.Name)
	f.columns(s.Columns)
	f.withOptions(s.With)
	f.w(" AS ")
	f.query(s.Query)
	f.opt(s.Check != "", " WITH "+strings.ToUpper(s.Check)+" CHECK OPTION")
}

func (f *printer) tableElem(e TableElem) {
	switch e := e.(type) {
	case *ColumnDef:
		f.columnDef(e)
	case *TableConstraint:
		f.tableConstraint(e)
	case *WatermarkDef:
		f.watermark(e)
	case *LikeClause:
		f.w("LIKE ")
		f.name(e.Table)
		for _, o := range e.Options {
			f.w(" ", strings.ToUpper(o))
		}
	}
}

func (f *printer) watermark(w *WatermarkDef) {
	f.w("WATERMARK FOR ")
	f.ident(w.Column)
	f.w(" AS ")
	f.expr(w.X)
}

func (f *printer) columnDef(c *ColumnDef) {
	f.ident(c.Name)
	if c.Type != nil {
		f.w(" ")
		f.typeName(c.Type)
	}
	if c.Compression != "" {
		f.w(" COMPRESSION ")
		f.word(c.Compression, false)
	}
	if !c.Collation.IsZero() {
		f.w(" COLLATE ")
		f.name(c.Collation)
	}
	for _, con := range c.Constraints {
		f.w(" ")
		f.columnConstraint(con)
	}
}

// constraintName writes "CONSTRAINT name " if there is one.
func (f *printer) constraintName(id Ident) {
	if id.Text != "" {
		f.w("CONSTRAINT ")
		f.ident(id)
		f.w(" ")
	}
}

func (f *printer) columnConstraint(c ColumnConstraint) {
	f.constraintName(c.Name)
	switch c.Kind {
	case ConNotNull:
		f.w("NOT NULL")
	case ConNull:
		f.w("NULL")
	case ConDefault:
		f.w("DEFAULT ")
		f.basic(c.X)
	case ConGenerated:
		if !c.Stored {
			f.w("AS ")
			f.operand(c.X, precPrimary)
			break
		}
		f.call("GENERATED ALWAYS AS ", c.X)
		f.w(" STORED")
	case ConIdentity:
		f.w("GENERATED ")
		if c.Always {
			f.w("ALWAYS")
		} else {
			f.w("BY DEFAULT")
		}
		f.w(" AS IDENTITY")
		if c.Options != nil {
			f.w(" (")
			f.sequenceOptions(c.Options)
			f.w(")")
		}
	case ConUnique:
		f.w("UNIQUE")
		f.opt(c.NullsNotDist, " NULLS NOT DISTINCT")
		f.withOptions(c.Options)
	case ConPrimaryKey:
		f.w("PRIMARY KEY")
		f.withOptions(c.Options)
	case ConReferences:
		f.references(c.References)
	case ConCheck:
		f.call("CHECK ", c.X)
		f.opt(c.NoInherit, " NO INHERIT")
	}
	f.deferral(c.Deferrable, c.InitDeferred)
}

func (f *printer) deferral(deferrable, deferred Tristate) {
	f.w([...]string{Unset: "", Yes: " DEFERRABLE", No: " NOT DEFERRABLE"}[deferrable])
	f.w([...]string{Unset: "", Yes: " INITIALLY DEFERRED", No: " INITIALLY IMMEDIATE"}[deferred])
}

func (f *printer) references(r *References) {
	f.w("REFERENCES ")
	f.name(r.Table)
	f.columns(r.Columns)
	f.opt(r.Match != "", " MATCH "+strings.ToUpper(r.Match))
	if r.OnDelete != "" {
		f.w(" ON DELETE ", strings.ToUpper(r.OnDelete))
		f.columns(r.OnDeleteColumns)
	}
	f.opt(r.OnUpdate != "", " ON UPDATE "+strings.ToUpper(r.OnUpdate))
}

func (f *printer) tableConstraint(c *TableConstraint) {
	f.constraintName(c.Name)
	switch c.Kind {
	case ConCheck:
		f.call("CHECK ", c.X)
	case ConUnique:
		f.w("UNIQUE")
		f.opt(c.NullsNotDist, " NULLS NOT DISTINCT")
	case ConPrimaryKey:
		f.w("PRIMARY KEY")
	case ConReferences:
		f.w("FOREIGN KEY")
	}
	f.columns(c.Columns)
	if c.References != nil {
		f.w(" ")
		f.references(c.References)
	}
	if c.Include != nil {
		f.w(" INCLUDE")
		f.columns(c.Include)
	}
	if c.UsingIndex.Text != "" {
		f.w(" USING INDEX ")
		f.ident(c.UsingIndex)
	}
	f.deferral(c.Deferrable, c.InitDeferred)
	f.opt(c.NotValid, " NOT VALID")
	f.opt(c.NoInherit, " NO INHERIT")
	f.opt(c.NotEnforced, " NOT ENFORCED")
}

func (f *printer) createIndex(s *CreateIndex) {
	f.w("CREATE ")
	f.opt(s.Unique, "UNIQUE ")
	f.w("INDEX ")
	f.opt(s.Concurrently, "CONCURRENTLY ")
	f.opt(s.IfNotExists, "IF NOT EXISTS ")
	if s.Name.Text != "" {
		f.ident(s.Name)
		f.w(" ")
	}
	f.w("ON ")
	f.tableRef(s.Table)
	if s.Method != "" {
		f.w(" USING ", QuoteIdent(s.Method))
	}
	f.w(" ")
	group(f, s.Elems, f.indexElem)
	if s.Include != nil {
		f.w(" INCLUDE ")
		group(f, s.Include, f.indexElem)
	}
	f.opt(s.NullsNotDist, " NULLS NOT DISTINCT")
	f.withOptions(s.With)
	f.tablespace(s.Tablespace)
	f.where(s.Where)
}

func (f *printer) indexElem(e IndexElem) {
	if c, ok := e.X.(*ColumnRef); ok && len(c.Parts) == 1 {
		f.expr(c)
	} else {
		f.w("(")
		f.expr(e.X)
		f.w(")")
	}
	if !e.Collation.IsZero() {
		f.w(" COLLATE ")
		f.name(e.Collation)
	}
	if !e.OpClass.IsZero() {
		f.w(" ")
		f.name(e.OpClass)
		if e.OpOptions != nil {
			f.w(" ")
			group(f, e.OpOptions, f.equalsOption)
		}
	}
	f.dirNulls(e.Dir, e.Nulls)
}

func (f *printer) params(l []FuncParam) { group(f, l, f.param) }

func (f *printer) param(x FuncParam) {
	f.opt(x.Mode != "", strings.ToUpper(x.Mode)+" ")
	if x.Name.Text != "" {
		f.ident(x.Name)
		f.w(" ")
	}
	f.typeName(x.Type)
	if x.Default != nil {
		f.w(" DEFAULT ")
		f.expr(x.Default)
	}
}

func (f *printer) createFunction(s *CreateFunction) {
	kind := "FUNCTION"
	if s.Procedure {
		kind = "PROCEDURE"
	}
	f.head(s.OrReplace, false, false, kind, false, s.Name)
	f.params(s.Params)
	if s.ReturnsTable != nil {
		f.w(" RETURNS TABLE ")
		f.params(s.ReturnsTable)
	} else if s.Returns != nil {
		f.w(" RETURNS ")
		f.typeName(s.Returns)
	}
	for _, o := range s.Options {
		f.w(" ")
		f.funcOption(o)
	}
	if s.Return != nil {
		f.w(" RETURN ")
		f.expr(s.Return)
	}
	if s.Atomic {
		f.w(" BEGIN ATOMIC ")
		for _, b := range s.Body {
			f.stmt(b)
			f.w("; ")
		}
		f.w("END")
	}
}

func (f *printer) funcOption(o FuncOption) {
	switch o.Name {
	case "as":
		f.w("AS ")
		each(f, o.Text, f.str)
	case "language":
		f.w("LANGUAGE ", QuoteString(o.Text[0]))
	case "cost", "rows":
		f.w(strings.ToUpper(o.Name), " ")
		f.expr(o.Value)
	case "set":
		f.set(o.Set)
	case "window":
		f.w("WINDOW")
	case "parallel":
		f.w("PARALLEL ")
		f.word(o.Text[0], false)
	case "support":
		f.w("SUPPORT ")
		f.word(o.Text[0], false)
	case "security":
		f.w("SECURITY ", strings.ToUpper(o.Text[0]))
	default: // volatility, strict, leakproof: the text is the option itself
		f.w(strings.ToUpper(o.Text[0]))
	}
}

func (f *printer) sequenceOptions(opts []Option) {
	for i, o := range opts {
		f.opt(i > 0, " ")
		f.w(strings.ToUpper(o.Name))
		if o.Value != nil {
			f.opt(o.Name == "start" || o.Name == "restart", " WITH")
			f.opt(o.Name == "increment", " BY")
			f.w(" ")
			f.expr(o.Value)
		}
	}
}

func (f *printer) drop(s *Drop) {
	f.w("DROP ", strings.ToUpper(s.Kind), " ")
	f.opt(s.Concurrently, "CONCURRENTLY ")
	f.opt(s.IfExists, "IF EXISTS ")
	each(f, s.Objects, f.objectName)
	f.opt(s.Force, " WITH (FORCE)")
	f.behavior(s.Behavior)
}

func (f *printer) objectName(o ObjectName) {
	f.name(o.Name)
	if o.HasArgs {
		f.params(o.Args)
	}
}

func (f *printer) comment(s *Comment) {
	kind, domain := s.Kind, s.Kind == "domain constraint"
	if domain {
		kind = "constraint"
	}
	f.w("COMMENT ON ", strings.ToUpper(kind), " ")
	f.objectName(s.Object)
	if !s.On.IsZero() {
		f.w(" ON ")
		f.opt(domain, "DOMAIN ")
		f.name(s.On)
	}
	f.w(" IS ")
	if s.Null {
		f.w("NULL")
	} else {
		f.str(s.Text)
	}
}

// ddlRest writes the smaller statements of definition; false if s is none.
func (f *printer) ddlRest(s Stmt) bool {
	switch s := s.(type) {
	case *CreateType:
		f.head(false, false, false, "TYPE", false, s.Name)
		switch {
		case s.Shell:
		case s.Enum:
			f.w(" AS ENUM ")
			group(f, s.Labels, f.str)
		default:
			f.w(" AS ")
			group(f, s.Fields, f.funcColumn)
		}
	case *CreateDomain:
		f.head(false, false, false, "DOMAIN", false, s.Name)
		f.w(" AS ")
		f.typeName(s.Type)
		if !s.Collation.IsZero() {
			f.w(" COLLATE ")
			f.name(s.Collation)
		}
		for _, c := range s.Constraints {
			f.w(" ")
			f.columnConstraint(c)
		}
	case *CreateSequence:
		f.head(false, s.Temp, false, "SEQUENCE", s.IfNotExists, s.Name)
		f.opt(s.Options != nil, " ")
		f.sequenceOptions(s.Options)
	case *CreateSchema:
		f.createSchema(s)
	case *CreateDatabase:
		f.named("CREATE DATABASE ", s.Name, false)
		for _, o := range s.Options {
			f.w(" ", strings.ToUpper(o.Name), " = ")
			f.expr(o.Value)
		}
	case *CreateSecret:
		kind := "SECRET"
		if s.Connection {
			kind = "CONNECTION"
		}
		f.head(false, false, false, kind, s.IfNotExists, s.Name)
		f.withOptions(s.With)
		if s.Value != nil {
			f.w(" AS ")
			f.expr(s.Value)
		}
	case *CreateRole:
		f.w("CREATE ", strings.ToUpper(s.Kind), " ")
		f.role(s.Name)
		f.roleOptions(s.Options)
	case *AlterRole:
		f.alterRole(s)
	case *Grant:
		f.grant(s)
	default:
		return false
	}
	return true
}

func (f *printer) createSchema(s *CreateSchema) {
	f.w("CREATE SCHEMA")
	f.opt(s.IfNotExists, " IF NOT EXISTS")
	if s.Name.Text != "" {
		f.w(" ")
		f.ident(s.Name)
	}
	if s.Authorization != nil {
		f.w(" AUTHORIZATION ")
		f.role(*s.Authorization)
	}
	for _, e := range s.Elems {
		f.w(" ")
		f.stmt(e)
	}
}

func (f *printer) role(r Role) {
	if r.Special != "" {
		f.w(strings.ToUpper(r.Special))
		return
	}
	f.ident(r.Name)
}

func (f *printer) roleOptions(opts []RoleOption) {
	for _, o := range opts {
		f.w(" ", strings.ToUpper(o.Name))
		if o.Value != nil {
			f.w(" ")
			f.expr(o.Value)
		}
		if o.Roles != nil {
			f.w(" ")
			each(f, o.Roles, f.role)
		}
	}
}

func (f *printer) alterRole(s *AlterRole) {
	f.w("ALTER ", strings.ToUpper(s.Kind), " ")
	if s.All {
		f.w("ALL")
	} else {
		f.role(s.Name)
	}
	if s.Database.Text != "" {
		f.w(" IN DATABASE ")
		f.ident(s.Database)
	}
	if s.Set != nil {
		f.w(" ")
		f.set(s.Set)
	}
	if s.RenameTo.Text != "" {
		f.w(" RENAME TO ")
		f.ident(s.RenameTo)
	}
	f.roleOptions(s.Options)
}

func (f *printer) grant(s *Grant) {
	word := "GRANT OPTION"
	if s.Roles != nil {
		word = "ADMIN OPTION"
	}
	if s.Revoke {
		f.w("REVOKE ")
		f.opt(s.OptionFor, word+" FOR ")
	} else {
		f.w("GRANT ")
	}
	each(f, s.Privileges, func(p Privilege) {
		switch p.Name {
		case "all", "select", "references", "create", "alter system":
			f.w(strings.ToUpper(p.Name))
		default:
			f.w(QuoteIdent(p.Name))
		}
		f.columns(p.Columns)
	})
	f.opt(s.All && s.Privileges == nil, "ALL")
	each(f, s.Roles, func(id Ident) {
		if _, ok := keywords[id.Text]; ok && !id.Quoted {
			f.w(id.Text) // CREATE, SELECT: only here they may be roles
			return
		}
		f.ident(id)
	})
	if s.Objects != nil {
		f.w(" ON ")
		if strings.HasSuffix(s.ObjectKind, " in schema") {
			f.w("ALL ")
		}
		f.w(strings.ToUpper(s.ObjectKind), " ")
		each(f, s.Objects, f.objectName)
	}
	if s.Revoke {
		f.w(" FROM ")
	} else {
		f.w(" TO ")
	}
	each(f, s.To, f.role)
	f.opt(s.GrantOption, " WITH "+word)
	if s.GrantedBy != nil {
		f.w(" GRANTED BY ")
		f.role(*s.GrantedBy)
	}
	f.behavior(s.Behavior)
}

func (f *printer) alter(s *Alter) {
	f.w("ALTER ", strings.ToUpper(s.Kind), " ")
	f.opt(s.IfExists, "IF EXISTS ")
	f.opt(s.Only, "ONLY ")
	if s.Kind != "system" {
		f.objectName(ObjectName{Name: s.Name, Args: s.Args, HasArgs: s.HasArgs})
		f.w(" ")
	}
	attribute := "COLUMN "
	if s.Kind == "type" {
		attribute = "ATTRIBUTE "
	}
	each(f, s.Actions, func(a AlterAction) { f.alterAction(a, attribute) })
}

// alterAction writes one action; attribute is the word for a column.
func (f *printer) alterAction(a AlterAction, attribute string) {
	exists := func() { f.opt(a.IfExists, "IF EXISTS ") }
	column := func(what string) {
		f.w("ALTER ", attribute)
		f.ident(a.Ident)
		f.w(what)
	}
	switch a.Kind {
	case AlterAddColumn:
		f.w("ADD ", attribute)
		f.opt(a.IfNotExists, "IF NOT EXISTS ")
		f.columnDef(a.Column)
	case AlterDropColumn:
		f.w("DROP ", attribute)
		exists()
		f.ident(a.Ident)
	case AlterColumnType:
		column(" TYPE ")
		f.typeName(a.Type)
		if !a.Collation.IsZero() {
			f.w(" COLLATE ")
			f.name(a.Collation)
		}
		if a.X != nil {
			f.w(" USING ")
			f.expr(a.X)
		}
	case AlterColumnSetDefault:
		column(" SET DEFAULT ")
		f.expr(a.X)
	case AlterColumnDropDefault:
		column(" DROP DEFAULT")
	case AlterColumnSetNotNull:
		column(" SET NOT NULL")
	case AlterColumnDropNotNull:
		column(" DROP NOT NULL")
	case AlterColumnDropExpression:
		column(" DROP EXPRESSION")
		f.opt(a.IfExists, " IF EXISTS")
	case AlterColumnSetStatistics:
		column(" SET STATISTICS ")
		f.expr(a.X)
	case AlterColumnSetStorage:
		column(" SET STORAGE ")
		f.word(a.Text, false)
	case AlterAddConstraint:
		f.w("ADD ")
		f.tableConstraint(a.Constraint)
	case AlterDropConstraint:
		f.w("DROP CONSTRAINT ")
		exists()
		f.ident(a.Ident)
	case AlterValidateConstraint:
		f.named("VALIDATE CONSTRAINT ", a.Ident, false)
	default:
		f.alterActionRest(a, attribute)
	}
	f.behavior(a.Behavior)
}

func (f *printer) alterActionRest(a AlterAction, attribute string) {
	to := func() {
		f.w(" TO ")
		f.ident(a.To)
	}
	switch a.Kind {
	case AlterRenameTo:
		f.named("RENAME TO ", a.Ident, false)
	case AlterRenameColumn:
		f.named("RENAME "+attribute, a.Ident, false)
		to()
	case AlterRenameConstraint:
		f.named("RENAME CONSTRAINT ", a.Ident, false)
		to()
	case AlterSetSchema:
		f.named("SET SCHEMA ", a.Ident, false)
	case AlterOwnerTo:
		f.w("OWNER TO ")
		f.role(*a.Role)
	case AlterSetOptions:
		f.w("SET ")
		group(f, a.Options, f.equalsOption)
	case AlterResetOptions:
		f.w("RESET ")
		group(f, a.Options, f.equalsOption)
	case AlterSetParameter:
		f.set(a.Set)
	case AlterAddValue:
		f.w("ADD VALUE ")
		f.opt(a.IfNotExists, "IF NOT EXISTS ")
		f.str(a.Text)
		f.opt(a.Before != "", " BEFORE "+QuoteString(a.Before))
		f.opt(a.After != "", " AFTER "+QuoteString(a.After))
	case AlterRenameValue:
		f.w("RENAME VALUE ", QuoteString(a.Text), " TO ", QuoteString(a.NewText))
	case AlterAddWatermark:
		f.w("ADD ")
		f.watermark(a.Watermark)
	case AlterFormat:
		f.w(strings.TrimPrefix(f.sub(func(s *printer) { s.format(a.Format) }), " "))
	case AlterSequenceOptions:
		f.sequenceOptions(a.Options)
	default:
		panic("sql: Format of alteration " + strconv.Itoa(int(a.Kind)))
	}
}

// sub returns what write writes, on its own.
func (f *printer) sub(write func(*printer)) string {
	s := &printer{parens: f.parens}
	write(s)
	return s.b.String()
}
