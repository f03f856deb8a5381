package sql

// createFlags are the words between CREATE and the kind of the object.
type createFlags struct {
	orReplace, temp, unlogged bool
}

// create reads CREATE.
func (p *parser) create() Stmt {
	start := p.tok.pos
	p.expect("create")
	var f createFlags
	if p.accept("or") {
		p.expect("replace")
		f.orReplace = true
	}
	if f.orReplace {
		return p.createReplaceable(start, f)
	}
	switch {
	case p.isAny("local", "global"):
		p.advance()
		if !p.isAny("temp", "temporary") {
			p.unexpected()
		}
		p.advance()
		f.temp = true
	case p.isAny("temp", "temporary"):
		p.advance()
		f.temp = true
	case p.accept("unlogged"):
		f.unlogged = true
	}
	switch {
	case p.accept("table"):
		return p.createTable(start, f)
	case !f.unlogged && p.accept("sequence"):
		return p.createSequence(start, f)
	case f.temp && p.accept("source"):
		return p.createSource(start, f)
	case !f.unlogged && p.isAny("view", "recursive"):
		return p.createView(start, f)
	case f.unlogged && p.isWord("materialized"):
		return p.createMatView(start, f)
	case f.temp || f.unlogged:
		p.unexpected()
	}
	return p.createOther(start)
}

// createReplaceable reads what may follow CREATE OR REPLACE.
func (p *parser) createReplaceable(start int, f createFlags) Stmt {
	if p.isAny("temp", "temporary") {
		p.advance()
		f.temp = true
	}
	switch {
	case p.isAny("view", "recursive"):
		return p.createView(start, f)
	case f.temp:
	case p.isWord("materialized"):
		return p.createMatView(start, f)
	case p.isAny("function", "procedure"):
		return p.createFunction(start, f)
	}
	p.unexpected()
	return nil
}

// createOther reads CREATE of the kinds that take no flags.
func (p *parser) createOther(start int) Stmt {
	switch {
	case p.accept("source"):
		return p.createSource(start, createFlags{})
	case p.accept("sink"):
		return p.createSink(start)
	case p.isWord("materialized"):
		return p.createMatView(start, createFlags{})
	case p.isAny("unique", "index"):
		return p.createIndex(start)
	case p.accept("assertion"):
		return p.createAssertion(start)
	case p.isAny("function", "procedure"):
		return p.createFunction(start, createFlags{})
	case p.accept("type"):
		return p.createType(start)
	case p.accept("domain"):
		return p.createDomain(start)
	case p.accept("schema"):
		return p.createSchema(start)
	case p.accept("database"):
		return p.createDatabase(start)
	case p.isAny("role", "user", "group"):
		return p.createRole(start)
	case p.isAny("secret", "connection"):
		return p.createSecret(start)
	}
	p.unexpected()
	return nil
}

// ifNotExists reads IF NOT EXISTS.
func (p *parser) ifNotExists() bool {
	if !p.isWords("if", "not") {
		return false
	}
	p.accept("if", "not")
	p.expect("exists")
	return true
}

func (p *parser) ifExists() bool { return p.accept("if", "exists") }

// withOptions reads WITH (options) if it comes next.
func (p *parser) withOptions() []Option {
	if !p.isWord("with") || !p.peek(1).isOp("(") {
		return nil
	}
	p.advance()
	return p.equalsOptions()
}

// equalsOptions reads (name = value, ...).
func (p *parser) equalsOptions() []Option {
	return parenList(p, func() Option { return p.option(optionEquals) })
}

func (p *parser) createTable(start int, f createFlags) Stmt {
	t := &CreateTable{Temp: f.temp, Unlogged: f.unlogged, IfNotExists: p.ifNotExists(), Name: p.relName()}
	if p.isWord("as") || p.isWord("using") || !p.isOp("(") || p.isColumnNames() {
		return p.createTableAs(start, t)
	}
	p.expectOp("(")
	if !p.isOp(")") {
		t.Elems = list(p, p.tableElem)
	}
	p.expectOp(")")
	if p.accept("inherits") {
		t.Inherits = parenList(p, p.relName)
	}
	if p.isWord("partition") {
		p.notSupported("partitioned tables")
	}
	if p.accept("append") {
		p.expect("only")
		t.AppendOnly = true
	}
	if p.accept("without") {
		p.expect("oids")
	} else {
		t.With = p.withOptions()
	}
	t.OnCommit = p.onCommit()
	if p.accept("tablespace") {
		t.Tablespace = p.colID()
	}
	t.Format = p.formatClause()
	t.Span = p.span(start)
	return t
}

// isColumnNames tells CREATE TABLE t (a, b) AS from CREATE TABLE t (a int).
func (p *parser) isColumnNames() bool {
	n := p.peek(2)
	return p.peek(1).isColID() && (n.isOp(",") || n.isOp(")"))
}

func (p *parser) createTableAs(start int, t *CreateTable) Stmt {
	c := &CreateTableAs{Name: t.Name, Temp: t.Temp, Unlogged: t.Unlogged, IfNotExists: t.IfNotExists}
	if p.isOp("(") {
		c.Columns = parenList(p, p.colID)
	}
	if p.accept("without") {
		p.expect("oids")
	} else {
		c.With = p.withOptions()
	}
	c.OnCommit = p.onCommit()
	if p.accept("tablespace") {
		c.Tablespace = p.colID()
	}
	p.expect("as")
	switch {
	case p.isWord("execute"):
		c.Query = p.execute()
	case p.startsQuery() || p.isOp("("):
		c.Query = p.query()
	default:
		p.unexpected()
	}
	c.NoData = p.withNoData()
	c.Span = p.span(start)
	return c
}

// onCommit reads ON COMMIT.
func (p *parser) onCommit() string {
	if !p.accept("on") {
		return ""
	}
	p.expect("commit")
	switch {
	case p.accept("drop"):
		return "drop"
	case p.accept("delete"):
		p.expect("rows")
		return "delete rows"
	}
	p.expect("preserve", "rows")
	return "preserve rows"
}

// formatClause reads FORMAT x [ENCODE y] [(options)].
func (p *parser) formatClause() *FormatClause {
	if !p.isWord("format") {
		return nil
	}
	f := &FormatClause{At: p.here()}
	p.advance()
	f.Format = p.label().Text
	if p.accept("encode") {
		f.Encode = p.label().Text
	}
	if p.isOp("(") {
		f.Options = p.equalsOptions()
	}
	return f
}

func (p *parser) createSource(start int, f createFlags) Stmt {
	s := &CreateSource{Temp: f.temp, IfNotExists: p.ifNotExists(), Name: p.relName()}
	if p.acceptOp("(") {
		if !p.isOp(")") {
			s.Elems = list(p, p.sourceElem)
		}
		p.expectOp(")")
	}
	s.With = p.withOptions()
	s.Format = p.formatClause()
	if s.With == nil {
		s.With = p.withOptions()
	}
	s.Span = p.span(start)
	return s
}

func (p *parser) createSink(start int) Stmt {
	s := &CreateSink{IfNotExists: p.ifNotExists(), Name: p.relName()}
	if p.accept("from") {
		s.From = p.relName()
	} else {
		p.expect("as")
		if !p.startsQuery() && !p.isOp("(") {
			p.unexpected()
		}
		s.Query = p.query()
	}
	s.With = p.withOptions()
	s.Format = p.formatClause()
	s.Span = p.span(start)
	return s
}

func (p *parser) createView(start int, f createFlags) Stmt {
	v := &CreateView{OrReplace: f.orReplace, Temp: f.temp}
	v.Recursive = p.accept("recursive")
	p.expect("view")
	v.IfNotExists = !v.OrReplace && !v.Recursive && p.ifNotExists()
	v.Name = p.relName()
	if p.isOp("(") || v.Recursive {
		v.Columns = parenList(p, p.colID)
	}
	v.With = p.withOptions()
	p.expect("as")
	if !p.startsQuery() && !p.isOp("(") {
		p.unexpected()
	}
	v.Query = p.query()
	if p.accept("with") {
		switch {
		case p.accept("local"):
			v.Check = "local"
		default:
			p.accept("cascaded")
			v.Check = "cascaded"
		}
		p.expect("check", "option")
		if v.Recursive {
			p.fail(p.lastEnd, "0A000", "WITH CHECK OPTION not supported on recursive views", "")
		}
	}
	v.Span = p.span(start)
	return v
}

func (p *parser) createMatView(start int, f createFlags) Stmt {
	p.expect("materialized", "view")
	v := &CreateMatView{OrReplace: f.orReplace, IfNotExists: p.ifNotExists(), Name: p.relName()}
	if p.isOp("(") {
		v.Columns = parenList(p, p.colID)
	}
	v.With = p.withOptions()
	if p.accept("tablespace") {
		v.Tablespace = p.colID()
	}
	p.expect("as")
	if !p.startsQuery() && !p.isOp("(") {
		p.unexpected()
	}
	v.Query = p.query()
	v.NoData = p.withNoData()
	v.Span = p.span(start)
	return v
}

func (p *parser) createIndex(start int) Stmt {
	x := &CreateIndex{Unique: p.accept("unique")}
	p.expect("index")
	x.Concurrently = p.accept("concurrently")
	if x.IfNotExists = p.ifNotExists(); x.IfNotExists || !p.isWord("on") {
		x.Name = p.colID()
	}
	p.expect("on")
	x.Table = p.relation()
	if p.accept("using") {
		x.Method = p.colID().Text
	}
	x.Elems = parenList(p, p.indexElem)
	if p.accept("include") {
		x.Include = parenList(p, p.indexElem)
	}
	x.NullsNotDist = p.nullsNotDistinct()
	x.With = p.withOptions()
	if p.accept("tablespace") {
		x.Tablespace = p.colID()
	}
	if p.accept("where") {
		x.Where = p.expr()
	}
	x.Span = p.span(start)
	return x
}

// nullsNotDistinct reads NULLS [NOT] DISTINCT.
func (p *parser) nullsNotDistinct() bool {
	if p.accept("nulls", "not") {
		p.expect("distinct")
		return true
	}
	p.accept("nulls", "distinct")
	return false
}

// indexElem reads a column or expression of an index.
func (p *parser) indexElem() IndexElem {
	e := IndexElem{At: p.here()}
	switch n := p.peek(1); {
	case p.isOp("("):
		p.advance()
		e.X = p.expr()
		p.expectOp(")")
	case p.tok.isColID() && !n.isOp("(") && !(n.isOp(".") && p.indexCallFollows()):
		id := p.take()
		e.X = &ColumnRef{At: id.At, Parts: []Ident{id}}
	default:
		f, ok := p.plainFunc(e.At).(*FuncTable)
		if !ok {
			p.unexpected()
		}
		e.X = f.Funcs[0].Call
	}
	if p.accept("collate") {
		e.Collation = p.name()
	}
	if p.tok.isColID() && !p.isWords("nulls", "first") && !p.isWords("nulls", "last") {
		e.OpClass = p.name()
		if p.isOp("(") {
			e.OpOptions = p.equalsOptions()
		}
	}
	e.Dir = p.sortDir()
	e.Nulls = p.nullsOrder()
	return e
}

// indexCallFollows reports whether a qualified name of a function follows, as in (s.f(a)).
func (p *parser) indexCallFollows() bool {
	k := 1
	for p.peek(k).isOp(".") && p.peek(k+1).isLabel() && k < 8 {
		k += 2
	}
	return p.peek(k).isOp("(")
}

func (p *parser) createAssertion(start int) Stmt {
	a := &CreateAssertion{IfNotExists: p.ifNotExists(), Name: p.relName()}
	p.expect("check")
	p.expectOp("(")
	a.X = p.expr()
	p.expectOp(")")
	a.Span = p.span(start)
	return a
}

func (p *parser) createType(start int) Stmt {
	t := &CreateType{Name: p.name()}
	switch {
	case !p.isWord("as") && !p.isOp("("):
		t.Shell = true
	case p.isOp("("):
		p.notSupported("base types")
	default:
		p.expect("as")
		switch {
		case p.accept("enum"):
			t.Enum = true
			p.expectOp("(")
			if !p.isOp(")") {
				t.Labels = list(p, p.stringConst)
			}
			p.expectOp(")")
		case p.isWord("range"):
			p.notSupported("range types")
		default:
			p.expectOp("(")
			if !p.isOp(")") {
				t.Fields = list(p, p.funcColumn)
			}
			p.expectOp(")")
		}
	}
	t.Span = p.span(start)
	return t
}

func (p *parser) createDomain(start int) Stmt {
	d := &CreateDomain{Name: p.name()}
	p.accept("as")
	d.Type = p.typeName()
	for {
		if p.accept("collate") {
			if !d.Collation.IsZero() {
				p.fail(p.lastEnd, "42601", "multiple COLLATE clauses not allowed", "")
			}
			d.Collation = p.name()
			continue
		}
		c, ok := p.columnConstraint(false)
		if !ok {
			break
		}
		d.Constraints = append(d.Constraints, c)
	}
	d.Span = p.span(start)
	return d
}

func (p *parser) createSequence(start int, f createFlags) Stmt {
	s := &CreateSequence{Temp: f.temp, IfNotExists: p.ifNotExists(), Name: p.relName()}
	s.Options = p.sequenceOptions()
	s.Span = p.span(start)
	return s
}

// sequenceOptions reads INCREMENT BY n, START WITH n and the like.
func (p *parser) sequenceOptions() []Option {
	var opts []Option
	for {
		o := Option{At: p.here(), Name: p.tok.text}
		switch {
		case p.isAny("cache", "maxvalue", "minvalue"):
			p.advance()
			o.Value = p.signedNumber()
		case p.accept("cycle"):
		case p.isAny("increment", "start", "restart"):
			word := o.Name
			p.advance()
			by := word == "increment" && p.accept("by") || word != "increment" && p.accept("with")
			if by || word != "restart" || p.tok.kind == tokInt || p.tok.kind == tokFloat || p.isOp("-") || p.isOp("+") {
				o.Value = p.signedNumber()
			}
		case p.accept("no"):
			o.Name = "no " + p.objectKind("maxvalue", "minvalue", "cycle")
		case p.accept("as"):
			t := p.simpleType()
			o.Value = &Word{At: t.At, Text: joinIdents(t.Name.Parts)}
		case p.accept("owned"):
			p.expect("by")
			n := p.name()
			o.Name, o.Value = "owned by", &Word{At: n.At, Text: joinIdents(n.Parts)}
		default:
			return opts
		}
		opts = append(opts, o)
	}
}

func (p *parser) createSchema(start int) Stmt {
	s := &CreateSchema{IfNotExists: p.ifNotExists()}
	if !p.isWord("authorization") {
		s.Name = p.colID()
	}
	if s.Name.Text == "" || p.isWord("authorization") {
		p.expect("authorization")
		r := p.role()
		s.Authorization = &r
	}
	for p.isAny("create", "grant") {
		if s.IfNotExists {
			p.fail(p.tok.pos, "0A000", "CREATE SCHEMA IF NOT EXISTS cannot include schema elements"+p.near(), "")
		}
		if p.isWord("grant") {
			s.Elems = append(s.Elems, p.grant())
			continue
		}
		t := p.tok
		outer := p.enter()
		e := p.create()
		p.leave(outer)
		switch e.(type) {
		case *CreateTable, *CreateView, *CreateIndex, *CreateSequence:
			s.Elems = append(s.Elems, e)
		default:
			p.unexpectedAt(t)
		}
	}
	s.Span = p.span(start)
	return s
}

func (p *parser) createDatabase(start int) Stmt {
	d := &CreateDatabase{Name: p.colID()}
	p.accept("with")
	for p.tok.kind == tokIdent || p.isAny("connection", "encoding", "location", "owner", "tablespace", "template") {
		o := Option{At: p.here(), Name: p.tok.text}
		p.advance()
		if o.Name == "connection" {
			p.expect("limit")
			o.Name = "connection limit"
		}
		p.acceptOp("=")
		if at := p.here(); p.accept("default") {
			o.Value = &Word{At: at, Text: "default"}
		} else {
			o.Value = p.setValue()
		}
		d.Options = append(d.Options, o)
	}
	d.Span = p.span(start)
	return d
}

func (p *parser) createSecret(start int) Stmt {
	s := &CreateSecret{Connection: p.isWord("connection")}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.relName()
	s.With = p.withOptions()
	if !s.Connection {
		p.expect("as")
		s.Value = p.expr()
	}
	s.Span = p.span(start)
	return s
}
