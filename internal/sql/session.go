package sql

import (
	"math"
	"strconv"
)

// set reads SET.
func (p *parser) set() Stmt {
	start := p.tok.pos
	p.expect("set")
	if n := p.peek(1); p.isWord("constraints") && !n.isOp("=") && !n.isWord("to") && !n.isOp(".") {
		p.advance()
		return p.setConstraints(start)
	}
	scope := ScopeDefault
	switch {
	case p.isWord("local") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to") && !p.peek(1).isOp("."):
		p.advance()
		scope = ScopeLocal
	case p.isWords("session", "characteristics"):
		return p.characteristics(start)
	case p.isWord("session") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to") && !p.peek(1).isOp(".") &&
		!p.peek(1).isWord("authorization"):
		p.advance()
		scope = ScopeSession
	}
	if scope != ScopeDefault && p.isWords("session", "characteristics") {
		return p.characteristics(start)
	}
	if p.isWord("transaction") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to") && !p.peek(1).isOp(".") {
		p.advance()
		s := &SetTransaction{Local: scope == ScopeLocal}
		if p.accept("snapshot") {
			s.Snapshot = p.stringConst()
		} else {
			s.Modes = p.txModes(true)
		}
		s.Span = p.span(start)
		return s
	}
	s := p.setRest()
	s.Scope, s.Span = scope, p.span(start)
	return s
}

// characteristics reads SESSION CHARACTERISTICS AS TRANSACTION modes.
func (p *parser) characteristics(start int) Stmt {
	p.accept("session", "characteristics")
	p.expect("as", "transaction")
	s := &SetTransaction{Session: true, Modes: p.txModes(true)}
	s.Span = p.span(start)
	return s
}

// setRest reads a parameter and its value, without the word SET.
func (p *parser) setRest() *Set {
	s, n := &Set{Span: Span{Start: p.tok.pos}}, p.peek(1)
	assign := n.isOp("=") || n.isWord("to") || n.isOp(".") || n.isWord("from")
	switch {
	case assign:
		p.setVar(s)
	case p.accept("time", "zone"):
		s.Name = "timezone"
		p.zoneValue(s)
	case p.accept("catalog"):
		p.notSupported("SET CATALOG statements")
	case p.accept("schema"):
		s.Name = "search_path"
		s.Values = []Expr{p.stringValue()}
	case p.accept("names"):
		s.Name = "client_encoding"
		switch {
		case p.tok.kind == tokString:
			s.Values = []Expr{p.stringValue()}
		default:
			s.Default = true
			p.accept("default")
		}
	case p.accept("role"):
		s.Name = "role"
		s.Values = []Expr{p.wordOrString()}
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
		if s.Default = p.accept("default"); !s.Default {
			s.Values = []Expr{p.wordOrString()}
		}
	case p.accept("xml", "option"):
		s.Name = "xmloption"
		s.Values = []Expr{&Word{At: p.here(), Text: p.objectKind("document", "content")}}
	default:
		p.setVar(s)
	}
	s.Stop = p.lastEnd
	return s
}

// setVar reads name TO|= values.
func (p *parser) setVar(s *Set) {
	s.Name = p.varName()
	if p.accept("from", "current") {
		s.FromCurrent = true
		return
	}
	if !p.accept("to") {
		p.expectOp("=")
	}
	if s.Default = p.accept("default"); !s.Default {
		s.Values = list(p, p.setValue)
	}
}

func (p *parser) stringValue() Expr {
	s := &StringLit{At: p.here()}
	s.Value = p.stringConst()
	return s
}

// wordOrString reads PostgreSQL's NonReservedWord_or_Sconst.
func (p *parser) wordOrString() Expr {
	if p.tok.kind == tokString {
		return p.stringValue()
	}
	id := p.nonReserved()
	return &Word{At: id.At, Text: id.Text, Quoted: id.Quoted}
}

// setValue reads a value of SET: a word, a string, a number, TRUE, FALSE or ON.
func (p *parser) setValue() Expr {
	at := p.here()
	switch {
	case p.isAny("true", "false"):
		b := &BoolLit{At: at, Value: p.isWord("true")}
		p.advance()
		return b
	case p.accept("on"):
		return &Word{At: at, Text: "on"}
	case p.tok.kind == tokInt || p.tok.kind == tokFloat || p.isOp("-") || p.isOp("+"):
		return p.signedNumber()
	}
	return p.wordOrString()
}

// signedNumber reads a number with a sign, as one constant.
func (p *parser) signedNumber() *NumberLit {
	n := &NumberLit{At: p.here()}
	if p.acceptOp("-") {
		n.Text = "-"
	} else {
		p.acceptOp("+")
	}
	if p.tok.kind != tokInt && p.tok.kind != tokFloat {
		p.unexpected()
	}
	n.Text += p.tok.text
	n.IsInt = p.tok.kind == tokInt
	p.advance()
	return n
}

// zoneValue reads PostgreSQL's zone_value.
func (p *parser) zoneValue(s *Set) {
	switch {
	case p.accept("default") || p.accept("local"):
		s.Default = true
	case p.isWord("interval") && (p.peek(1).kind == tokString || p.peek(1).isOp("(")):
		s.Values = []Expr{p.typedConst()}
	case p.tok.kind == tokInt || p.tok.kind == tokFloat || p.isOp("-") || p.isOp("+"):
		s.Values = []Expr{p.signedNumber()}
	case p.tok.kind == tokString:
		s.Values = []Expr{p.stringValue()}
	case p.tok.kind == tokIdent:
		id := p.take()
		s.Values = []Expr{&Word{At: id.At, Text: id.Text, Quoted: id.Quoted}}
	default:
		p.unexpected()
	}
}

func (p *parser) setConstraints(start int) Stmt {
	s := &SetConstraints{}
	if s.All = p.accept("all"); !s.All {
		s.Names = list(p, p.name)
	}
	if s.Deferred = p.accept("deferred"); !s.Deferred {
		p.expect("immediate")
	}
	s.Span = p.span(start)
	return s
}

func (p *parser) reset() Stmt {
	start := p.tok.pos
	p.expect("reset")
	s := p.resetRest()
	s.Span = p.span(start)
	return s
}

// resetRest reads what follows RESET.
func (p *parser) resetRest() *Set {
	s := &Set{Reset: true, Span: Span{Start: p.tok.pos}}
	switch {
	case p.accept("all"):
		s.Name = "all"
	case p.accept("time", "zone"):
		s.Name = "timezone"
	case p.accept("transaction", "isolation"):
		p.expect("level")
		s.Name = "transaction_isolation"
	case p.accept("session", "authorization"):
		s.Name = "session_authorization"
	default:
		s.Name = p.varName()
	}
	s.Stop = p.lastEnd
	return s
}

// txModes reads transaction modes; at least one if required.
func (p *parser) txModes(required bool) TxModes {
	var m TxModes
	for first := true; ; first = false {
		comma := !first && p.acceptOp(",")
		switch {
		case p.accept("isolation"):
			p.expect("level")
			m.Isolation = p.isolation()
		case p.accept("read", "only"):
			m.ReadOnly = Yes
		case p.accept("read", "write"):
			m.ReadOnly = No
		case p.accept("deferrable"):
			m.Deferrable = Yes
		case p.accept("not"):
			p.expect("deferrable")
			m.Deferrable = No
		default:
			if comma || first && required {
				p.unexpected()
			}
			return m
		}
	}
}

func (p *parser) isolation() string {
	switch {
	case p.accept("serializable"):
		return "serializable"
	case p.accept("repeatable"):
		p.expect("read")
		return "repeatable read"
	}
	p.expect("read")
	if p.accept("committed") {
		return "read committed"
	}
	p.expect("uncommitted")
	return "read uncommitted"
}

// workOrTransaction skips the noise word behind BEGIN, COMMIT and ROLLBACK.
func (p *parser) workOrTransaction() {
	if p.isAny("work", "transaction") {
		p.advance()
	}
}

func (p *parser) begin() Stmt {
	b, start := &Begin{}, p.tok.pos
	if b.Start = p.accept("start"); b.Start {
		p.expect("transaction")
	} else {
		p.expect("begin")
		p.workOrTransaction()
	}
	b.Modes = p.txModes(false)
	b.Span = p.span(start)
	return b
}

// chain reads AND [NO] CHAIN.
func (p *parser) chain() (chain, noChain bool) {
	if !p.accept("and") {
		return false, false
	}
	noChain = p.accept("no")
	p.expect("chain")
	return !noChain, noChain
}

func (p *parser) commit() Stmt {
	c, start := &Commit{}, p.tok.pos
	isCommit := p.isWord("commit")
	p.advance()
	if isCommit && p.accept("prepared") {
		c.Prepared = p.stringConst()
	} else {
		p.workOrTransaction()
		c.Chain, c.NoChain = p.chain()
	}
	c.Span = p.span(start)
	return c
}

func (p *parser) rollback() Stmt {
	r, start := &Rollback{}, p.tok.pos
	isRollback := p.isWord("rollback")
	p.advance()
	switch {
	case isRollback && p.accept("prepared"):
		r.Prepared = p.stringConst()
	default:
		p.workOrTransaction()
		if isRollback && p.accept("to") {
			p.skipSavepoint()
			r.Savepoint = p.colID()
		} else {
			r.Chain, r.NoChain = p.chain()
		}
	}
	r.Span = p.span(start)
	return r
}

// skipSavepoint skips the noise word SAVEPOINT in front of a name.
func (p *parser) skipSavepoint() {
	if p.isWord("savepoint") && p.peek(1).isColID() {
		p.advance()
	}
}

func (p *parser) savepoint() Stmt {
	start := p.tok.pos
	if p.accept("savepoint") {
		name := p.colID()
		return &Savepoint{Name: name, Span: p.span(start)}
	}
	p.expect("release")
	p.skipSavepoint()
	name := p.colID()
	return &Release{Name: name, Span: p.span(start)}
}

func (p *parser) declare() Stmt {
	d, start := &DeclareCursor{}, p.tok.pos
	var scroll, noScroll bool
	p.expect("declare")
	d.Name = p.colID()
	for done := false; !done; {
		switch {
		case p.accept("no"):
			p.expect("scroll")
			d.Scroll, noScroll = No, true
		case p.accept("scroll"):
			d.Scroll, scroll = Yes, true
		case p.accept("binary"):
			d.Binary = true
		case p.accept("asensitive"):
			if d.Sensitive == "insensitive" {
				p.fail(start, "42P11", "cannot specify both INSENSITIVE and ASENSITIVE", "")
			}
			d.Sensitive = "asensitive"
		case p.accept("insensitive"):
			if d.Sensitive == "asensitive" {
				p.fail(start, "42P11", "cannot specify both INSENSITIVE and ASENSITIVE", "")
			}
			d.Sensitive = "insensitive"
		default:
			done = true
		}
	}
	if scroll && noScroll {
		p.fail(start, "42P11", "cannot specify both SCROLL and NO SCROLL", "")
	}
	p.expect("cursor")
	switch {
	case p.accept("with"):
		p.expect("hold")
		d.Hold = Yes
	case p.accept("without"):
		p.expect("hold")
		d.Hold = No
	}
	p.expect("for")
	switch {
	case p.isWord("subscribe"):
		d.Stmt = p.subscribe()
	case p.startsQuery() || p.isOp("("):
		d.Stmt = p.query()
	default:
		p.unexpected()
	}
	d.Span = p.span(start)
	return d
}

func (p *parser) fetch() Stmt {
	f, start := &Fetch{Move: p.isWord("move"), Count: 1}, p.tok.pos
	p.advance()
	p.fetchArgs(f)
	if !f.Move && p.accept("with") {
		f.Options = parenList(p, func() Option { return p.option(optionEquals) })
	}
	f.Span = p.span(start)
	return f
}

// fetchArgs reads [direction] [FROM | IN] cursor.
func (p *parser) fetchArgs(f *Fetch) {
	if p.tok.isColID() && !p.directionFollows() {
		f.Cursor = p.colID()
		return
	}
	switch {
	case p.accept("next"):
	case p.accept("prior"):
		f.Dir = FetchBackward
	case p.accept("first"):
		f.Dir = FetchAbsolute
	case p.accept("last"):
		f.Dir, f.Count = FetchAbsolute, -1
	case p.accept("absolute"):
		f.Dir, f.Count = FetchAbsolute, p.signedInt()
	case p.accept("relative"):
		f.Dir, f.Count = FetchRelative, p.signedInt()
	case p.accept("all"):
		f.All, f.Count = true, math.MaxInt64
	case p.isAny("forward", "backward"):
		if p.isWord("backward") {
			f.Dir = FetchBackward
		}
		p.advance()
		if p.accept("all") {
			f.All, f.Count = true, math.MaxInt64
		} else if p.tok.kind == tokInt || p.isOp("-") || p.isOp("+") {
			f.Count = p.signedInt()
		}
	case p.tok.kind == tokInt || p.isOp("-") || p.isOp("+"):
		f.Count = p.signedInt()
	}
	if p.isAny("from", "in") {
		p.advance()
	}
	f.Cursor = p.colID()
}

// directionFollows tells a direction from a cursor that has the same name.
func (p *parser) directionFollows() bool {
	if !p.isAny("next", "prior", "first", "last", "absolute", "relative", "forward", "backward") {
		return false
	}
	n := p.peek(1)
	return n.isColID() || n.isWord("from") || n.isWord("in") || n.isWord("all") || n.kind == tokInt || n.isOp("-") || n.isOp("+")
}

// signedInt reads PostgreSQL's SignedIconst.
func (p *parser) signedInt() int64 {
	t, neg := p.tok, p.isOp("-")
	if neg || p.isOp("+") {
		p.advance()
	}
	n, err := strconv.ParseInt(p.tok.text, 10, 32)
	if p.tok.kind != tokInt || err != nil {
		if t = p.tok; t.kind == tokEOF {
			p.unexpected()
		}
		p.unexpectedAt(t)
	}
	p.advance()
	if neg {
		return -n
	}
	return n
}

// nameOrAll reads CLOSE, DEALLOCATE, DISCARD, LISTEN and UNLISTEN.
func (p *parser) nameOrAll() Stmt {
	start, word := p.tok.pos, p.tok.text
	p.advance()
	var id Ident
	var all bool
	switch word {
	case "close", "deallocate":
		if word == "deallocate" && p.isWord("prepare") && (p.peek(1).isColID() || p.peek(1).isWord("all")) {
			p.advance()
		}
		if all = p.accept("all"); !all {
			id = p.colID()
		}
		if word == "close" {
			return &CloseCursor{Name: id, All: all, Span: p.span(start)}
		}
		return &Deallocate{Name: id, All: all, Span: p.span(start)}
	case "discard":
		what := "temp"
		if !p.accept("temporary") {
			what = p.objectKind("all", "plans", "sequences", "temp")
		}
		return &Discard{What: what, Span: p.span(start)}
	case "listen":
		id = p.colID()
		return &Listen{Channel: id, Span: p.span(start)}
	}
	if all = p.acceptOp("*"); !all {
		id = p.colID()
	}
	return &Unlisten{Channel: id, All: all, Span: p.span(start)}
}

func (p *parser) notify() Stmt {
	n, start := &Notify{}, p.tok.pos
	p.expect("notify")
	n.Channel = p.colID()
	if n.HasPayload = p.acceptOp(","); n.HasPayload {
		n.Payload = p.stringConst()
	}
	n.Span = p.span(start)
	return n
}

func (p *parser) prepare() Stmt {
	s, start := &Prepare{}, p.tok.pos
	p.expect("prepare")
	if p.isWord("transaction") && p.peek(1).kind == tokString {
		p.advance()
		id := p.stringConst()
		return &PrepareTransaction{ID: id, Span: p.span(start)}
	}
	s.Name = p.colID()
	if p.isOp("(") {
		s.Types = parenList(p, p.typeName)
	}
	p.expect("as")
	s.Stmt = p.preparable()
	s.Span = p.span(start)
	return s
}

func (p *parser) execute() Stmt {
	s, start := &Execute{}, p.tok.pos
	p.expect("execute")
	s.Name = p.colID()
	if p.isOp("(") {
		s.Args = parenList(p, p.expr)
	}
	s.Span = p.span(start)
	return s
}
