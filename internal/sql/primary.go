package sql

// primary reads PostgreSQL's c_expr: constants, columns, calls and what stands in parentheses or has a syntax of its own.
func (p *parser) primary() Expr {
	t, at := p.tok, p.here()
	switch t.kind {
	case tokInt, tokFloat:
		p.advance()
		return &NumberLit{At: at, Text: t.text, IsInt: t.kind == tokInt}
	case tokString:
		p.advance()
		return &StringLit{At: at, Value: t.text}
	case tokBits, tokHex:
		p.advance()
		return &BitStringLit{At: at, Digits: t.text, Hex: t.kind == tokHex}
	case tokParam:
		return p.indirection(&Param{At: at, N: p.paramNumber()}, true)
	case tokIdent:
		return p.columnOrCall()
	case tokKeyword:
		return p.wordExpr()
	}
	if !t.isOp("(") {
		p.unexpected()
	}
	q, l := p.parenthesised()
	if q != nil {
		return p.indirection(&SubqueryExpr{At: at, Query: q}, true)
	}
	return p.parenExpr(at, l)
}

// wordExpr reads an expression that begins with a keyword.
func (p *parser) wordExpr() Expr {
	t, at := p.tok, p.here()
	switch t.text {
	case "null":
		p.advance()
		return &NullLit{At: at}
	case "true", "false":
		p.advance()
		return &BoolLit{At: at, Value: t.text == "true"}
	case "case":
		return p.caseExpr()
	case "exists":
		if p.peek(1).isOp("(") {
			p.advance()
			return &ExistsExpr{At: at, Query: p.subquery()}
		}
	case "array":
		return p.arrayExpr()
	case "row":
		if p.peek(1).isOp("(") {
			return p.overlaps(p.rowExpr())
		}
	case "grouping":
		if p.peek(1).isOp("(") {
			p.advance()
			return &GroupingExpr{At: at, Args: parenList(p, p.expr)}
		}
	}
	if x := p.special(); x != nil {
		return x
	}
	if x := p.typedConst(); x != nil {
		return x
	}
	if t.kw.class == reserved {
		p.unexpected()
	}
	return p.columnOrCall()
}

func (p *parser) caseExpr() Expr {
	c := &CaseExpr{At: p.here()}
	p.expect("case")
	if !p.isWord("when") {
		c.Operand = p.expr()
	}
	for {
		w := When{At: p.here()}
		p.expect("when")
		w.Cond = p.expr()
		p.expect("then")
		w.Result = p.expr()
		c.Whens = append(c.Whens, w)
		if !p.isWord("when") {
			break
		}
	}
	if p.accept("else") {
		c.Else = p.expr()
	}
	p.expect("end")
	return c
}

// arrayExpr reads ARRAY[...] and ARRAY(query).
func (p *parser) arrayExpr() Expr {
	at := p.here()
	p.expect("array")
	if p.isOp("(") {
		return &ArrayQueryExpr{At: at, Query: p.subquery()}
	}
	a := p.arrayElems()
	a.At, a.Nested = at, false
	return a
}

// arrayElems reads [a, b] or [[a], [b]].
func (p *parser) arrayElems() *ArrayExpr {
	outer := p.enter()
	defer p.leave(outer)
	a := &ArrayExpr{At: p.here(), Nested: true}
	p.expectOp("[")
	switch {
	case p.isOp("]"):
	case p.isOp("["):
		a.Elems = list(p, func() Expr { return p.arrayElems() })
	default:
		a.Elems = list(p, p.expr)
	}
	p.expectOp("]")
	return a
}

// columnOrCall reads a column, a call or a constant with a type's name in front.
func (p *parser) columnOrCall() Expr {
	at, first := p.here(), p.tok
	if p.inMatch && p.isAny("running", "final") && p.peek(1).isLabel() && p.peek(2).isOp("(") {
		p.advance()
		f, ok := p.columnOrCall().(*FuncCall)
		if !ok {
			p.unexpectedAt(first)
		}
		f.At, f.Running, f.Final = at, first.text == "running", first.text == "final"
		return f
	}
	if !first.isNonReserved() {
		p.unexpected()
	}
	n := p.peek(1)
	if n.isOp("(") || n.kind == tokString {
		if !first.isTypeFunc() {
			p.advance()
			p.unexpected()
		}
		name := Name{At: at, Parts: []Ident{p.take()}}
		return p.callOrConst(name)
	}
	if !first.isColID() {
		p.advance()
		p.unexpected()
	}
	parts := []Ident{p.take()}
	for p.isOp(".") {
		if p.advance(); p.acceptOp("*") {
			if p.isOp(".") || p.isOp("[") {
				p.fail(p.tok.pos, "42601", `improper use of "*"`+p.near(), "")
			}
			return &StarExpr{At: at, Qualifier: parts}
		}
		parts = append(parts, p.label())
	}
	if p.isOp("(") || p.tok.kind == tokString && len(parts) > 1 {
		return p.callOrConst(Name{At: at, Parts: parts})
	}
	if p.isOp("[") {
		return p.indirection(&ColumnRef{At: at, Parts: parts}, true)
	}
	return &ColumnRef{At: at, Parts: parts}
}

// callOrConst reads what follows the name of a function or of a constant's type.
func (p *parser) callOrConst(name Name) Expr {
	if p.tok.kind == tokString {
		t := &TypeName{At: name.At, Name: name}
		return &TypedLit{At: name.At, Type: t, Value: p.stringConst()}
	}
	f := p.call(name)
	if p.tok.kind == tokString && len(f.Args) > 0 && !f.Distinct && !f.AllWord && !f.Variadic {
		for _, a := range f.Args {
			if n, ok := a.(*NamedArg); ok {
				p.fail(n.Pos(), "42601", "type modifier cannot have parameter name", "")
			}
		}
		if f.OrderBy != nil {
			p.fail(f.OrderBy[0].Pos(), "42601", "type modifier cannot have ORDER BY", "")
		}
		t := &TypeName{At: name.At, Name: name, Mods: f.Args}
		return &TypedLit{At: name.At, Type: t, Value: p.stringConst()}
	}
	p.callSuffix(f)
	return f
}

// call reads the arguments of a function, in parentheses.
func (p *parser) call(name Name) *FuncCall {
	f := &FuncCall{At: name.At, Name: name}
	p.expectOp("(")
	switch {
	case p.acceptOp(")"):
		return f
	case p.acceptOp("*"):
		f.Star = true
		p.expectOp(")")
		return f
	case p.accept("distinct"):
		f.Distinct = true
	case p.accept("all"):
		f.AllWord = true
	}
	for {
		if !f.Distinct && !f.AllWord && p.accept("variadic") {
			f.Variadic = true
		}
		f.Args = append(f.Args, p.arg())
		if f.Variadic || !p.acceptOp(",") {
			break
		}
	}
	f.OrderBy = p.orderBy()
	p.expectOp(")")
	return f
}

// arg reads an argument, perhaps name => value.
func (p *parser) arg() Expr {
	if p.tok.isTypeFunc() {
		if n := p.peek(1); n.isOp("=>") || n.isOp(":=") {
			outer := p.enter()
			defer p.leave(outer)
			a := &NamedArg{At: p.here(), Name: p.take()}
			p.advance()
			a.Value = p.expr()
			return a
		}
	}
	return p.expr()
}

// callSuffix reads WITHIN GROUP, FILTER and OVER.
func (p *parser) callSuffix(f *FuncCall) {
	if p.isWords("within", "group") {
		at := p.here()
		switch {
		case f.OrderBy != nil:
			p.fail(int(at), "42601", "cannot use multiple ORDER BY clauses with WITHIN GROUP", "")
		case f.Distinct:
			p.fail(int(at), "42601", "cannot use DISTINCT with WITHIN GROUP", "")
		case f.Variadic:
			p.fail(int(at), "42601", "cannot use VARIADIC with WITHIN GROUP", "")
		}
		p.accept("within", "group")
		p.expectOp("(")
		if f.WithinGroup = p.orderBy(); f.WithinGroup == nil {
			p.unexpected()
		}
		p.expectOp(")")
	}
	if p.isWord("filter") && p.peek(1).isOp("(") {
		p.advance()
		p.advance()
		p.expect("where")
		f.Filter = p.expr()
		p.expectOp(")")
	}
	if p.isWord("over") && (p.peek(1).isOp("(") || p.peek(1).isColID()) {
		p.advance()
		f.Over = p.over()
	}
}

// over reads what follows OVER.
func (p *parser) over() *WindowSpec {
	if p.isOp("(") {
		return p.windowSpec()
	}
	return &WindowSpec{At: p.here(), Ref: p.colID(), Bare: true}
}

// windowSpec reads ( [name] [PARTITION BY ..] [ORDER BY ..] [frame] ).
func (p *parser) windowSpec() *WindowSpec {
	outer := p.enter()
	defer p.leave(outer)
	w := &WindowSpec{At: p.here()}
	p.expectOp("(")
	if p.tok.isColID() && !p.isAny("partition", "range", "rows", "groups") {
		w.Ref = p.take()
	}
	if p.accept("partition") {
		p.expect("by")
		w.PartitionBy = list(p, p.expr)
	}
	w.OrderBy = p.orderBy()
	if p.isAny("range", "rows", "groups") {
		w.Frame = p.frame()
	}
	p.expectOp(")")
	return w
}

func (p *parser) frame() *Frame {
	f := &Frame{At: p.here()}
	switch {
	case p.accept("rows"):
		f.Mode = FrameRows
	case p.accept("groups"):
		f.Mode = FrameGroups
	default:
		p.expect("range")
	}
	startAt := p.tok.pos
	if f.Between = p.accept("between"); f.Between {
		startAt = p.tok.pos
		f.Start = p.bound()
		p.expect("and")
		endAt := p.tok.pos
		f.End = p.bound()
		p.checkFrame(f, startAt, endAt)
	} else {
		f.Start = p.bound()
		f.End = Bound{At: f.Start.At, Kind: CurrentRow}
		switch f.Start.Kind {
		case UnboundedFollowing:
			p.fail(startAt, "42P20", "frame start cannot be UNBOUNDED FOLLOWING", "")
		case OffsetFollowing:
			p.fail(startAt, "42P20", "frame starting from following row cannot end with current row", "")
		}
	}
	if p.accept("exclude") {
		switch {
		case p.accept("current"):
			p.expect("row")
			f.Exclude = ExcludeCurrentRow
		case p.accept("group"):
			f.Exclude = ExcludeGroup
		case p.accept("ties"):
			f.Exclude = ExcludeTies
		default:
			p.expect("no", "others")
		}
	}
	return f
}

// checkFrame refuses frames that end before they start, as PostgreSQL's grammar does.
func (p *parser) checkFrame(f *Frame, startAt, endAt int) {
	s, e := f.Start.Kind, f.End.Kind
	switch {
	case s == UnboundedFollowing:
		p.fail(startAt, "42P20", "frame start cannot be UNBOUNDED FOLLOWING", "")
	case e == UnboundedPreceding:
		p.fail(endAt, "42P20", "frame end cannot be UNBOUNDED PRECEDING", "")
	case s == CurrentRow && e == OffsetPreceding:
		p.fail(endAt, "42P20", "frame starting from current row cannot have preceding rows", "")
	case s == OffsetFollowing && (e == OffsetPreceding || e == CurrentRow):
		p.fail(endAt, "42P20", "frame starting from following row cannot have preceding rows", "")
	}
}

func (p *parser) bound() Bound {
	b := Bound{At: p.here()}
	switch {
	case p.isWord("unbounded") && (p.peek(1).isWord("preceding") || p.peek(1).isWord("following")):
		p.advance()
		if b.Kind = UnboundedFollowing; p.accept("preceding") {
			b.Kind = UnboundedPreceding
		} else {
			p.expect("following")
		}
		return b
	case p.accept("current", "row"):
		b.Kind = CurrentRow
		return b
	}
	b.Offset = p.expr()
	if b.Kind = OffsetFollowing; p.accept("preceding") {
		b.Kind = OffsetPreceding
	} else {
		p.expect("following")
	}
	return b
}

// orderBy reads ORDER BY if it comes next.
func (p *parser) orderBy() []OrderItem {
	if !p.accept("order") {
		return nil
	}
	p.expect("by")
	return list(p, p.orderItem)
}

func (p *parser) orderItem() OrderItem {
	o := OrderItem{At: p.here(), X: p.expr()}
	switch {
	case p.accept("using"):
		o.Using = Operator{At: p.here()}
		if p.isWord("operator") {
			o.Using = p.operator()
		} else {
			o.Using.Symbol = p.opSymbol()
		}
	default:
		o.Dir = p.sortDir()
	}
	o.Nulls = p.nullsOrder()
	return o
}

func (p *parser) sortDir() SortDir {
	switch {
	case p.accept("asc"):
		return SortAsc
	case p.accept("desc"):
		return SortDesc
	}
	return SortDefault
}

func (p *parser) nullsOrder() NullsOrder {
	switch {
	case p.accept("nulls", "first"):
		return NullsFirst
	case p.accept("nulls", "last"):
		return NullsLast
	}
	return NullsDefault
}
