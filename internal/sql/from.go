package sql

// tableExpr reads an item of a FROM list with its joins.
func (p *parser) tableExpr() TableExpr {
	outer := p.enter()
	defer p.leave(outer)
	return p.joins(p.tablePrimary())
}

// joins extends l by the joins that follow.
func (p *parser) joins(l TableExpr) TableExpr {
	for p.startsJoin() {
		l = p.join(l)
		p.grow()
	}
	return l
}

// startsJoin reports whether a join follows.
func (p *parser) startsJoin() bool {
	return p.isAny("join", "cross", "natural", "inner", "left", "right", "full") || p.startsAsOfJoin()
}

func (p *parser) startsAsOfJoin() bool {
	return p.isWord("asof") && (p.peek(1).isWord("join") || p.peek(1).isWord("left") || p.peek(1).isWord("inner"))
}

// join reads one join behind l.
func (p *parser) join(l TableExpr) TableExpr {
	j := &Join{At: At(l.Pos()), Op: p.here(), L: l}
	if p.accept("cross") {
		p.expect("join")
		j.Kind, j.R = CrossJoin, p.tablePrimary()
		return j
	}
	if p.startsAsOfJoin() {
		p.advance()
		j.AsOf = true
	}
	if !j.AsOf {
		j.Natural = p.accept("natural")
	}
	switch {
	case p.accept("left"):
		j.Kind = LeftJoin
		p.accept("outer")
	case p.isWord("right") && !j.AsOf:
		p.advance()
		j.Kind = RightJoin
		p.accept("outer")
	case p.isWord("full") && !j.AsOf:
		p.advance()
		j.Kind = FullJoin
		p.accept("outer")
	default:
		p.accept("inner")
	}
	p.expect("join")
	if j.Natural {
		j.R = p.tablePrimary()
		return j
	}
	outer := p.enter()
	r := p.tablePrimary()
	for !p.isAny("on", "using") && p.startsJoin() { // a JOIN b JOIN c ON .. ON ..
		r = p.join(r)
		p.grow()
	}
	p.leave(outer)
	j.R = r
	if p.accept("on") {
		j.On = p.expr()
		return j
	}
	p.expect("using")
	j.Using = parenList(p, p.colID)
	if p.accept("as") {
		j.UsingAlias = p.colID()
	}
	return j
}

// tablePrimary reads an item of FROM without joins.
func (p *parser) tablePrimary() TableExpr {
	t := p.rawTable()
	for p.isWord("match_recognize") && p.peek(1).isOp("(") {
		t = p.matchRecognize(t)
		p.grow()
	}
	return t
}

func (p *parser) rawTable() TableExpr {
	at := p.here()
	switch {
	case p.isOp("("):
		q, t := p.parenTable()
		if q != nil {
			return p.subqueryTable(at, q, false)
		}
		return t
	case p.accept("lateral"):
		if p.isOp("(") {
			return p.subqueryTable(at, p.subquery(), true)
		}
		return p.funcTable(at, true)
	case p.isWords("rows", "from") && p.peek(2).isOp("("):
		return p.funcTable(at, false)
	case p.isWord("table") && p.peek(1).isOp("("):
		return p.funcTable(at, false)
	case p.isWord("xmltable") && p.peek(1).isOp("("):
		p.notSupported("XML functions")
	case p.startsTableFunc():
		return p.funcTable(at, false)
	}
	t := p.relation()
	if p.tok.isOp("(") && !t.Only && !t.Star {
		return p.funcTableAlias(p.namedFunc(at, t.Name), false)
	}
	p.asOf(t)
	t.Alias = p.alias()
	if t.AsOf == nil {
		p.asOf(t)
	}
	if p.isWord("tablesample") {
		p.notSupported("TABLESAMPLE clauses")
	}
	return t
}

// asOf reads FOR SYSTEM_TIME AS OF.
func (p *parser) asOf(t *TableRef) {
	if p.isWords("for", "system_time") {
		p.accept("for", "system_time")
		p.expect("as", "of")
		t.AsOf = p.expr()
	}
}

// startsTableFunc reports whether a function begins here that is not written as a plain name and arguments.
func (p *parser) startsTableFunc() bool {
	if p.tok.kind != tokKeyword {
		return false
	}
	switch p.tok.text {
	case "current_date", "current_role", "current_user", "session_user", "user", "current_catalog", "current_time", "current_timestamp",
		"localtime", "localtimestamp", "cast", "current_schema":
		return true
	case "collation":
		return p.peek(1).isWord("for")
	}
	return p.peek(1).isOp("(") && p.tok.kw.class != unreserved && !p.isWord("only")
}

// parenTable reads ( query ) or ( join ) [alias]. Exactly one result is set.
func (p *parser) parenTable() (*Query, TableExpr) {
	outer := p.enter()
	defer p.leave(outer)
	at := p.here()
	p.expectOp("(")
	var t TableExpr
	switch {
	case p.startsQuery():
		q := p.query()
		p.expectOp(")")
		return q, nil
	case p.isOp("("):
		start := p.here()
		q, inner := p.parenTable()
		if q != nil {
			if q = p.queryRest(q, int(start)); p.acceptOp(")") {
				return q, nil
			}
			inner = p.subqueryTable(start, q, false)
		}
		t = p.joins(inner)
	default:
		t = p.tableExpr()
	}
	j, ok := t.(*Join)
	if !ok {
		p.unexpected()
	}
	p.expectOp(")")
	if p.aliasFollows() {
		if j.Alias != nil { // ((a JOIN b) AS x) AS y, which is no join
			p.unexpected()
		}
		j.Alias = p.alias()
	}
	j.At = at
	return nil, j
}

// subqueryTable reads the alias of a query in FROM, which PostgreSQL 15 demands.
func (p *parser) subqueryTable(at At, q *Query, lateral bool) TableExpr {
	t := &SubqueryTable{At: at, Lateral: lateral, Query: q, Alias: p.alias()}
	if t.Alias == nil && !p.isWord("match_recognize") {
		if _, ok := unwrap(q).(*Values); ok {
			p.fail(int(at), "42601", "VALUES in FROM must have an alias", "For example, FROM (VALUES ...) [AS] foo.")
		}
		p.fail(int(at), "42601", "subquery in FROM must have an alias", "For example, FROM (SELECT ...) [AS] foo.")
	}
	return t
}

// aliasFollows reports whether an alias comes next and not a streaming clause.
func (p *parser) aliasFollows() bool {
	if p.isWord("as") {
		return true
	}
	if !p.tok.isColID() || p.startsEmit() || p.startsAsOfJoin() {
		return false
	}
	if p.isWord("match_recognize") && p.peek(1).isOp("(") {
		return false
	}
	return true
}

// alias reads [AS] name [(columns)]; it returns nil if there is none.
func (p *parser) alias() *Alias {
	if !p.aliasFollows() {
		return nil
	}
	a := &Alias{At: p.here()}
	p.accept("as")
	a.Name = p.colID()
	if p.isOp("(") {
		a.Columns = parenList(p, p.colID)
	}
	return a
}

// funcAlias reads the alias of a function, which may define columns with types.
func (p *parser) funcAlias() *Alias {
	if !p.aliasFollows() {
		return nil
	}
	a := &Alias{At: p.here()}
	as := p.accept("as")
	if as && p.isOp("(") {
		a.Defs = parenList(p, p.funcColumn)
		return a
	}
	a.Name = p.colID()
	if !p.isOp("(") {
		return a
	}
	if n := p.peek(2); n.isOp(",") || n.isOp(")") {
		a.Columns = parenList(p, p.colID)
	} else {
		a.Defs = parenList(p, p.funcColumn)
	}
	return a
}

// funcColumn reads name type [COLLATE c].
func (p *parser) funcColumn() ColumnDef {
	c := ColumnDef{At: p.here(), Name: p.colID(), Type: p.typeName()}
	if p.accept("collate") {
		c.Collation = p.name()
	}
	return c
}

// funcTable reads a function, ROWS FROM or Flink's TABLE(...) in FROM.
func (p *parser) funcTable(at At, lateral bool) TableExpr {
	if p.isWord("table") {
		p.advance()
		p.expectOp("(")
		t := p.tableFunc(at)
		p.expectOp(")")
		switch t := t.(type) {
		case *WindowTable:
			t.Flink = true
		}
		return p.funcTableAlias(t, lateral)
	}
	if p.isWords("rows", "from") && p.peek(2).isOp("(") {
		f := &FuncTable{At: at, RowsFrom: true}
		p.accept("rows", "from")
		f.Funcs = parenList(p, p.rowsFromItem)
		return p.funcTableAlias(f, lateral)
	}
	return p.funcTableAlias(p.tableFunc(at), lateral)
}

func (p *parser) rowsFromItem() FuncItem {
	it := FuncItem{At: p.here()}
	f, ok := p.plainFunc(it.At).(*FuncTable)
	if !ok {
		p.unexpected()
	}
	it.Call = f.Funcs[0].Call
	if p.accept("as") {
		it.Defs = parenList(p, p.funcColumn)
	}
	return it
}

// tableFunc reads a single function, which may be a window table function.
func (p *parser) tableFunc(at At) TableExpr {
	if p.tok.isTypeFunc() || p.tok.isColID() && p.peek(1).isOp(".") {
		if _, ok := windowKinds[p.tok.text]; ok && !p.tok.quoted && p.peek(1).isOp("(") {
			return p.namedFunc(at, Name{At: at, Parts: []Ident{p.take()}})
		}
	}
	return p.plainFunc(at)
}

// plainFunc reads PostgreSQL's func_expr_windowless.
func (p *parser) plainFunc(at At) TableExpr {
	var x Expr
	if p.tok.kind == tokKeyword {
		x = p.special()
	}
	if x == nil {
		n := Name{At: at}
		if first := p.tok; first.isTypeFunc() && p.peek(1).isOp("(") {
			n.Parts = []Ident{p.take()}
		} else if n = p.name(); len(n.Parts) == 1 {
			p.unexpected()
		}
		if !p.isOp("(") {
			p.unexpected()
		}
		x = p.call(n)
	}
	return &FuncTable{At: at, Funcs: []FuncItem{{At: at, Call: x}}}
}

// namedFunc reads the arguments of a function in FROM whose name was read.
func (p *parser) namedFunc(at At, name Name) TableExpr {
	if kind, ok := windowKinds[name.Parts[0].Text]; ok && len(name.Parts) == 1 && !name.Parts[0].Quoted {
		return p.windowTable(at, kind)
	}
	return &FuncTable{At: at, Funcs: []FuncItem{{At: at, Call: p.call(name)}}}
}

// funcTableAlias reads WITH ORDINALITY and the alias.
func (p *parser) funcTableAlias(t TableExpr, lateral bool) TableExpr {
	switch t := t.(type) {
	case *WindowTable:
		t.Lateral = lateral
		t.Alias = p.alias()
	case *FuncTable:
		t.Lateral = lateral
		t.Ordinality = p.accept("with", "ordinality")
		t.Alias = p.funcAlias()
	}
	return t
}
