package sql

// insert reads INSERT behind a WITH that was read.
func (p *parser) insert(w *With, start int) Stmt {
	s := &Insert{With: w}
	p.expect("insert", "into")
	s.Table = p.relName()
	if p.accept("as") {
		s.Alias = p.colID()
	}
	switch {
	case p.isWord("default"):
		p.expect("default", "values")
	default:
		if p.isOp("(") && !p.insertsQuery() {
			s.Columns = parenList(p, p.target)
		}
		if p.accept("overriding") {
			s.Overriding = p.objectKind("system", "user")
			p.expect("value")
		}
		if !p.startsQuery() && !p.isOp("(") {
			p.unexpected()
		}
		s.Source = p.query()
	}
	if p.isWord("on") {
		s.OnConflict = p.onConflict()
	}
	s.Returning = p.returning()
	s.Span = p.span(start)
	return s
}

// insertsQuery tells INSERT INTO t (SELECT ..) from INSERT INTO t (columns).
func (p *parser) insertsQuery() bool {
	n := p.peek(1)
	return n.isOp("(") || n.isWord("select") || n.isWord("with") || n.isWord("table") || n.isWord("values") && p.peek(2).isOp("(")
}

// target reads a column that is assigned.
func (p *parser) target() Target {
	t := Target{At: p.here(), Column: p.colID()}
	for {
		switch {
		case p.isOp("."):
			at := p.here()
			p.advance()
			t.Path = append(t.Path, &FieldExpr{At: at, Field: p.label()})
		case p.isOp("["):
			t.Path = append(t.Path, p.subscript(nil))
		default:
			return t
		}
	}
}

func (p *parser) onConflict() *OnConflict {
	c := &OnConflict{At: p.here()}
	p.expect("on", "conflict")
	switch {
	case p.isOp("("):
		c.Columns = parenList(p, p.indexElem)
		if p.accept("where") {
			c.Where = p.expr()
		}
	case p.accept("on"):
		p.expect("constraint")
		c.Constraint = p.colID()
	}
	p.expect("do")
	if p.accept("nothing") {
		return c
	}
	p.expect("update", "set")
	c.Update = true
	c.Set = list(p, p.setClause)
	if p.accept("where") {
		c.SetWhere = p.expr()
	}
	return c
}

// setClause reads a = x or (a, b) = x.
func (p *parser) setClause() SetClause {
	s := SetClause{At: p.here()}
	if s.Multi = p.isOp("("); s.Multi {
		s.Targets = parenList(p, p.target)
		p.expectOp("=")
		s.Value = p.expr()
		return s
	}
	s.Targets = []Target{p.target()}
	p.expectOp("=")
	s.Value = p.expr()
	return s
}

// returning reads RETURNING.
func (p *parser) returning() []SelectItem {
	if !p.accept("returning") {
		return nil
	}
	return list(p, p.selectItem)
}

// changedTable reads the table of UPDATE and DELETE, whose alias may not be SET without AS.
func (p *parser) changedTable() *TableRef {
	t := p.relation()
	a := &Alias{At: p.here()}
	if p.accept("as") {
		a.Name = p.colID()
		t.Alias = a
	} else if p.tok.isColID() && !p.isWord("set") {
		a.Name = p.take()
		t.Alias = a
	}
	return t
}

func (p *parser) update(w *With, start int) Stmt {
	s := &Update{With: w}
	p.expect("update")
	s.Table = p.changedTable()
	p.expect("set")
	s.Set = list(p, p.setClause)
	if p.accept("from") {
		s.From = list(p, p.tableExpr)
	}
	s.Where = p.whereOrCurrent()
	s.Returning = p.returning()
	s.Span = p.span(start)
	return s
}

func (p *parser) delete(w *With, start int) Stmt {
	s := &Delete{With: w}
	p.expect("delete", "from")
	s.Table = p.changedTable()
	if p.accept("using") {
		s.Using = list(p, p.tableExpr)
	}
	s.Where = p.whereOrCurrent()
	s.Returning = p.returning()
	s.Span = p.span(start)
	return s
}

// whereOrCurrent reads WHERE condition or WHERE CURRENT OF cursor.
func (p *parser) whereOrCurrent() Expr {
	if !p.accept("where") {
		return nil
	}
	if p.isWords("current", "of") {
		at := p.here()
		p.accept("current", "of")
		return &CurrentOf{At: at, Cursor: p.colID()}
	}
	return p.expr()
}

func (p *parser) truncate() Stmt {
	s, start := &Truncate{}, p.tok.pos
	p.expect("truncate")
	p.accept("table")
	s.Tables = list(p, p.relation)
	if p.accept("restart") {
		p.expect("identity")
		s.RestartIdentity = true
	} else if p.accept("continue") {
		p.expect("identity")
	}
	s.Behavior = p.behavior()
	s.Span = p.span(start)
	return s
}

// behavior reads CASCADE or RESTRICT.
func (p *parser) behavior() Behavior {
	switch {
	case p.accept("cascade"):
		return Cascade
	case p.accept("restrict"):
		return Restrict
	}
	return BehaviorDefault
}

// copy reads COPY.
func (p *parser) copy() Stmt {
	c, start := &Copy{}, p.tok.pos
	p.expect("copy")
	binary := p.here()
	isBinary := p.accept("binary")
	if p.isOp("(") && !isBinary {
		p.advance()
		if p.isWord("subscribe") {
			c.Stmt = p.subscribe()
		} else {
			c.Stmt = p.preparable()
		}
		p.expectOp(")")
		p.expect("to")
	} else {
		c.Table = p.relName()
		if p.isOp("(") {
			c.Columns = parenList(p, p.colID)
		}
		if c.From = p.accept("from"); !c.From {
			p.expect("to")
		}
	}
	p.copyFile(c)
	if isBinary {
		c.Options = append(c.Options, Option{At: binary, Name: "format", Value: &Word{At: binary, Text: "binary"}})
	}
	if c.Stmt == nil {
		if at := p.here(); p.isWord("delimiters") || p.isWords("using", "delimiters") {
			p.accept("using")
			p.accept("delimiters")
			c.Options = append(c.Options, Option{At: at, Name: "delimiter", Value: p.stringValue()})
		}
	}
	p.accept("with")
	if p.isOp("(") {
		c.Options = append(c.Options, parenList(p, func() Option { return p.option(optionWord) })...)
	} else {
		p.oldCopyOptions(c)
	}
	if where := p.here(); c.Stmt == nil && p.accept("where") {
		if !c.From {
			p.fail(int(where), "42601", `WHERE clause not allowed with COPY TO at or near "`+p.lex.src[where:int(where)+5]+`"`, "")
		}
		c.Where = p.expr()
	}
	c.Span = p.span(start)
	return c
}

// copyFile reads STDIN, STDOUT, 'file' or PROGRAM 'command'.
func (p *parser) copyFile(c *Copy) {
	c.Program = p.accept("program")
	at := p.tok.pos
	switch {
	case p.tok.kind == tokString:
		c.File = p.stringConst()
	case p.isAny("stdin", "stdout"):
		p.advance()
		c.Stdio = true
		if c.Program {
			p.fail(at, "42601", `STDIN/STDOUT not allowed with PROGRAM at or near "`+p.lex.src[at:p.lastEnd]+`"`, "")
		}
	default:
		p.unexpected()
	}
}

// oldCopyOptions reads options as PostgreSQL before 9.0 wrote them and turns them into the new form.
func (p *parser) oldCopyOptions(c *Copy) {
	for {
		o := Option{At: p.here(), Name: p.tok.text}
		yes := &BoolLit{At: o.At, Value: true}
		switch {
		case p.accept("binary"), p.accept("csv"):
			o.Name, o.Value = "format", &Word{At: o.At, Text: o.Name}
		case p.accept("freeze"), p.accept("header"):
			o.Value = yes
		case p.isAny("delimiter", "null", "quote", "escape"):
			p.advance()
			p.accept("as")
			o.Value = p.stringValue()
		case p.accept("encoding"):
			o.Value = p.stringValue()
		case p.accept("force"):
			switch {
			case p.accept("quote"):
				o.Name = "force_quote"
				if at := p.here(); p.acceptOp("*") {
					o.Value = &StarExpr{At: at}
				}
			case p.accept("not"):
				p.expect("null")
				o.Name = "force_not_null"
			default:
				p.expect("null")
				o.Name = "force_null"
			}
			if o.Value == nil {
				r := &RowExpr{At: p.here(), Explicit: true}
				r.Elems = list(p, func() Expr {
					id := p.colID()
					return &Word{At: id.At, Text: id.Text, Quoted: id.Quoted}
				})
				o.Value = r
			}
		default:
			return
		}
		c.Options = append(c.Options, o)
	}
}

// optionForm is how an option joins its name and value.
type optionForm uint8

const (
	optionWord   optionForm = iota // name value: COPY, EXPLAIN; an = between them is taken too
	optionEquals                   // name = value, or name alone
	optionScalar                   // as optionWord, but neither a list nor *
)

// option reads one option.
func (p *parser) option(form optionForm) Option {
	o := Option{At: p.here()}
	if p.tok.kind == tokString && p.tok.text != "" && form == optionEquals { // Flink writes 'connector' = 'nats'
		o.Name, o.Quoted = p.stringConst(), true
	} else {
		id := p.label()
		o.Name, o.Quoted = id.Text, id.Quoted
		for p.acceptOp(".") {
			id := p.label()
			o.Name, o.Quoted = o.Name+"."+id.Text, o.Quoted || id.Quoted
		}
	}
	if p.isOp(",") || p.isOp(")") {
		return o
	}
	if form != optionScalar && p.isOp("=") {
		p.advance()
	} else if form == optionEquals {
		p.unexpected()
	}
	o.Value = p.optionValue(form)
	return o
}

// optionItem reads an element of a list.
func (p *parser) optionItem(form optionForm) Expr {
	if form == optionWord {
		form = optionScalar
	}
	return p.optionValue(form)
}

// optionValue reads a word, a constant, * or a list of words and constants.
func (p *parser) optionValue(form optionForm) Expr {
	at := p.here()
	switch {
	case form == optionScalar:
		return p.setValue()
	case p.acceptOp("*"):
		return &StarExpr{At: at}
	case p.isOp("("):
		outer := p.enter()
		defer p.leave(outer)
		return &RowExpr{At: at, Explicit: true, Elems: parenList(p, func() Expr { return p.optionItem(form) })}
	case form == optionWord:
		return p.setValue()
	case p.accept("null"):
		return &NullLit{At: at}
	case p.isWord("interval"):
		if x := p.typedConst(); x != nil {
			return x
		}
	}
	if p.tok.kind == tokKeyword && !p.isAny("true", "false") {
		id := p.take()
		return &Word{At: at, Text: id.Text}
	}
	return p.setValue()
}
