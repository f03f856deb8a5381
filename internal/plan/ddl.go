package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// PlanDDL turns a CREATE, DROP or COMMENT into the command that carries it out.
// text is what the statement was parsed from; its definition is kept as written.
func (p *Planner) PlanDDL(s sql.Stmt, text string) (cmd catalog.Command, err error) {
	defer guard(&err)
	d := &ddl{b: p.binder(), sql: text[s.Pos():s.End()], text: text}
	switch s := s.(type) {
	case *sql.CreateTable:
		cmd = d.table(s)
	case *sql.CreateSource:
		cmd = d.source(s)
	case *sql.CreateView:
		cmd = d.view(s)
	case *sql.CreateMatView:
		cmd = d.matView(s)
	case *sql.CreateSink:
		cmd = d.sink(s)
	case *sql.CreateIndex:
		cmd = d.index(s)
	case *sql.CreateSchema:
		cmd = d.schema(s)
	case *sql.CreateFunction:
		cmd = d.function(s)
	case *sql.Drop:
		cmd = d.drop(s)
	case *sql.Comment:
		cmd = d.comment(s)
	case *sql.CreateTableAs:
		failHint(s.Pos(), types.CodeFeature, "Create the table, then INSERT INTO ... SELECT; or create a materialized view.",
			"CREATE TABLE AS is not supported yet")
	case *sql.Alter:
		cmd = d.alter(s)
	case *sql.CreateRole:
		cmd = d.createRole(s)
	case *sql.AlterRole:
		cmd = d.alterRole(s)
	default:
		unsupported(s.Pos(), "this statement (%s)", firstWords(d.sql))
	}
	cmd.SQL = d.sql
	if hidden, found := sql.HidePasswords(s); found {
		cmd.SQL = sql.Format(hidden)
	}
	return cmd, nil
}

// firstWords are the words that say what a statement is.
func firstWords(text string) string {
	f := strings.Fields(text)
	return strings.ToUpper(strings.Join(f[:min(2, len(f))], " "))
}

// ddl is the state of planning one definition.
type ddl struct {
	b    *binder
	sql  string // the statement's own text
	text string // the text it stands in
	// computed says which columns of the table or source have AS or GENERATED.
	computed []bool
}

func (d *ddl) cat() *catalog.Catalog { return d.b.p.Catalog }

// named starts a relation under the name that is to be created.
func (d *ddl) named(n sql.Name, kind catalog.Kind) *catalog.Relation {
	schema := n.Schema()
	if len(n.Parts) > 2 {
		fail(n.Pos(), types.CodeFeature, "cross-database references are not implemented: %q", dottedName(names(n.Parts)))
	}
	if schema == "" {
		s, err := d.cat().CreationSchema(d.b.path)
		check(n.Pos(), err)
		schema = s
	}
	if d.cat().Schema(schema) == nil {
		fail(n.Pos(), "3F000", "schema %q does not exist", schema)
	}
	return &catalog.Relation{Schema: schema, Name: n.Last(), Kind: kind, SQL: d.sql, SearchPath: slices.Clone(d.b.path)}
}

// create finishes a command that makes r.
func (d *ddl) create(r *catalog.Relation, ifNotExists bool) catalog.Command {
	if len(r.Columns) > maxColumns {
		fail(noPos, types.CodeTooComplex, "relations can have at most %d columns", maxColumns)
	}
	for id := range d.b.deps {
		r.DependsOn = append(r.DependsOn, id)
	}
	slices.Sort(r.DependsOn)
	return catalog.Command{Kind: catalog.CreateRelation, Relation: r, IfNotExists: ifNotExists}
}

func (d *ddl) table(s *sql.CreateTable) catalog.Command {
	if s.Temp {
		unsupported(s.Pos(), "a temporary table")
	}
	if len(s.Inherits) > 0 {
		unsupported(s.Inherits[0].Pos(), "INHERITS")
	}
	r := d.named(s.Name, catalog.Table)
	r.Options = d.options(s.With)
	r.AppendOnly = s.AppendOnly || d.appendOnly(r, s.Pos())
	r.Format = d.format(s.Format)
	d.elements(r, s.Elems)
	d.pickNames(r)
	d.checkOptions(r, s.Pos())
	return d.create(r, s.IfNotExists)
}

// appendOnly reads the option by which other systems say APPEND ONLY.
func (d *ddl) appendOnly(r *catalog.Relation, pos int) bool {
	for _, name := range []string{"append_only", "appendonly"} {
		v, ok := r.Option(name)
		if !ok {
			continue
		}
		on, err := types.Parse(types.T(types.Bool), v, types.Style{})
		if err != nil {
			fail(pos, types.CodeInvalidParameter, "invalid value %q for option %q: want true or false", v, name)
		}
		return on.I != 0
	}
	return false
}

func (d *ddl) source(s *sql.CreateSource) catalog.Command {
	if s.Temp {
		unsupported(s.Pos(), "a temporary source")
	}
	r := d.named(s.Name, catalog.Source)
	r.AppendOnly = true
	r.Options = d.options(s.With)
	r.Format = d.format(s.Format)
	d.elements(r, s.Elems)
	if r.PrimaryKey != nil {
		failHint(s.Pos(), types.CodeFeature, "A source is append-only; use CREATE TABLE for keyed rows.", "a PRIMARY KEY on a source is not supported yet")
	}
	if len(r.Checks) > 0 {
		failHint(s.Pos(), types.CodeFeature, "Filter in a view over it.", "a CHECK constraint on a source is not supported yet")
	}
	if _, ok := r.Option("connector"); !ok {
		failHint(s.Pos(), types.CodeInvalidParameter, "Add WITH (connector = '...').", "source %q has no connector", r.Name)
	}
	d.checkOptions(r, s.Pos())
	return d.create(r, s.IfNotExists)
}

func (d *ddl) checkOptions(r *catalog.Relation, pos int) {
	if d.b.p.Options != nil {
		check(pos, d.b.p.Options(r))
	}
}

// options sorts WITH options by name.
func (d *ddl) options(list []sql.Option) []catalog.Option {
	var out []catalog.Option
	for _, o := range list {
		v, ok := o.Text()
		if !ok {
			fail(o.Pos(), types.CodeInvalidParameter, "option %q needs a value", o.Name)
		}
		if slices.ContainsFunc(out, func(c catalog.Option) bool { return c.Name == o.Name }) {
			fail(o.Pos(), types.CodeSyntax, "parameter %q specified more than once", o.Name)
		}
		out = append(out, catalog.Option{Name: o.Name, Value: v})
	}
	slices.SortFunc(out, func(a, c catalog.Option) int { return strings.Compare(a.Name, c.Name) })
	return out
}

func (d *ddl) format(f *sql.FormatClause) *catalog.Format {
	if f == nil {
		return nil
	}
	return &catalog.Format{Format: f.Format, Encode: f.Encode, Options: d.options(f.Options)}
}

// elements binds the columns and constraints between the parentheses.
func (d *ddl) elements(r *catalog.Relation, elems []sql.TableElem) {
	for _, e := range elems {
		if c, ok := e.(*sql.ColumnDef); ok {
			d.column(r, c)
		}
	}
	if len(r.Columns) == 0 {
		fail(noPos, types.CodeFeature, "%s without columns is not supported", r.Describe())
	}
	sc := d.rowScope(r)
	for _, e := range elems { // first, since they may give columns their types
		if c, ok := e.(*sql.ColumnDef); ok {
			for _, k := range c.Constraints {
				if k.Kind == sql.ConGenerated {
					d.generated(r, r.Column(c.Name.Text), k.X, sc)
				}
			}
		}
	}
	sc = d.rowScope(r)
	for _, e := range elems {
		switch e := e.(type) {
		case *sql.ColumnDef:
			d.columnConstraints(r, e, sc)
		case *sql.TableConstraint:
			d.tableConstraint(r, e, sc)
		case *sql.WatermarkDef:
			d.watermark(r, e, sc)
		case *sql.LikeClause:
			unsupported(e.Pos(), "LIKE in CREATE TABLE")
		}
	}
	for _, k := range r.PrimaryKey {
		r.Columns[k].NotNull = true
	}
}

// rowScope lets expressions name the columns of the relation being made.
func (d *ddl) rowScope(r *catalog.Relation) *scope {
	v, _ := d.b.rowScope(r, r.Name, false)
	return &scope{vars: []*rangeVar{v}, cols: v.cols}
}

func (d *ddl) column(r *catalog.Relation, c *sql.ColumnDef) {
	if r.Column(c.Name.Text) >= 0 {
		fail(c.Pos(), types.CodeDuplicateColumn, "column %q specified more than once", c.Name.Text)
	}
	d.computed = append(d.computed, slices.ContainsFunc(c.Constraints, func(k sql.ColumnConstraint) bool { return k.Kind == sql.ConGenerated }))
	if c.Type == nil { // the expression will tell
		r.Columns = append(r.Columns, catalog.Column{Name: c.Name.Text})
		return
	}
	col := catalog.Column{Name: c.Name.Text, Type: resolveType(c.Type)}
	switch col.Type.Kind {
	case types.Unknown, types.Void, types.Record:
		fail(c.Pos(), "42P16", "column %q has pseudo-type %s", col.Name, typeName(col.Type))
	}
	r.Columns = append(r.Columns, col)
}

func (d *ddl) columnConstraints(r *catalog.Relation, c *sql.ColumnDef, sc *scope) {
	i := r.Column(c.Name.Text)
	col := &r.Columns[i]
	null := false
	for _, k := range c.Constraints {
		switch k.Kind {
		case sql.ConNotNull:
			col.NotNull = true
		case sql.ConNull:
			null = true
		case sql.ConDefault:
			d.defaultValue(col, k)
		case sql.ConPrimaryKey:
			d.primaryKey(r, []int{i}, k.Name, k.Pos())
		case sql.ConCheck:
			d.checkConstraint(r, k.X, k.Name, sc)
		case sql.ConUnique:
			failHint(k.Pos(), types.CodeFeature, "Use a PRIMARY KEY.", "a UNIQUE constraint is not supported yet")
		case sql.ConReferences:
			unsupported(k.Pos(), "a foreign key")
		case sql.ConGenerated: // bound before
		case sql.ConIdentity:
			unsupported(k.Pos(), "an identity column")
		default:
			unsupported(k.Pos(), "this constraint")
		}
	}
	if null && col.NotNull {
		fail(c.Pos(), types.CodeSyntax, "conflicting NULL/NOT NULL declarations for column %q of table %q", col.Name, r.Name)
	}
}

// defaultValue checks a default: it is computed for each row that leaves the column out.
func (d *ddl) defaultValue(col *catalog.Column, k sql.ColumnConstraint) {
	if col.Generated != "" {
		fail(k.Pos(), types.CodeSyntax, "both default and generation expression specified for column %q of table", col.Name)
	}
	if col.Default != "" {
		fail(k.Pos(), types.CodeSyntax, "multiple default values specified for column %q", col.Name)
	}
	sql.Walk(k.X, func(x sql.Expr) bool {
		if ref, ok := x.(*sql.ColumnRef); ok {
			fail(ref.Pos(), types.CodeFeature, "cannot use column reference in DEFAULT expression")
		}
		return true
	})
	e := d.b.expr(&exprCtx{sc: &scope{}, clause: "DEFAULT expressions"}, k.X)
	if !castable(e.Type(), col.Type, castAssignment) {
		failHint(k.X.Pos(), types.CodeDatatypeMismatch, "You will need to rewrite or cast the expression.",
			"column %q is of type %s but default expression is of type %s", col.Name, typeName(col.Type), typeName(e.Type()))
	}
	d.b.convert(e, col.Type, castAssignment, k.X.Pos())
	col.Default = sql.Format(k.X)
}

func (d *ddl) primaryKey(r *catalog.Relation, cols []int, name sql.Ident, pos int) {
	if r.PrimaryKey != nil {
		fail(pos, "42P16", "multiple primary keys for table %q are not allowed", r.Name)
	}
	r.PrimaryKey, r.PrimaryKeyName = cols, name.Text
	for _, c := range cols {
		if r.Columns[c].ProcTime {
			unsupported(pos, "a column of PROCTIME() in a primary key")
		}
		if k := r.Columns[c].Type.Kind; k == types.Array {
			unsupported(pos, "an array in a primary key")
		}
	}
}

// checkConstraint binds a CHECK, whose value must depend on the row alone.
func (d *ddl) checkConstraint(r *catalog.Relation, x sql.Expr, name sql.Ident, sc *scope) {
	e := d.b.boolean(d.b.expr(&exprCtx{sc: sc, clause: "check constraints"}, x), "CHECK", x.Pos())
	if hasVolatile(e) {
		fail(x.Pos(), types.CodeFeature, "a check constraint must not use volatile functions")
	}
	if d.b.usesNow {
		fail(x.Pos(), types.CodeFeature, "a check constraint must not use the current time")
	}
	n := name.Text
	if n == "" {
		if used := exprCols(e); len(used) == 1 {
			n = d.b.cols[used[0]].name
		}
		n = "\x00" + n // named when all given names are known
	} else if slices.ContainsFunc(r.Checks, func(c catalog.Check) bool { return c.Name == n }) {
		fail(name.Pos(), "42710", "constraint %q for relation %q already exists", n, r.Name)
	}
	r.Checks = append(r.Checks, catalog.Check{Name: n, SQL: sql.Format(x)})
}

func (d *ddl) tableConstraint(r *catalog.Relation, k *sql.TableConstraint, sc *scope) {
	switch k.Kind {
	case sql.ConPrimaryKey:
		if len(k.Include) > 0 || k.UsingIndex.Text != "" {
			unsupported(k.Pos(), "INCLUDE or USING INDEX of a primary key")
		}
		var cols []int
		for _, id := range k.Columns {
			i := r.Column(id.Text)
			if i < 0 {
				fail(id.Pos(), types.CodeUndefinedColumn, "column %q named in key does not exist", id.Text)
			}
			if slices.Contains(cols, i) {
				fail(id.Pos(), types.CodeDuplicateColumn, "column %q appears twice in primary key constraint", id.Text)
			}
			cols = append(cols, i)
		}
		d.primaryKey(r, cols, k.Name, k.Pos())
	case sql.ConCheck:
		d.checkConstraint(r, k.X, k.Name, sc)
	case sql.ConUnique:
		failHint(k.Pos(), types.CodeFeature, "Use a PRIMARY KEY.", "a UNIQUE constraint is not supported yet")
	case sql.ConReferences:
		unsupported(k.Pos(), "a foreign key")
	default:
		unsupported(k.Pos(), "this constraint")
	}
}

func (d *ddl) watermark(r *catalog.Relation, w *sql.WatermarkDef, sc *scope) {
	i := r.Column(w.Column.Text)
	if i < 0 {
		fail(w.Column.Pos(), types.CodeUndefinedColumn, "column %q does not exist", w.Column.Text)
	}
	if r.Watermark != nil {
		fail(w.Pos(), types.CodeSyntax, "multiple watermarks for %q are not allowed", r.Name)
	}
	t := r.Columns[i].Type
	if t.Kind != types.Timestamp && t.Kind != types.TimestampTZ {
		fail(w.Column.Pos(), types.CodeDatatypeMismatch, "the watermark's column %q must be a timestamp, not %s", w.Column.Text, typeName(t))
	}
	if !r.AppendOnly {
		failHint(w.Pos(), types.CodeFeature, "Write APPEND ONLY behind the columns: CREATE TABLE ... (...) APPEND ONLY.",
			"a watermark on table %q, whose rows may change, is not possible", r.Name)
	}
	e := d.b.expr(&exprCtx{sc: sc, clause: "WATERMARK"}, w.X)
	if hasVolatile(e) || d.b.usesNow {
		fail(w.X.Pos(), "42P17", "functions in a watermark must depend on the row alone")
	}
	if e.Type().Kind != t.Kind {
		fail(w.X.Pos(), types.CodeDatatypeMismatch, "the watermark must be %s like its column, not %s", typeName(t), typeName(e.Type()))
	}
	r.Watermark = &catalog.Watermark{Column: i, SQL: sql.Format(w.X)}
}

// maxName is the longest name in bytes, as in PostgreSQL.
const maxName = 63

// madeName joins parts of a generated name, shortened as PostgreSQL does, and
// numbers it if it is taken.
func madeName(name, column, suffix string, taken func(string) bool) string {
	for n := 0; ; n++ {
		s := suffix
		if n > 0 {
			s = fmt.Sprintf("%s%d", suffix, n)
		}
		a, c := name, column
		room := maxName - len(s) - 1
		if c != "" {
			room--
		}
		for len(a)+len(c) > room {
			if len(a) > len(c) {
				a = a[:len(a)-1]
			} else {
				c = c[:len(c)-1]
			}
		}
		full := a
		if c != "" {
			full += "_" + c
		}
		if full += "_" + s; !taken(full) {
			return full
		}
	}
}

// pickNames names the constraints that have no name.
func (d *ddl) pickNames(r *catalog.Relation) {
	taken := func(n string) bool {
		return slices.ContainsFunc(r.Checks, func(c catalog.Check) bool { return c.Name == n })
	}
	for i, c := range r.Checks {
		if strings.HasPrefix(c.Name, "\x00") {
			r.Checks[i].Name = madeName(r.Name, c.Name[1:], "check", taken)
		}
	}
	if r.PrimaryKey != nil && r.PrimaryKeyName == "" {
		r.PrimaryKeyName = madeName(r.Name, "", "pkey", func(n string) bool { return d.cat().Lookup(nil, r.Schema, n) != nil })
	}
}

// queryText is the text of a query within the statement's source.
func (d *ddl) queryText(q *sql.Query) string { return d.text[q.Pos():q.End()] }

// queryColumns names a view's columns.
func queryColumns(q *Query, list []sql.Ident, pos int) []catalog.Column {
	if len(list) > len(q.Columns) {
		fail(list[len(q.Columns)].Pos(), types.CodeSyntax, "CREATE VIEW specifies more column names than columns")
	}
	var out []catalog.Column
	for i, c := range q.Columns {
		name := c.Name
		if i < len(list) {
			name = list[i].Text
		}
		if slices.ContainsFunc(out, func(o catalog.Column) bool { return o.Name == name }) {
			fail(pos, types.CodeDuplicateColumn, "column %q specified more than once", name)
		}
		out = append(out, catalog.Column{Name: name, Type: c.Type})
	}
	return out
}

// bindQuery plans a view's query to know its columns and what it depends on.
func (d *ddl) bindQuery(q *sql.Query, kept bool) *Query {
	b := d.b
	b.inView = kept
	if kept {
		b.top = q
	}
	r := b.query(q, nil, nil)
	if len(b.params) > 0 {
		fail(q.Pos(), "42P02", "there is no parameter $1")
	}
	if kept {
		r.order = nil
	}
	return b.finish(r, "view")
}

func (d *ddl) view(s *sql.CreateView) catalog.Command {
	switch {
	case s.Temp:
		unsupported(s.Pos(), "a temporary view")
	case s.Recursive:
		unsupported(s.Pos(), "a recursive view")
	case s.Check != "":
		unsupported(s.Pos(), "WITH CHECK OPTION")
	}
	r := d.named(s.Name, catalog.View)
	q := d.bindQuery(s.Query, false)
	r.Columns, r.Query = queryColumns(q, s.Columns, s.Query.Pos()), d.queryText(s.Query)
	r.Options = d.options(s.With)
	cmd := d.create(r, s.IfNotExists)
	cmd.OrReplace = s.OrReplace
	return cmd
}

func (d *ddl) matView(s *sql.CreateMatView) catalog.Command {
	if s.OrReplace {
		unsupported(s.Pos(), "OR REPLACE of a materialized view")
	}
	if s.NoData {
		unsupported(s.Pos(), "WITH NO DATA")
	}
	r := d.named(s.Name, catalog.MaterializedView)
	r.Options = d.options(s.With)
	viewOptions(s.With)
	d.b.ttl = stateTTL(r.Options)
	q := d.bindQuery(s.Query, true)
	if q.Limit != nil || q.Offset != nil {
		fail(s.Query.Pos(), types.CodeFeature, "LIMIT and OFFSET of a view must be constants")
	}
	r.Columns, r.Query, r.AppendOnly = queryColumns(q, s.Columns, s.Query.Pos()), d.queryText(s.Query), q.AppendOnly
	d.noteBounds(r, q)
	return d.create(r, s.IfNotExists)
}

func (d *ddl) sink(s *sql.CreateSink) catalog.Command {
	r := d.named(s.Name, catalog.Sink)
	var q *sql.Query
	if s.Query != nil {
		q, r.Query = s.Query, d.queryText(s.Query)
	} else {
		rel := d.b.relation(s.From)
		r.From = rel.ID
		r.Query = "SELECT * FROM " + catalog.QuoteIdent(rel.Schema) + "." + catalog.QuoteIdent(rel.Name)
		q = parseQuery(r.Query, "sink "+r.Name)
	}
	p := d.bindQuery(q, true)
	r.Columns, r.AppendOnly = queryColumns(p, nil, s.Pos()), p.AppendOnly
	r.Options = d.options(s.With)
	r.Format = d.format(s.Format)
	if _, ok := r.Option("connector"); !ok {
		failHint(s.Pos(), types.CodeInvalidParameter, "Add WITH (connector = '...').", "sink %q has no connector", r.Name)
	}
	d.checkOptions(r, s.Pos())
	d.noteBounds(r, p)
	return d.create(r, s.IfNotExists)
}

func (d *ddl) index(s *sql.CreateIndex) catalog.Command {
	on := d.b.relation(s.Table.Name)
	switch on.Kind {
	case catalog.Table, catalog.MaterializedView:
	default:
		fail(s.Table.Pos(), types.CodeWrongObject, "cannot create index on relation %q", on.Name)
	}
	switch {
	case s.Unique:
		failHint(s.Pos(), types.CodeFeature, "Use a PRIMARY KEY.", "a UNIQUE index is not supported yet")
	case s.Where != nil:
		unsupported(s.Where.Pos(), "a partial index")
	case len(s.Include) > 0:
		unsupported(s.Include[0].Pos(), "INCLUDE")
	case s.Method != "" && s.Method != "btree" && s.Method != "hash":
		fail(s.Pos(), types.CodeUndefinedObject, "access method %q does not exist", s.Method)
	}
	x := &catalog.IndexDef{On: on.ID}
	r := &catalog.Relation{Schema: on.Schema, Kind: catalog.Index, Index: x, SQL: d.sql, SearchPath: slices.Clone(d.b.path)}
	var parts []string
	sc := d.rowScope(on)
	for _, el := range s.Elems {
		e := d.b.settle(d.b.expr(&exprCtx{sc: sc, clause: "index expressions"}, el.X), el.X.Pos())
		x.Desc = append(x.Desc, el.Dir == sql.SortDesc)
		name := outputName(el.X)
		if c, ok := e.(expr.Col); ok {
			x.Keys = append(x.Keys, indexOf(colIDs(sc.cols), c.Index))
		} else {
			if hasVolatile(e) || d.b.usesNow {
				fail(el.X.Pos(), "42P17", "functions in index expression must be marked IMMUTABLE")
			}
			x.Keys, x.Exprs = append(x.Keys, -1), append(x.Exprs, sql.Format(el.X))
			if name == "?column?" {
				name = "expr"
			}
		}
		parts = append(parts, name)
		r.Columns = append(r.Columns, catalog.Column{Name: name, Type: e.Type()})
	}
	r.Name = s.Name.Text
	if r.Name == "" {
		r.Name = madeName(on.Name, strings.Join(parts, "_"), "idx", func(n string) bool { return d.cat().Lookup(nil, r.Schema, n) != nil })
	}
	return d.create(r, s.IfNotExists)
}

func colIDs(cols []scopeCol) []int {
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = c.id
	}
	return out
}

func (d *ddl) schema(s *sql.CreateSchema) catalog.Command {
	if len(s.Elems) > 0 || s.Authorization != nil {
		unsupported(s.Pos(), "CREATE SCHEMA with elements or an owner")
	}
	return catalog.Command{Kind: catalog.CreateSchema, Schema: s.Name.Text, IfNotExists: s.IfNotExists}
}

var dropKinds = map[string]catalog.Kind{
	"table": catalog.Table, "source": catalog.Source, "view": catalog.View, "materialized view": catalog.MaterializedView,
	"sink": catalog.Sink, "index": catalog.Index,
}

func (d *ddl) drop(s *sql.Drop) catalog.Command {
	cmd := catalog.Command{Kind: catalog.DropRelations, IfExists: s.IfExists, Cascade: s.Behavior == sql.Cascade}
	if s.Kind == "schema" {
		cmd.Kind = catalog.DropSchemas
		for _, o := range s.Objects {
			cmd.Targets = append(cmd.Targets, catalog.Target{Name: o.Name.Last()})
		}
		return cmd
	}
	switch s.Kind {
	case "role", "user", "group":
		return d.dropRoles(s)
	case "function":
		return d.dropFunctions(s)
	}
	kind, ok := dropKinds[s.Kind]
	if !ok {
		unsupported(s.Pos(), "DROP %s", strings.ToUpper(s.Kind))
	}
	cmd.Drops = kind
	for _, o := range s.Objects {
		t := catalog.Target{Schema: o.Name.Schema(), Name: o.Name.Last()}
		if t.Schema == "" {
			if rel := d.cat().Lookup(d.b.path, "", t.Name); rel != nil {
				t.Schema = rel.Schema
			}
		}
		cmd.Targets = append(cmd.Targets, t)
	}
	return cmd
}

func (d *ddl) comment(s *sql.Comment) catalog.Command {
	cmd := catalog.Command{Kind: catalog.SetComment}
	if !s.Null {
		cmd.Comment = s.Text
	}
	n := s.Object.Name
	if s.Kind == "column" {
		if len(n.Parts) < 2 {
			fail(n.Pos(), types.CodeSyntax, "column name must be qualified")
		}
		cmd.Column = n.Last()
		n.Parts = n.Parts[:len(n.Parts)-1]
	} else if _, ok := dropKinds[s.Kind]; !ok {
		unsupported(s.Pos(), "COMMENT ON %s", strings.ToUpper(s.Kind))
	}
	rel := d.b.relation(n)
	if kind, ok := dropKinds[s.Kind]; ok && rel.Kind != kind {
		fail(n.Pos(), types.CodeWrongObject, "%q is not a %s", rel.Name, kind)
	}
	cmd.Targets = []catalog.Target{{Schema: rel.Schema, Name: rel.Name}}
	return cmd
}

// PlanRelation plans the query of a materialized view or sink of the catalog as
// it was made: with its own search path.
func (p *Planner) PlanRelation(rel *catalog.Relation) (out *Query, err error) {
	defer guard(&err)
	b := p.binder()
	b.inView, b.path, b.ttl = true, rel.SearchPath, stateTTL(rel.Options)
	b.top = parseQuery(rel.Query, rel.Describe())
	r := b.query(b.top, nil, nil)
	r.order = nil
	if len(r.cols) != len(rel.Columns) {
		fail(noPos, types.CodeInternal, "%s gives %d columns, %d expected", rel.Describe(), len(r.cols), len(rel.Columns))
	}
	for i := range r.cols {
		r.cols[i].name = rel.Columns[i].Name
	}
	return b.finish(r, rel.Name), nil
}
