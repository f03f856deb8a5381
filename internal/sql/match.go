package sql

// matchRecognize reads MATCH_RECOGNIZE (...) [AS] alias behind its input.
func (p *parser) matchRecognize(in TableExpr) TableExpr {
	outer := p.enter()
	defer p.leave(outer)
	m := &MatchRecognize{At: At(in.Pos()), Input: in}
	p.expect("match_recognize")
	p.expectOp("(")
	if p.accept("partition") {
		p.expect("by")
		m.PartitionBy = list(p, p.expr)
	}
	m.OrderBy = p.orderBy()
	if p.accept("measures") {
		m.Measures = list(p, p.measure)
	}
	p.matchRows(m)
	p.matchSkip(m)
	p.expect("pattern")
	p.pattern(m)
	if p.accept("within") {
		m.Within = p.expr()
	}
	if p.accept("subset") {
		m.Subsets = list(p, p.subset)
	}
	if p.accept("define") {
		m.Define = list(p, p.define)
	}
	p.expectOp(")")
	m.Alias = p.alias()
	return m
}

func (p *parser) measure() Measure {
	m := Measure{At: p.here(), X: p.matchExpr()}
	p.expect("as")
	m.Name = p.label()
	return m
}

// matchExpr reads an expression in which FINAL and RUNNING may stand before calls.
func (p *parser) matchExpr() Expr {
	was := p.inMatch
	p.inMatch = true
	x := p.expr()
	p.inMatch = was
	return x
}

func (p *parser) define() Define {
	d := Define{At: p.here(), Name: p.colID()}
	p.expect("as")
	d.Cond = p.matchExpr()
	return d
}

func (p *parser) subset() Subset {
	s := Subset{At: p.here(), Name: p.colID()}
	p.expectOp("=")
	s.Vars = parenList(p, p.colID)
	return s
}

func (p *parser) matchRows(m *MatchRecognize) {
	if p.accept("one") {
		p.expect("row", "per", "match")
		m.Rows = OneRowPerMatch
		return
	}
	if !p.accept("all") {
		return
	}
	p.expect("rows", "per", "match")
	m.Rows = AllRowsPerMatch
	switch {
	case p.accept("show"):
		p.expect("empty", "matches")
		m.Rows = AllRowsShowEmpty
	case p.accept("omit"):
		p.expect("empty", "matches")
		m.Rows = AllRowsOmitEmpty
	case p.accept("with"):
		p.expect("unmatched", "rows")
		m.Rows = AllRowsWithUnmatched
	}
}

func (p *parser) matchSkip(m *MatchRecognize) {
	if !p.accept("after") {
		return
	}
	p.expect("match", "skip")
	if p.accept("past") {
		p.expect("last", "row")
		m.Skip = SkipPastLastRow
		return
	}
	p.expect("to")
	switch {
	case p.isWords("next", "row"):
		p.accept("next", "row")
		m.Skip = SkipToNextRow
		return
	case p.isWord("first") && p.peek(1).isColID():
		p.advance()
		m.Skip = SkipToFirst
	case p.isWord("last") && p.peek(1).isColID() && !p.peek(2).isOp("("):
		p.advance()
		m.Skip = SkipToLast
	default:
		m.Skip = SkipToLast
	}
	m.SkipTo = p.colID()
}

// pattern reads ( row pattern ). Signs in it are single characters, so the lexer is told so before it reads past the parenthesis.
func (p *parser) pattern(m *MatchRecognize) {
	if !p.isOp("(") || len(p.ahead) > 0 {
		p.unexpected()
	}
	p.lex.pattern = true
	p.advance()
	m.Pattern = p.patternAlt()
	if !p.isOp(")") {
		p.unexpected()
	}
	p.lex.pattern = false
	p.advance()
}

// patternAlt reads a | b.
func (p *parser) patternAlt() PatternNode {
	outer := p.enter()
	defer p.leave(outer)
	at := p.here()
	parts := []PatternNode{p.patternConcat()}
	for p.acceptOp("|") {
		parts = append(parts, p.patternConcat())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &PatternAlt{At: at, Parts: parts}
}

// patternConcat reads a b c, which may be empty.
func (p *parser) patternConcat() PatternNode {
	c := &PatternConcat{At: p.here()}
	for !p.isOp("|") && !p.isOp(")") && !p.isOp("-") && !p.isOp(",") {
		c.Parts = append(c.Parts, p.patternTerm())
	}
	if len(c.Parts) == 1 {
		return c.Parts[0]
	}
	return c
}

// patternTerm reads one part of a pattern with its quantifier.
func (p *parser) patternTerm() PatternNode {
	at := p.here()
	var x PatternNode
	switch {
	case p.acceptOp("^"):
		return &PatternAnchor{At: at}
	case p.acceptOp("$"):
		return &PatternAnchor{At: at, End: true}
	case p.acceptOp("("):
		x = p.patternAlt()
		p.expectOp(")")
	case p.acceptOp("{"):
		p.expectOp("-")
		x = &PatternExclude{At: at, X: p.patternAlt()}
		p.expectOp("-")
		p.expectOp("}")
	case p.isWord("permute") && p.peek(1).isOp("("):
		p.advance()
		x = &PatternPermute{At: at, Parts: parenList(p, p.patternAlt)}
	default:
		x = &PatternVar{At: at, Name: p.colID()}
	}
	return p.patternRepeat(at, x)
}

// patternRepeat reads a quantifier.
func (p *parser) patternRepeat(at At, x PatternNode) PatternNode {
	r := &PatternRepeat{At: at, X: x, Max: -1}
	switch {
	case p.acceptOp("*"):
	case p.acceptOp("+"):
		r.Min = 1
	case p.acceptOp("?"):
		r.Max = 1
	case p.isOp("{") && !p.peek(1).isOp("-"):
		p.advance()
		p.patternBounds(r)
	default:
		return x
	}
	r.Reluctant = p.acceptOp("?")
	return r
}

// patternBounds reads n}, n,}, ,m} or n,m}.
func (p *parser) patternBounds(r *PatternRepeat) {
	at := p.tok
	lower := p.tok.kind == tokInt
	if lower {
		r.Min = p.intConst()
	}
	switch {
	case p.acceptOp(","):
		if p.tok.kind == tokInt {
			if r.Max = p.intConst(); r.Max < r.Min || r.Max == 0 {
				p.fail(at.pos, "42601", "bounds of a pattern quantifier must be in order and not zero", "")
			}
		} else if !lower {
			p.unexpected()
		}
	case lower:
		if r.Max = r.Min; r.Max == 0 {
			p.fail(at.pos, "42601", "bounds of a pattern quantifier must be in order and not zero", "")
		}
	default:
		p.unexpected()
	}
	p.expectOp("}")
}
