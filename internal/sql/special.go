package sql

import "strconv"

// special reads the functions that have a syntax of their own; it returns nil if none begins here.
func (p *parser) special() Expr {
	t := p.tok
	switch t.text {
	case "current_date", "current_role", "current_user", "session_user", "user", "current_catalog":
		return p.valueFunc(false)
	case "current_schema":
		if !p.peek(1).isOp("(") {
			return p.valueFunc(false)
		}
		return nil
	case "current_time", "current_timestamp", "localtime", "localtimestamp":
		return p.valueFunc(true)
	case "cast":
		return p.castExpr()
	case "collation":
		if p.peek(1).isWord("for") {
			at := p.here()
			p.accept("collation", "for")
			p.expectOp("(")
			x := p.expr()
			p.expectOp(")")
			return &CollationForExpr{At: at, X: x}
		}
		return nil
	}
	if t.kw.class != colName || !p.peek(1).isOp("(") {
		return nil
	}
	at := p.here()
	switch t.text {
	case "extract":
		return p.extract(at)
	case "position":
		return p.position(at)
	case "substring":
		return p.substring(at)
	case "overlay":
		return p.overlay(at)
	case "trim":
		return p.trim(at)
	case "normalize":
		return p.normalize(at)
	case "coalesce":
		p.advance()
		return &CoalesceExpr{At: at, Args: parenList(p, p.expr)}
	case "greatest", "least":
		p.advance()
		return &MinMaxExpr{At: at, Least: t.text == "least", Args: parenList(p, p.expr)}
	case "nullif":
		p.advance()
		p.expectOp("(")
		n := &NullIfExpr{At: at, L: p.expr()}
		p.expectOp(",")
		n.R = p.expr()
		p.expectOp(")")
		return n
	case "treat":
		p.notSupported("TREAT expressions")
	case "xmlconcat", "xmlelement", "xmlexists", "xmlforest", "xmlparse", "xmlpi", "xmlroot", "xmlserialize":
		p.notSupported("XML functions")
	}
	return nil
}

// valueFunc reads CURRENT_DATE and the like.
func (p *parser) valueFunc(precise bool) Expr {
	f := &ValueFunc{At: p.here(), Name: p.tok.text, Precision: -1}
	p.advance()
	if precise && p.isOp("(") {
		p.advance()
		f.Precision = p.intConst()
		p.expectOp(")")
	}
	return f
}

// intConst reads an integer constant that fits 32 bits, PostgreSQL's Iconst.
func (p *parser) intConst() int {
	if p.tok.kind != tokInt {
		p.unexpected()
	}
	n, err := strconv.ParseInt(p.tok.text, 10, 32)
	if err != nil {
		p.unexpected()
	}
	p.advance()
	return int(n)
}

func (p *parser) castExpr() Expr {
	c := &CastExpr{At: p.here(), Op: p.here()}
	p.expect("cast")
	p.expectOp("(")
	c.X = p.expr()
	p.expect("as")
	c.Type = p.typeName()
	p.expectOp(")")
	return c
}

func (p *parser) extract(at At) Expr {
	p.advance()
	p.expectOp("(")
	e := &ExtractExpr{At: at}
	switch t := p.tok; {
	case t.kind == tokIdent || t.kind == tokString:
		e.Field = t.text
	case p.isAny("year", "month", "day", "hour", "minute", "second"):
		e.Field = t.text
	default:
		p.unexpected()
	}
	p.advance()
	p.expect("from")
	e.X = p.expr()
	p.expectOp(")")
	return e
}

func (p *parser) position(at At) Expr {
	p.advance()
	p.expectOp("(")
	e := &PositionExpr{At: at, Sub: p.bExpr()}
	p.expect("in")
	e.X = p.bExpr()
	p.expectOp(")")
	return e
}

// specialCall reads substring(...) or overlay(...) in its form with commas, if the current token shows that it is one.
func (p *parser) specialCall(at At, name string, first Expr) Expr {
	f := &FuncCall{At: at, Name: Name{At: at, Parts: []Ident{{At: at, Text: name}}}}
	if first != nil {
		f.Args = append(f.Args, first)
		for p.acceptOp(",") {
			f.Args = append(f.Args, p.arg())
		}
	}
	p.expectOp(")")
	return f
}

func (p *parser) substring(at At) Expr {
	p.advance()
	p.expectOp("(")
	if p.isOp(")") {
		return p.specialCall(at, "substring", nil)
	}
	x := p.arg()
	if _, named := x.(*NamedArg); named || p.isOp(",") || p.isOp(")") {
		return p.specialCall(at, "substring", x)
	}
	s := &SubstringExpr{At: at, X: x}
	switch {
	case p.accept("from"):
		s.From = p.expr()
		if p.accept("for") {
			s.For = p.expr()
		}
	case p.accept("for"):
		s.For = p.expr()
		if p.accept("from") {
			s.From = p.expr()
		}
	case p.accept("similar"):
		s.Similar = p.expr()
		p.expect("escape")
		s.Escape = p.expr()
	default:
		p.unexpected()
	}
	p.expectOp(")")
	return s
}

func (p *parser) overlay(at At) Expr {
	p.advance()
	p.expectOp("(")
	if p.isOp(")") {
		return p.specialCall(at, "overlay", nil)
	}
	x := p.arg()
	if _, named := x.(*NamedArg); named || p.isOp(",") || p.isOp(")") {
		return p.specialCall(at, "overlay", x)
	}
	o := &OverlayExpr{At: at, X: x}
	p.expect("placing")
	o.Placing = p.expr()
	p.expect("from")
	o.From = p.expr()
	if p.accept("for") {
		o.For = p.expr()
	}
	p.expectOp(")")
	return o
}

func (p *parser) trim(at At) Expr {
	p.advance()
	p.expectOp("(")
	t := &TrimExpr{At: at}
	switch {
	case p.accept("leading"):
		t.Side = TrimLeading
	case p.accept("trailing"):
		t.Side = TrimTrailing
	default:
		p.accept("both")
	}
	if p.accept("from") {
		t.Args = list(p, p.expr)
	} else if x := p.expr(); p.accept("from") {
		t.Args = append(list(p, p.expr), x)
	} else {
		t.Args = []Expr{x}
		if p.acceptOp(",") {
			t.Args = append(t.Args, list(p, p.expr)...)
		}
	}
	p.expectOp(")")
	return t
}

func (p *parser) normalize(at At) Expr {
	p.advance()
	p.expectOp("(")
	n := &NormalizeExpr{At: at, X: p.expr()}
	if p.acceptOp(",") {
		n.Form = p.normalForm()
	}
	p.expectOp(")")
	return n
}
