package sql

// createFunction reads CREATE FUNCTION or PROCEDURE.
func (p *parser) createFunction(start int, flags createFlags) Stmt {
	f := &CreateFunction{OrReplace: flags.orReplace, Procedure: p.isWord("procedure")}
	p.advance()
	if p.tok.isTypeFunc() && !p.peek(1).isOp(".") {
		id := p.take()
		f.Name = Name{At: id.At, Parts: []Ident{id}}
	} else if f.Name = p.name(); len(f.Name.Parts) == 1 {
		p.unexpected()
	}
	p.expectOp("(")
	if !p.isOp(")") {
		f.Params = list(p, p.funcParamDefault)
	}
	p.expectOp(")")
	if !f.Procedure && p.accept("returns") {
		if p.isWord("table") {
			p.advance()
			f.ReturnsTable = parenList(p, func() FuncParam {
				c := FuncParam{At: p.here()}
				c.Name = p.paramName()
				c.Type = p.funcType()
				return c
			})
		} else {
			f.Returns = p.funcType()
		}
	}
	for {
		o, ok := p.funcOption()
		if !ok {
			break
		}
		f.Options = append(f.Options, o)
	}
	switch {
	case p.accept("return"):
		f.Return = p.expr()
	case p.accept("begin"):
		p.expect("atomic")
		f.Atomic = true
		for !p.isWord("end") {
			if p.acceptOp(";") {
				continue
			}
			if p.isWord("return") {
				p.notSupported("RETURN statements in bodies of functions")
			}
			f.Body = append(f.Body, p.stmt())
			p.expectOp(";")
		}
		p.expect("end")
	}
	f.Span = p.span(start)
	return f
}

// paramName reads PostgreSQL's param_name.
func (p *parser) paramName() Ident {
	if !p.tok.isTypeFunc() {
		p.unexpected()
	}
	return p.take()
}

// funcType reads a type, which may be name%TYPE.
func (p *parser) funcType() *TypeName {
	t := p.typeName()
	if p.isOp("%") && p.peek(1).isWord("type") && len(t.Name.Parts) > 1 && t.Mods == nil && t.ArrayDims == nil {
		p.advance()
		p.advance()
		t.PercentTy = true
	}
	return t
}

// funcParam reads [mode] [name] type, the mode also behind the name.
func (p *parser) funcParam() FuncParam {
	f := FuncParam{At: p.here()}
	f.Mode = p.paramMode()
	if p.paramNameFollows() {
		f.Name = p.paramName()
		if f.Mode == "" {
			f.Mode = p.paramMode()
		}
	}
	f.Type = p.funcType()
	return f
}

func (p *parser) paramMode() string {
	switch {
	case p.accept("in"):
		if p.accept("out") {
			return "inout"
		}
		return "in"
	case p.accept("out"):
		return "out"
	case p.accept("inout"):
		return "inout"
	case p.accept("variadic"):
		return "variadic"
	}
	return ""
}

// paramNameFollows tells a parameter's name from its type: a name is followed by a mode or by the type.
func (p *parser) paramNameFollows() bool {
	if !p.tok.isTypeFunc() {
		return false
	}
	n := p.peek(1)
	if p.isWord("double") && n.isWord("precision") {
		return false
	}
	if n.isWord("array") {
		return false
	}
	if p.tok.kind == tokKeyword && p.isWord("setof") {
		return false
	}
	if n.kind == tokIdent {
		return true
	}
	if n.kind != tokKeyword {
		return false
	}
	switch n.text {
	case "in", "out", "inout", "variadic", "setof":
		return true
	case "default", "as":
		return false
	}
	return n.kw.class == unreserved || n.kw.class == typeFuncName || n.kw.class == colName
}

func (p *parser) funcParamDefault() FuncParam {
	f := p.funcParam()
	if p.accept("default") || p.acceptOp("=") {
		f.Default = p.expr()
	}
	return f
}

// funcOption reads LANGUAGE sql and the like; false if none follows.
func (p *parser) funcOption() (FuncOption, bool) {
	o := FuncOption{At: p.here(), Name: p.tok.text}
	switch {
	case p.accept("as"):
		o.Text = []string{p.stringConst()}
		if p.acceptOp(",") {
			o.Text = append(o.Text, p.stringConst())
		}
	case p.accept("language"):
		if p.tok.kind == tokString {
			o.Text = []string{p.stringConst()}
		} else {
			o.Text = []string{p.nonReserved().Text}
		}
	case p.isAny("immutable", "stable", "volatile"):
		o.Name, o.Text = "volatility", []string{p.tok.text}
		p.advance()
	case p.accept("strict"):
		o.Text = []string{"strict"}
	case p.accept("returns"):
		p.expect("null", "on", "null", "input")
		o.Name, o.Text = "strict", []string{"strict"}
	case p.accept("called"):
		p.expect("on", "null", "input")
		o.Name, o.Text = "strict", []string{"called on null input"}
	case p.accept("window"):
	case p.isAny("external", "security"):
		if p.accept("external") {
			o.Name = "security"
		}
		p.expect("security")
		o.Text = []string{p.objectKind("definer", "invoker")}
	case p.accept("leakproof"):
		o.Text = []string{"leakproof"}
	case p.isWords("not", "leakproof"):
		p.accept("not", "leakproof")
		o.Name, o.Text = "leakproof", []string{"not leakproof"}
	case p.isAny("cost", "rows"):
		p.advance()
		o.Value = p.signedNumber()
	case p.accept("parallel"):
		o.Text = []string{p.colID().Text}
	case p.accept("support"):
		o.Text = []string{joinIdents(p.name().Parts)}
	case p.isAny("set", "reset"):
		a := p.setParameter()
		o.Name, o.Set = "set", a.Set
	default:
		return o, false
	}
	return o, true
}
