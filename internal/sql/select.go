package sql

// query reads a query that is not in parentheses, or begins with a parenthesised part.
func (p *parser) query() *Query {
	outer := p.enter()
	defer p.leave(outer)
	start := p.tok.pos
	if !p.isWord("with") {
		return p.queryTail(nil, p.queryBody(precUnion), start)
	}
	w := p.with()
	if !p.startsQuery() && !p.isOp("(") {
		p.unexpected()
	}
	return p.queryTail(w, p.queryBody(precUnion), start)
}

// queryRest goes on behind a query in parentheses that was already read.
func (p *parser) queryRest(q *Query, start int) *Query {
	if !p.isAny("union", "except", "intersect", "order", "limit", "offset", "fetch", "for", "emit") {
		return q
	}
	return p.queryTail(nil, p.setOps(unwrap(q), precUnion), start)
}

// unwrap returns the body of a query without clauses of its own; otherwise the query itself.
func unwrap(q *Query) QueryBody {
	if q.With == nil && q.OrderBy == nil && q.Limit == nil && !q.LimitAll && q.Offset == nil && q.Locking == nil && q.Emit == EmitDefault {
		return q.Body
	}
	return q
}

// queryTail reads ORDER BY, LIMIT and what else may follow a query's body. Like PostgreSQL it adds them to a query in parentheses
// that is not part of a set operation, and refuses clauses given twice.
func (p *parser) queryTail(w *With, body QueryBody, start int) *Query {
	q, ok := body.(*Query)
	if !ok {
		q = &Query{Body: body}
	}
	if w != nil {
		if q.With != nil {
			p.fail(w.Pos(), "42601", "multiple WITH clauses not allowed", "")
		}
		q.With = w
	}
	if at := p.tok.pos; p.isWord("order") {
		if q.OrderBy != nil {
			p.fail(at, "42601", "multiple ORDER BY clauses not allowed", "")
		}
		q.OrderBy = p.orderBy()
	}
	p.limitAndLocking(q)
	p.emit(q)
	q.Span = p.span(start)
	return q
}

// limitAndLocking reads LIMIT, OFFSET, FETCH and FOR UPDATE, in either order.
func (p *parser) limitAndLocking(q *Query) {
	locked := p.locking(q)
	limitAt := p.tok.pos
	var limit, offset bool
	hadLimit, hadOffset := q.Limit != nil || q.LimitAll, q.Offset != nil
	for {
		switch {
		case p.isAny("limit", "fetch") && !limit:
			if hadLimit {
				p.fail(p.tok.pos, "42601", "multiple LIMIT clauses not allowed", "")
			}
			limit = true
			p.limit(q)
			continue
		case p.isWord("offset") && !offset:
			if hadOffset {
				p.fail(p.tok.pos, "42601", "multiple OFFSET clauses not allowed", "")
			}
			offset = true
			p.offset(q)
			continue
		}
		break
	}
	if !locked && (limit || offset) {
		p.locking(q)
	}
	if q.WithTies && limit {
		if q.OrderBy == nil {
			p.fail(limitAt, "42601", "WITH TIES cannot be specified without ORDER BY clause", "")
		}
		for _, l := range q.Locking {
			if l.Wait == "skip locked" {
				p.fail(limitAt, "42601", "SKIP LOCKED and WITH TIES options cannot be used together", "")
			}
		}
	}
}

func (p *parser) limit(q *Query) {
	if p.accept("limit") {
		if p.accept("all") {
			q.LimitAll = true
		} else {
			q.Limit = p.expr()
		}
		if p.isOp(",") {
			p.fail(p.tok.pos, "42601", "LIMIT #,# syntax is not supported"+p.near(), "Use separate LIMIT and OFFSET clauses.")
		}
		return
	}
	at := p.here()
	p.expect("fetch")
	if !p.isAny("first", "next") {
		p.unexpected()
	}
	p.advance()
	if n := p.peek(1); p.isAny("row", "rows") && (n.isWord("only") || n.isWord("with")) {
		q.Limit = &NumberLit{At: at, Text: "1", IsInt: true}
	} else {
		q.Limit = p.rowCount()
	}
	p.rowOrRows()
	if p.accept("only") {
		return
	}
	p.expect("with", "ties")
	q.WithTies = true
}

// rowCount reads PostgreSQL's select_fetch_first_value.
func (p *parser) rowCount() Expr {
	if p.isOp("+") || p.isOp("-") {
		at := p.here()
		op := p.operator()
		if p.tok.kind != tokInt && p.tok.kind != tokFloat {
			p.unexpected()
		}
		return &UnaryExpr{At: at, Op: op, X: p.primary()}
	}
	return p.primary()
}

func (p *parser) rowOrRows() {
	if !p.isAny("row", "rows") {
		p.unexpected()
	}
	p.advance()
}

func (p *parser) offset(q *Query) {
	p.expect("offset")
	paren := p.isOp("(")
	q.Offset = p.expr()
	if p.isAny("row", "rows") {
		u, _ := q.Offset.(*UnaryExpr)
		if level(q.Offset) < precPrimary && !paren && (u == nil || level(u) != precUnary) {
			p.unexpected()
		}
		p.advance()
	}
}

// locking reads FOR UPDATE and its kin. It reports whether any was read.
func (p *parser) locking(q *Query) bool {
	found := false
	for p.isWord("for") {
		at := p.here()
		p.advance()
		found = true
		l := Locking{At: at}
		switch {
		case p.accept("read"):
			p.expect("only")
			continue
		case p.accept("update"):
			l.Strength = "update"
		case p.accept("no"):
			p.expect("key", "update")
			l.Strength = "no key update"
		case p.accept("share"):
			l.Strength = "share"
		default:
			p.expect("key", "share")
			l.Strength = "key share"
		}
		if p.accept("of") {
			l.Of = list(p, p.relName)
		}
		switch {
		case p.accept("nowait"):
			l.Wait = "nowait"
		case p.accept("skip"):
			p.expect("locked")
			l.Wait = "skip locked"
		}
		q.Locking = append(q.Locking, l)
	}
	return found
}

// emit reads EMIT CHANGES and EMIT ON WINDOW CLOSE.
func (p *parser) emit(q *Query) {
	if !p.startsEmit() {
		return
	}
	p.advance()
	if q.Emit != EmitDefault {
		p.fail(p.tok.pos, "42601", "multiple EMIT clauses not allowed", "")
	}
	if p.accept("changes") {
		q.Emit = EmitChanges
		return
	}
	p.expect("on", "window", "close")
	q.Emit = EmitOnWindowClose
}

// startsEmit reports whether an EMIT clause begins here rather than a name.
func (p *parser) startsEmit() bool {
	return p.isWords("emit", "changes") || p.isWords("emit", "on", "window")
}

// Binding powers of set operations.
const (
	precUnion = iota // UNION, EXCEPT
	precIntersect
)

// queryBody reads SELECT, VALUES, TABLE, a query in parentheses, and set operations of them.
func (p *parser) queryBody(min int) QueryBody { return p.setOps(p.simpleBody(), min) }

// setOps extends l by set operations that bind at least as tightly as min.
func (p *parser) setOps(l QueryBody, min int) QueryBody {
	for {
		s := &SetOp{At: At(l.Pos()), Op: p.here(), L: l}
		prec := precUnion
		switch {
		case p.isWord("union"):
			s.Kind = Union
		case p.isWord("except"):
			s.Kind = Except
		case p.isWord("intersect"):
			s.Kind, prec = Intersect, precIntersect
		default:
			return l
		}
		if prec < min {
			return l
		}
		p.advance()
		if s.All = p.accept("all"); !s.All {
			p.accept("distinct")
		}
		outer := p.enter()
		s.R = p.queryBody(prec + 1)
		p.leave(outer)
		p.grow()
		l = s
	}
}

func (p *parser) simpleBody() QueryBody {
	at := p.here()
	switch {
	case p.isWord("select"):
		return p.selectCore()
	case p.isWord("values"):
		return p.values()
	case p.accept("table"):
		return &TableQuery{At: at, Table: p.relation()}
	}
	return unwrap(p.subquery())
}

func (p *parser) values() *Values {
	v := &Values{At: p.here()}
	p.expect("values")
	v.Rows = list(p, func() []Expr { return parenList(p, p.expr) })
	return v
}

// relation reads [ONLY] name [*].
func (p *parser) relation() *TableRef {
	t := &TableRef{At: p.here()}
	if p.accept("only") {
		t.Only = true
		if p.acceptOp("(") {
			t.Name = p.relName()
			p.expectOp(")")
			return t
		}
	}
	t.Name = p.relName()
	if !t.Only {
		t.Star = p.acceptOp("*")
	}
	return t
}

func (p *parser) selectCore() *Select {
	s := &Select{At: p.here()}
	p.expect("select")
	switch {
	case p.accept("all"):
		s.AllWord = true
	case p.accept("distinct"):
		s.Distinct = true
		if p.accept("on") {
			s.DistinctOn = parenList(p, p.expr)
		}
	}
	if s.Distinct || p.startsItem() {
		s.Items = list(p, p.selectItem)
	}
	if p.isWord("into") {
		s.Into = p.into()
	}
	if p.accept("from") {
		s.From = list(p, p.tableExpr)
	}
	if p.accept("where") {
		s.Where = p.expr()
	}
	if p.accept("group") {
		p.expect("by")
		if p.accept("all") {
			s.GroupMode = GroupAll
		} else if p.accept("distinct") {
			s.GroupMode = GroupDistinct
		}
		s.GroupBy = list(p, p.groupItem)
	}
	if p.accept("having") {
		s.Having = p.expr()
	}
	if p.accept("window") {
		s.Windows = list(p, p.namedWindow)
	}
	return s
}

// startsItem reports whether a select list follows; PostgreSQL allows none.
func (p *parser) startsItem() bool {
	t := p.tok
	switch t.kind {
	case tokEOF:
		return false
	case tokOp:
		return !t.isOp(";") && !t.isOp(")")
	case tokKeyword:
		return t.kw.class != reserved || startsExpr[t.text]
	}
	return !p.startsEmit()
}

// startsExpr are the reserved words that begin an expression.
var startsExpr = map[string]bool{"not": true, "null": true, "true": true, "false": true, "case": true, "cast": true, "array": true,
	"default": true, "current_catalog": true, "current_date": true, "current_role": true, "current_time": true,
	"current_timestamp": true, "current_user": true, "localtime": true, "localtimestamp": true, "session_user": true, "user": true}

func (p *parser) selectItem() SelectItem {
	it := SelectItem{At: p.here()}
	if p.isOp("*") {
		p.advance()
		it.X = &StarExpr{At: it.At}
		return it
	}
	outer := p.itemDepth
	p.itemDepth = p.depth + 1
	it.X = p.expr()
	p.itemDepth = outer
	if p.accept("as") {
		it.Alias = p.label()
	} else if p.tok.isBareLabel() && !p.startsEmit() {
		it.Alias = p.take()
	}
	return it
}

func (p *parser) into() *IntoClause {
	c := &IntoClause{At: p.here()}
	p.expect("into")
	switch {
	case p.accept("local") || p.accept("global"):
		if !p.isAny("temp", "temporary") {
			p.unexpected()
		}
		p.advance()
		c.Temp = true
		p.accept("table")
	case p.isAny("temp", "temporary") && (p.peek(1).isWord("table") || p.peek(1).isColID()):
		p.advance()
		c.Temp = true
		p.accept("table")
	case p.isWord("unlogged") && (p.peek(1).isWord("table") || p.peek(1).isColID()):
		p.advance()
		c.Unlogged = true
		p.accept("table")
	default:
		p.accept("table")
	}
	c.Name = p.relName()
	return c
}

func (p *parser) namedWindow() *WindowSpec {
	at := p.here()
	name := p.colID()
	p.expect("as")
	w := p.windowSpec()
	w.At, w.Name = at, name
	return w
}

func (p *parser) groupItem() GroupItem {
	outer := p.enter()
	defer p.leave(outer)
	g := GroupItem{At: p.here()}
	n := p.peek(1)
	switch {
	case p.isOp("(") && n.isOp(")"):
		p.advance()
		p.advance()
		g.Kind = GroupEmpty
	case p.isWord("cube") && n.isOp("("):
		p.advance()
		g.Kind, g.Exprs = GroupCube, parenList(p, p.expr)
	case p.isWord("rollup") && n.isOp("("):
		p.advance()
		g.Kind, g.Exprs = GroupRollup, parenList(p, p.expr)
	case p.isWord("grouping") && n.isWord("sets"):
		p.advance()
		p.advance()
		g.Kind, g.Sets = GroupSets, parenList(p, p.groupItem)
	default:
		g.Exprs = []Expr{p.expr()}
	}
	return g
}

// with reads WITH [RECURSIVE] and its queries.
func (p *parser) with() *With {
	w := &With{At: p.here()}
	p.expect("with")
	if n := p.peek(1); !n.isOp("(") && !n.isWord("as") { // else it is the name of a query
		w.Recursive = p.accept("recursive")
	}
	w.CTEs = list(p, p.cte)
	return w
}

func (p *parser) cte() *CTE {
	c := &CTE{At: p.here(), Name: p.colID()}
	if p.isOp("(") {
		c.Columns = parenList(p, p.colID)
	}
	p.expect("as")
	switch {
	case p.accept("materialized"):
		c.Materialized = MaterializeAlways
	case p.accept("not"):
		p.expect("materialized")
		c.Materialized = MaterializeNever
	}
	outer := p.enter()
	defer p.leave(outer)
	p.expectOp("(")
	c.Stmt = p.preparable()
	p.expectOp(")")
	if p.isWord("search") {
		c.Search = p.search()
	}
	if p.isWord("cycle") {
		c.Cycle = p.cycle()
	}
	return c
}

func (p *parser) search() *CTESearch {
	s := &CTESearch{At: p.here()}
	p.expect("search")
	if s.Breadth = p.accept("breadth"); !s.Breadth {
		p.expect("depth")
	}
	p.expect("first", "by")
	s.By = list(p, p.colID)
	p.expect("set")
	s.Set = p.colID()
	return s
}

func (p *parser) cycle() *CTECycle {
	c := &CTECycle{At: p.here()}
	p.expect("cycle")
	c.Columns = list(p, p.colID)
	p.expect("set")
	c.Mark = p.colID()
	if p.accept("to") {
		c.To = p.constant()
		p.expect("default")
		c.Default = p.constant()
	}
	p.expect("using")
	c.Path = p.colID()
	return c
}

// constant reads PostgreSQL's AexprConst.
func (p *parser) constant() Expr {
	t := p.tok
	x := p.primary()
	switch x.(type) {
	case *NumberLit, *StringLit, *BitStringLit, *TypedLit, *BoolLit, *NullLit:
		return x
	}
	p.unexpectedAt(t)
	return nil
}
