package sql

// stmt reads one statement.
func (p *parser) stmt() Stmt {
	outer := p.enter()
	defer p.leave(outer)
	if p.isOp("(") {
		return p.parenQuery()
	}
	if p.tok.quoted || p.tok.kind != tokKeyword && p.tok.kind != tokIdent {
		p.unexpected()
	}
	if s := p.preparableOrNil(); s != nil {
		return s
	}
	switch p.tok.text {
	case "create":
		return p.create()
	case "alter":
		return p.alter()
	case "drop":
		return p.drop()
	case "truncate":
		return p.truncate()
	case "comment":
		return p.comment()
	case "grant", "revoke":
		return p.grant()
	case "copy":
		return p.copy()
	case "subscribe":
		return p.subscribe()
	case "explain":
		return p.explain()
	case "show":
		return p.show()
	case "set":
		return p.set()
	case "reset":
		return p.reset()
	case "begin", "start":
		return p.begin()
	case "commit", "end":
		return p.commit()
	case "rollback", "abort":
		return p.rollback()
	case "savepoint", "release":
		return p.savepoint()
	case "declare":
		return p.declare()
	case "fetch", "move":
		return p.fetch()
	case "close", "deallocate", "discard", "listen", "unlisten":
		return p.nameOrAll()
	case "prepare":
		return p.prepare()
	case "execute":
		return p.execute()
	case "notify":
		return p.notify()
	case "call":
		return p.callStmt()
	case "lock":
		return p.lock()
	case "flush", "checkpoint":
		return p.oneWord()
	case "analyze", "analyse", "vacuum":
		return p.maintenance()
	case "refresh":
		return p.refresh()
	}
	p.unexpected()
	return nil
}

// parenQuery reads a statement that begins with a parenthesis: ((SELECT ..) UNION ..).
func (p *parser) parenQuery() Stmt { return p.query() }

// preparable reads a statement that PREPARE, EXPLAIN and WITH take: a query, INSERT, UPDATE or DELETE.
func (p *parser) preparable() Stmt {
	if s := p.preparableOrNil(); s != nil {
		return s
	}
	p.unexpected()
	return nil
}

func (p *parser) preparableOrNil() Stmt {
	start := p.tok.pos
	switch {
	case p.isAny("select", "table", "values") || p.isOp("("):
		return p.query()
	case p.isAny("insert", "update", "delete"):
		return p.change(nil, start)
	case p.isWord("merge"):
		p.notSupported("MERGE statements")
	case p.isWord("with"):
		w := p.with()
		if p.isAny("insert", "update", "delete") {
			return p.change(w, start)
		}
		if p.isWord("merge") {
			p.notSupported("MERGE statements")
		}
		if !p.startsQuery() && !p.isOp("(") {
			p.unexpected()
		}
		return p.queryTail(w, p.queryBody(precUnion), start)
	}
	return nil
}

// change reads INSERT, UPDATE or DELETE behind a WITH that was read.
func (p *parser) change(w *With, start int) Stmt {
	switch {
	case p.isWord("insert"):
		return p.insert(w, start)
	case p.isWord("update"):
		return p.update(w, start)
	}
	return p.delete(w, start)
}

// explain reads EXPLAIN.
func (p *parser) explain() Stmt {
	e, start := &Explain{}, p.tok.pos
	p.expect("explain")
	if p.isOp("(") && !p.explainsQuery() {
		e.Options = parenList(p, p.utilityOption)
	} else {
		if p.isAny("analyze", "analyse") {
			p.advance()
			e.Analyze = true
		}
		e.Verbose = p.accept("verbose")
	}
	for _, o := range e.Options {
		if t, ok := o.Text(); !ok || t == "true" || t == "on" || t == "1" {
			e.Analyze = e.Analyze || o.Name == "analyze" || o.Name == "analyse"
			e.Verbose = e.Verbose || o.Name == "verbose"
		}
	}
	n := p.peek(1)
	switch {
	case p.isAny("view", "sink", "source", "index") && n.isColID():
		e.ViewKind = p.tok.text
		p.advance()
		e.ViewName = p.relName()
	case p.isWords("materialized", "view"):
		p.accept("materialized", "view")
		e.ViewKind, e.ViewName = "materialized view", p.relName()
	default:
		e.Stmt = p.explainable()
	}
	e.Span = p.span(start)
	return e
}

// utilityOption reads an option of EXPLAIN, VACUUM and ANALYZE, whose names are no reserved words but for ANALYZE.
func (p *parser) utilityOption() Option {
	if !p.tok.isNonReserved() && !p.isAny("analyze", "analyse") {
		p.unexpected()
	}
	if p.peek(1).isOp(".") {
		p.advance()
		p.unexpected()
	}
	return p.option(optionScalar)
}

// explainsQuery tells EXPLAIN (SELECT ..) from EXPLAIN (options).
func (p *parser) explainsQuery() bool {
	n := p.peek(1)
	return n.isOp("(") || n.isWord("select") || n.isWord("with") || n.isWord("table") || n.isWord("values")
}

func (p *parser) explainable() Stmt {
	switch {
	case p.isWord("create"):
		start := p.tok
		s := p.create()
		switch s.(type) {
		case *CreateTableAs, *CreateMatView, *CreateSink, *CreateIndex:
			return s
		}
		p.unexpectedAt(start)
	case p.isWord("declare"):
		return p.declare()
	case p.isWord("execute"):
		return p.execute()
	case p.isWord("subscribe"):
		return p.subscribe()
	case p.isWord("refresh"):
		return p.refresh()
	}
	return p.preparable()
}

// showObjects are the words of SHOW that list objects.
var showObjects = map[string]bool{"sources": true, "tables": true, "views": true, "sinks": true, "indexes": true, "schemas": true,
	"databases": true, "functions": true, "assertions": true, "subscriptions": true, "jobs": true, "cluster": true, "nodes": true, "secrets": true,
	"connections": true, "types": true, "roles": true}

// show reads SHOW.
func (p *parser) show() Stmt {
	s, start := &Show{}, p.tok.pos
	p.expect("show")
	switch {
	case p.accept("all"):
		s.What = "all"
	case p.accept("time", "zone"):
		s.Name = "timezone"
	case p.accept("transaction", "isolation"):
		p.expect("level")
		s.Name = "transaction_isolation"
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
	case p.accept("create"):
		s.What, s.From = "create "+p.objectKind("source", "table", "view", "materialized view", "sink", "index", "assertion", "function"), p.relName()
	case p.isWord("columns") && (p.peek(1).isWord("from") || p.peek(1).isWord("in")):
		p.advance()
		p.advance()
		s.What, s.From = "columns", p.relName()
	case p.accept("materialized", "views"):
		s.What = "materialized views"
		p.showFilter(s)
	case p.tok.kind != tokString && !p.tok.quoted && showObjects[p.tok.text] && !p.peek(1).isOp("."):
		s.What = p.tok.text
		p.advance()
		p.showFilter(s)
	default:
		s.Name = p.varName()
	}
	s.Span = p.span(start)
	return s
}

// showFilter reads FROM schema and LIKE pattern.
func (p *parser) showFilter(s *Show) {
	if p.isAny("from", "in") {
		p.advance()
		s.From = p.name()
	}
	if p.accept("like") {
		s.Like = &StringLit{At: p.here()}
		s.Like.Value = p.stringConst()
	}
}

// objectKind reads one of the kinds, which are one or two words.
func (p *parser) objectKind(kinds ...string) string {
	for _, k := range kinds {
		if k == "materialized view" {
			if p.accept("materialized", "view") {
				return k
			}
		} else if p.accept(k) {
			return k
		}
	}
	p.unexpected()
	return ""
}

// varName reads a parameter's name.
func (p *parser) varName() string {
	id := p.colID()
	s := id.Text
	for p.acceptOp(".") {
		s += "." + p.colID().Text
	}
	return s
}

func (p *parser) subscribe() Stmt {
	s, start := &Subscribe{}, p.tok.pos
	p.expect("subscribe")
	if p.isWord("to") {
		p.advance()
	}
	if p.isOp("(") {
		s.Query = p.subquery()
	} else {
		s.Name = p.relName()
	}
	for p.subscribeClause(s) {
	}
	s.Span = p.span(start)
	return s
}

// subscribeClause reads one of the clauses that come once, in any order; it reports
// whether there was one.
func (p *parser) subscribeClause(s *Subscribe) bool {
	switch {
	case s.Options == nil && p.accept("with"):
		s.Options = parenList(p, func() Option { return p.option(optionWord) })
	case s.AsOf == nil && p.accept("as"):
		p.expect("of")
		s.AsOf = p.expr()
	case s.UpTo == nil && p.isWords("up", "to"):
		p.accept("up", "to")
		s.UpTo = p.expr()
	case s.Envelope == "" && p.accept("envelope"):
		s.Envelope = p.objectKind("upsert", "debezium")
		p.expectOp("(")
		p.expect("key")
		s.Key = parenList(p, p.colID)
		p.expectOp(")")
	default:
		return false
	}
	return true
}

func (p *parser) oneWord() Stmt {
	start, flush := p.tok.pos, p.isWord("flush")
	p.advance()
	if flush {
		return &Flush{p.span(start)}
	}
	return &Checkpoint{p.span(start)}
}

func (p *parser) callStmt() Stmt {
	start := p.tok.pos
	p.expect("call")
	f, ok := p.plainFunc(p.here()).(*FuncTable)
	call, isCall := f.Funcs[0].Call.(*FuncCall)
	if !ok || !isCall {
		p.unexpected()
	}
	return &Call{Func: call, Span: p.span(start)}
}

func (p *parser) refresh() Stmt {
	r, start := &RefreshMatView{}, p.tok.pos
	p.expect("refresh", "materialized", "view")
	r.Concurrently = p.accept("concurrently")
	r.Name = p.relName()
	r.NoData = p.withNoData()
	r.Span = p.span(start)
	return r
}

// withNoData reads WITH [NO] DATA.
func (p *parser) withNoData() bool {
	if p.accept("with", "no") {
		p.expect("data")
		return true
	}
	p.accept("with", "data")
	return false
}

func (p *parser) lock() Stmt {
	l, start := &LockTable{}, p.tok.pos
	p.expect("lock")
	p.accept("table")
	l.Tables = list(p, p.relation)
	if p.accept("in") {
		switch {
		case p.accept("access"):
			l.Mode = "access "
		case p.accept("row"):
			l.Mode = "row "
		}
		switch {
		case p.accept("exclusive"):
			l.Mode += "exclusive"
		case l.Mode == "" && p.accept("share", "update"):
			p.expect("exclusive")
			l.Mode = "share update exclusive"
		case l.Mode == "" && p.accept("share", "row"):
			p.expect("exclusive")
			l.Mode = "share row exclusive"
		default:
			p.expect("share")
			l.Mode += "share"
		}
		p.expect("mode")
	}
	l.NoWait = p.accept("nowait")
	l.Span = p.span(start)
	return l
}

func (p *parser) maintenance() Stmt {
	m, start := &Maintenance{Vacuum: p.isWord("vacuum")}, p.tok.pos
	p.advance()
	if p.isOp("(") {
		m.Options = parenList(p, p.utilityOption)
	} else {
		words := []string{"verbose"}
		if m.Vacuum {
			words = []string{"full", "freeze", "verbose", "analyze", "analyse"}
		}
		for _, w := range words {
			if at := p.here(); p.accept(w) {
				m.Options = append(m.Options, Option{At: at, Name: w})
			}
		}
	}
	if p.tok.isColID() {
		m.Tables = list(p, func() MaintenanceTable {
			t := MaintenanceTable{At: p.here(), Table: p.relName()}
			if p.isOp("(") {
				t.Columns = parenList(p, p.colID)
			}
			return t
		})
	}
	m.Span = p.span(start)
	return m
}
