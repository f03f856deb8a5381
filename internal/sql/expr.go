package sql

import "strconv"

// Binding powers: PostgreSQL's precedence table, lowest first.
const (
	precLowest = iota
	precOr
	precAnd
	precNot
	precIs
	precCompare
	precLike // BETWEEN, IN, LIKE, ILIKE, SIMILAR
	precOp   // any other operator, OPERATOR(...)
	precAdd
	precMul
	precPow
	precAt // AT TIME ZONE
	precCollate
	precUnary
	precCast
)

// expr reads PostgreSQL's a_expr.
func (p *parser) expr() Expr { return p.exprPrec(precLowest, false) }

// bExpr reads PostgreSQL's b_expr, which leaves out the operators that begin with a word, as AND, IN, IS NULL.
func (p *parser) bExpr() Expr { return p.exprPrec(precLowest, true) }

// exprPrec reads an expression of operators that bind at least as tightly as min.
func (p *parser) exprPrec(min int, basic bool) Expr {
	outer, wasBasic := p.enter(), p.basic
	p.basic = basic
	x := p.climb(p.prefix(basic), min, basic)
	p.basic = wasBasic
	p.leave(outer)
	return x
}

// prefix reads an operand: a prefix operator and what it applies to, or a primary expression.
func (p *parser) prefix(basic bool) Expr {
	at := p.here()
	t := p.tok
	switch {
	case t.isWord("not") && !basic:
		p.advance()
		return &NotExpr{At: at, X: p.exprPrec(precNot, basic)}
	case t.isWord("default") && !basic: // PostgreSQL's grammar takes it anywhere; its place is checked later
		p.advance()
		return &DefaultExpr{At: at}
	case t.isOp("+") || t.isOp("-"):
		op := p.operator()
		return &UnaryExpr{At: at, Op: op, X: p.exprPrec(precUnary, basic)}
	case t.kind == tokOp && !t.self || t.isWord("operator") && p.peek(1).isOp("("):
		op := p.operator()
		return &UnaryExpr{At: at, Op: op, X: p.exprPrec(precOp+1, basic)}
	}
	return p.primary()
}

// climb extends x by operators that bind at least as tightly as min.
func (p *parser) climb(x Expr, min int, basic bool) Expr {
	nonassoc := -1 // level whose operator may not follow: a < b < c is an error
	for {
		prec := p.infixPrec(basic)
		if prec < 0 && nonassoc >= 0 && p.isItemLabel() && p.wordPrec(p.tok.text) == nonassoc {
			p.unexpected() // PostgreSQL decides for the operator before it looks whether a label fits
		}
		if prec < 0 || prec < min {
			return x
		}
		if prec == nonassoc {
			p.unexpected()
		}
		var open bool // the new node ends in an operand of its own
		x, open = p.infix(x, prec, basic)
		p.grow()
		nonassoc = -1
		if open && (prec == precIs || prec == precCompare || prec == precLike) {
			nonassoc = prec
		}
	}
}

// infixPrec returns the binding power of the current token as an infix or postfix operator, or -1.
func (p *parser) infixPrec(basic bool) int {
	t := p.tok
	switch t.kind {
	case tokOp:
		switch t.text {
		case "<", ">", "=", "<=", ">=", "<>":
			return precCompare
		case "+", "-":
			return precAdd
		case "*", "/", "%":
			return precMul
		case "^":
			return precPow
		case "::":
			return precCast
		}
		if !t.self {
			return precOp
		}
	case tokKeyword:
		if t.text == "operator" && p.peek(1).isOp("(") {
			return precOp
		}
		if p.isItemLabel() {
			return -1
		}
		if t.text == "is" {
			return precIs
		}
		if !basic {
			return p.wordPrec(t.text)
		}
	}
	return -1
}

// isItemLabel reports whether the current word is the label of a select item and no operator, as in SELECT a IN, b AND FROM t.
func (p *parser) isItemLabel() bool {
	return p.depth == p.itemDepth && p.tok.kw.label && p.endsItem(p.peek(1))
}

// endsItem reports whether t can only stand behind an item of a select list.
func (p *parser) endsItem(t token) bool {
	if t.kind == tokEOF || t.isOp(",") || t.isOp(")") || t.isOp(";") {
		return true
	}
	if t.kind != tokKeyword || t.kw.class != reserved {
		return false
	}
	switch t.text {
	case "from", "into", "where", "group", "having", "window", "union", "except", "intersect", "order", "limit", "offset", "fetch", "for",
		"returning", "on", "with":
		return true
	}
	return false
}

// wordPrec is infixPrec for the operators that are words.
func (p *parser) wordPrec(word string) int {
	switch word {
	case "or":
		return precOr
	case "and":
		return precAnd
	case "is", "isnull", "notnull":
		return precIs
	case "between", "like", "ilike", "in":
		return precLike
	case "similar":
		if p.peek(1).isWord("to") {
			return precLike
		}
	case "not":
		switch n := p.peek(1); n.text {
		case "between", "in", "like", "ilike", "similar":
			if n.kind == tokKeyword {
				return precLike
			}
		}
	case "at":
		return precAt
	case "collate":
		return precCollate
	}
	return -1
}

// infix reads the operator at the current token and what follows it. Open says that the result ends in an operand.
func (p *parser) infix(x Expr, prec int, basic bool) (_ Expr, open bool) {
	at := At(x.Pos())
	switch prec {
	case precOr:
		l, ok := x.(*OrExpr)
		if !ok {
			l = &OrExpr{At: at, Args: []Expr{x}}
		}
		for p.isWord("or") && !p.isItemLabel() {
			p.advance()
			l.Args = append(l.Args, p.exprPrec(precOr+1, basic))
		}
		return l, true
	case precAnd:
		l, ok := x.(*AndExpr)
		if !ok {
			l = &AndExpr{At: at, Args: []Expr{x}}
		}
		for p.isWord("and") && !p.isItemLabel() {
			p.advance()
			l.Args = append(l.Args, p.exprPrec(precAnd+1, basic))
		}
		return l, true
	case precIs:
		return p.test(x, basic)
	case precLike:
		return p.likeOrIn(x)
	case precAt:
		p.advance()
		p.expect("time", "zone")
		return &AtTimeZoneExpr{At: at, X: x, Zone: p.exprPrec(precAt+1, basic)}, true
	case precCollate:
		p.advance()
		return &CollateExpr{At: at, X: x, Collation: p.name()}, false
	case precCast:
		op := p.here()
		p.advance()
		return &CastExpr{At: at, X: x, Type: p.typeName(), Op: op}, false
	}
	op := p.operator()
	if !basic && p.isAny("any", "some", "all") {
		return p.quantified(x, op), false
	}
	return &BinaryExpr{At: at, Op: op, L: x, R: p.exprPrec(prec+1, basic)}, true
}

// operator reads an operator's symbol or OPERATOR(schema.symbol).
func (p *parser) operator() Operator {
	op := Operator{At: p.here()}
	if p.accept("operator") {
		p.expectOp("(")
		op = p.anyOperator(op)
		op.Explicit = true
		p.expectOp(")")
		return op
	}
	op.Symbol = p.opSymbol()
	return op
}

// anyOperator reads [schema.]symbol.
func (p *parser) anyOperator(op Operator) Operator {
	for p.tok.isColID() {
		op.Schema = append(op.Schema, p.take())
		p.expectOp(".")
	}
	op.Symbol = p.opSymbol()
	return op
}

func (p *parser) opSymbol() string {
	t := p.tok
	if t.kind == tokOp {
		switch t.text {
		case "+", "-", "*", "/", "%", "^", "<", ">", "=", "<=", ">=", "<>":
			p.advance()
			return t.text
		}
		if !t.self {
			p.advance()
			return t.text
		}
	}
	p.unexpected()
	return ""
}

// test reads IS ..., ISNULL and NOTNULL.
func (p *parser) test(x Expr, basic bool) (Expr, bool) {
	at := At(x.Pos())
	if p.accept("isnull") {
		return &IsExpr{At: at, X: x, Kind: IsNull}, false
	}
	if p.accept("notnull") {
		return &IsExpr{At: at, X: x, Kind: IsNull, Not: true}, false
	}
	p.expect("is")
	not := p.accept("not")
	if p.accept("distinct") {
		p.expect("from")
		return &IsDistinctExpr{At: at, L: x, R: p.exprPrec(precIs+1, basic), Not: not}, true
	}
	is := &IsExpr{At: at, X: x, Not: not}
	switch {
	case basic:
		p.unexpected()
	case p.accept("null"):
		is.Kind = IsNull
	case p.accept("true"):
		is.Kind = IsTrue
	case p.accept("false"):
		is.Kind = IsFalse
	case p.accept("unknown"):
		is.Kind = IsUnknown
	case p.accept("normalized"):
		is.Kind = IsNormalized
	case p.isAny("nfc", "nfd", "nfkc", "nfkd"):
		is.Kind, is.Form = IsNormalized, p.normalForm()
		p.expect("normalized")
	case p.isWord("document"):
		p.notSupported("XML functions")
	default:
		p.unexpected()
	}
	return is, false
}

// notSupported refuses a construct of PostgreSQL that begins at the current token.
func (p *parser) notSupported(what string) {
	p.fail(p.tok.pos, "0A000", what+" are not supported", "")
}

// normalForm reads NFC, NFD, NFKC or NFKD.
func (p *parser) normalForm() string {
	switch {
	case p.accept("nfc"):
		return "NFC"
	case p.accept("nfd"):
		return "NFD"
	case p.accept("nfkc"):
		return "NFKC"
	case p.accept("nfkd"):
		return "NFKD"
	}
	p.unexpected()
	return ""
}

// likeOrIn reads [NOT] BETWEEN, IN, LIKE, ILIKE and SIMILAR TO.
func (p *parser) likeOrIn(x Expr) (Expr, bool) {
	at, op := At(x.Pos()), Operator{At: p.here()}
	not := p.accept("not")
	switch {
	case p.accept("between"):
		b := &BetweenExpr{At: at, X: x, Not: not}
		if b.Symmetric = p.accept("symmetric"); !b.Symmetric {
			p.accept("asymmetric")
		}
		b.Lo = p.bExpr()
		p.expect("and")
		b.Hi = p.exprPrec(precLike+1, false)
		return b, true
	case p.accept("in"):
		if !p.isOp("(") {
			p.unexpected()
		}
		q, l := p.parenthesised()
		if q != nil {
			return &InQueryExpr{At: at, X: x, Query: q, Not: not}, false
		}
		return &InListExpr{At: at, X: x, List: l, Not: not}, false
	case p.accept("similar"):
		p.expect("to")
		return p.like(&LikeExpr{At: at, X: x, Kind: SimilarTo, Not: not})
	}
	l := &LikeExpr{At: at, X: x, Kind: Like, Not: not}
	op.Symbol = "~~"
	if p.accept("ilike") {
		l.Kind, op.Symbol = ILike, "~~*"
	} else {
		p.expect("like")
	}
	if p.isAny("any", "some", "all") {
		if not {
			op.Symbol = "!" + op.Symbol
		}
		return p.quantified(x, op), false
	}
	return p.like(l)
}

// like reads the pattern and ESCAPE.
func (p *parser) like(l *LikeExpr) (Expr, bool) {
	l.Pattern = p.exprPrec(precLike+1, false)
	if p.accept("escape") {
		l.Escape = p.exprPrec(precLike+1, false)
	}
	return l, true
}

// quantified reads ANY|SOME|ALL (array or query) behind an operator.
func (p *parser) quantified(x Expr, op Operator) Expr {
	a := &AnyExpr{At: At(x.Pos()), L: x, Op: op, All: p.isWord("all")}
	p.advance()
	if !p.isOp("(") {
		p.unexpected()
	}
	p.single = true
	q, l := p.parenthesised()
	if a.Query = q; q == nil {
		a.Array = l[0]
	}
	return a
}

// parenthesised reads ( query ) or ( expression, ... ) from the opening parenthesis on. Exactly one result is set. Queries may stand in
// any number of parentheses; what they are is known only after the innermost has been read, so no text is read twice.
func (p *parser) parenthesised() (*Query, []Expr) {
	outer, single := p.enter(), p.single
	defer p.leave(outer)
	p.single = false
	p.expectOp("(")
	var x Expr
	switch {
	case p.startsQuery():
		q := p.query()
		p.expectOp(")")
		return q, nil
	case p.isOp("("):
		at := p.here()
		q, l := p.parenthesised()
		if q != nil {
			if q = p.queryRest(q, int(at)); p.acceptOp(")") {
				return q, nil
			}
			x = p.indirection(&SubqueryExpr{At: at, Query: q}, true)
		} else {
			x = p.parenExpr(at, l)
		}
		x = p.climb(x, precLowest, false)
	default:
		x = p.expr()
	}
	l := []Expr{x}
	for !single && p.acceptOp(",") {
		l = append(l, p.expr())
	}
	p.expectOp(")")
	return nil, l
}

// parenExpr turns what stood in parentheses into an expression: a row, or the single expression itself, with what may follow.
func (p *parser) parenExpr(at At, l []Expr) Expr {
	if len(l) > 1 {
		return p.overlaps(&RowExpr{At: at, Elems: l})
	}
	return p.indirection(l[0], true)
}

// overlaps reads OVERLAPS behind a row.
func (p *parser) overlaps(l *RowExpr) Expr {
	if !p.isWord("overlaps") || p.basic {
		return l
	}
	p.advance()
	o := &OverlapsExpr{At: l.At, L: l}
	if p.isWord("row") {
		o.R = p.rowExpr()
	} else {
		at := p.here()
		if !p.isOp("(") {
			p.unexpected()
		}
		_, r := p.parenthesised()
		if len(r) < 2 {
			p.unexpected()
		}
		o.R = &RowExpr{At: at, Elems: r}
	}
	if len(l.Elems) != 2 {
		p.fail(l.Pos(), "42601", "wrong number of parameters on left side of OVERLAPS expression", "")
	}
	if len(o.R.Elems) != 2 {
		p.fail(o.R.Pos(), "42601", "wrong number of parameters on right side of OVERLAPS expression", "")
	}
	return o
}

// rowExpr reads ROW(...).
func (p *parser) rowExpr() *RowExpr {
	r := &RowExpr{At: p.here(), Explicit: true}
	p.expect("row")
	p.expectOp("(")
	if !p.isOp(")") {
		r.Elems = list(p, p.expr)
	}
	p.expectOp(")")
	return r
}

// startsQuery reports whether the current token can only begin a query.
func (p *parser) startsQuery() bool {
	return p.isAny("select", "with", "table") || p.isWord("values") && p.peek(1).isOp("(")
}

// subquery reads ( query ), the query in any number of parentheses.
func (p *parser) subquery() *Query {
	outer := p.enter()
	defer p.leave(outer)
	p.expectOp("(")
	var q *Query
	switch start := p.tok.pos; {
	case p.startsQuery():
		q = p.query()
	case p.isOp("("):
		q = p.queryRest(p.subquery(), start)
	default:
		p.unexpected()
	}
	p.expectOp(")")
	return q
}

// indirection reads .field, .*, [i] and [lo:hi] behind x.
func (p *parser) indirection(x Expr, star bool) Expr {
	for {
		at := At(x.Pos())
		switch {
		case p.isOp("."):
			p.grow()
			p.advance()
			if star && p.acceptOp("*") {
				if p.isOp(".") || p.isOp("[") {
					p.fail(p.tok.pos, "42601", `improper use of "*"`+p.near(), "")
				}
				return &FieldStarExpr{At: at, X: x}
			}
			x = &FieldExpr{At: at, X: x, Field: p.label()}
		case p.isOp("["):
			p.grow()
			x = p.subscript(x)
		default:
			return x
		}
	}
}

// near is the end of a message that points at the current token.
func (p *parser) near() string {
	if p.tok.kind == tokEOF {
		return " at end of input"
	}
	return ` at or near "` + p.lex.src[p.tok.pos:p.tok.end] + `"`
}

// subscript reads [i] or [lo:hi]. X may be nil, in the target of an assignment.
func (p *parser) subscript(x Expr) Expr {
	ix := &IndexExpr{At: p.here(), X: x}
	if x != nil {
		ix.At = At(x.Pos())
	}
	p.expectOp("[")
	if !p.isOp(":") {
		ix.Index = p.expr()
	}
	if p.acceptOp(":") {
		ix.Slice, ix.Lo, ix.Index = true, ix.Index, nil
		if !p.isOp("]") {
			ix.Hi = p.expr()
		}
	}
	p.expectOp("]")
	return ix
}

// paramNumber reads the digits of $n.
func (p *parser) paramNumber() int {
	n, err := strconv.Atoi(p.tok.text)
	if err != nil || n > maxParam {
		p.fail(p.tok.pos, "42601", "parameter number too large"+p.near(), "")
	}
	p.advance()
	return n
}

// maxParam is the highest number of a parameter, which the wire protocol's 16-bit count sets.
const maxParam = 65535
