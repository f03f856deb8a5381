package sql

// tableElem reads a column or constraint of CREATE TABLE.
func (p *parser) tableElem() TableElem {
	if p.isWords("watermark", "for") {
		return p.watermark()
	}
	if p.isWord("like") {
		return p.likeClause()
	}
	if c := p.tableConstraint(); c != nil {
		return c
	}
	return p.columnDef()
}

// sourceElem reads an element of CREATE SOURCE.
func (p *parser) sourceElem() TableElem {
	if p.isWords("watermark", "for") {
		return p.watermark()
	}
	if c := p.tableConstraint(); c != nil {
		return c
	}
	return p.columnDef()
}

func (p *parser) watermark() *WatermarkDef {
	w := &WatermarkDef{At: p.here()}
	p.expect("watermark", "for")
	w.Column = p.colID()
	p.expect("as")
	w.X = p.expr()
	return w
}

func (p *parser) likeClause() TableElem {
	l := &LikeClause{At: p.here()}
	p.expect("like")
	l.Table = p.relName()
	for p.isAny("including", "excluding") {
		o := p.tok.text + " "
		p.advance()
		o += p.objectKind("comments", "compression", "constraints", "defaults", "identity", "generated", "indexes", "statistics", "storage", "all")
		l.Options = append(l.Options, o)
	}
	return l
}

// columnDef reads name type constraints. Beyond PostgreSQL a column may be computed by
// name [type] AS expr.
func (p *parser) columnDef() *ColumnDef {
	c := &ColumnDef{At: p.here(), Name: p.colID()}
	if !p.isWord("as") {
		c.Type = p.typeName()
	}
	if p.accept("compression") {
		if p.accept("default") {
			c.Compression = "default"
		} else {
			c.Compression = p.colID().Text
		}
	}
	for {
		if p.accept("collate") {
			if !c.Collation.IsZero() {
				p.fail(p.lastEnd, "42601", "multiple COLLATE clauses not allowed", "")
			}
			c.Collation = p.name()
			continue
		}
		con, ok := p.columnConstraint(true)
		if !ok {
			return c
		}
		c.Constraints = append(c.Constraints, con)
	}
}

// columnConstraint reads one constraint behind a column or domain. Attributes such as DEFERRABLE belong to the constraint before them; a
// constraint without any kind is not returned.
func (p *parser) columnConstraint(column bool) (ColumnConstraint, bool) {
	c := ColumnConstraint{At: p.here()}
	if p.accept("constraint") {
		c.Name = p.colID()
	}
	switch {
	case p.isWord("not") && p.peek(1).isWord("null"):
		p.accept("not", "null")
		c.Kind = ConNotNull
	case p.accept("null"):
		c.Kind = ConNull
	case p.accept("unique"):
		c.Kind, c.NullsNotDist = ConUnique, p.nullsNotDistinct()
		c.Options = p.indexTail()
	case p.accept("primary"):
		p.expect("key")
		c.Kind = ConPrimaryKey
		c.Options = p.indexTail()
	case p.accept("check"):
		c.Kind = ConCheck
		p.expectOp("(")
		c.X = p.expr()
		p.expectOp(")")
		c.NoInherit = p.accept("no", "inherit")
	case p.accept("default"):
		c.Kind, c.X = ConDefault, p.bExpr()
	case p.accept("generated"):
		p.generated(&c)
	case p.isWord("references"):
		c.Kind, c.References = ConReferences, p.references()
	case column && p.accept("as"):
		c.Kind, c.X = ConGenerated, p.expr()
	default:
		if c.Name.Text != "" {
			p.unexpected()
		}
		return c, false
	}
	p.deferral(&c.Deferrable, &c.InitDeferred)
	return c, true
}

// generated reads what follows GENERATED.
func (p *parser) generated(c *ColumnConstraint) {
	if c.Always = p.accept("always"); !c.Always {
		p.expect("by", "default")
	}
	p.expect("as")
	if p.accept("identity") {
		c.Kind = ConIdentity
		if p.acceptOp("(") {
			c.Options = p.sequenceOptions()
			if c.Options == nil {
				p.unexpected()
			}
			p.expectOp(")")
		}
		return
	}
	at := p.tok
	p.expectOp("(")
	if !c.Always {
		p.fail(at.pos, "42601", "for a generated column, GENERATED ALWAYS must be specified", "")
	}
	c.Kind, c.X = ConGenerated, p.expr()
	p.expectOp(")")
	p.expect("stored")
	c.Stored = true
}

// indexTail reads WITH (..) and USING INDEX TABLESPACE behind UNIQUE and PRIMARY KEY.
func (p *parser) indexTail() []Option {
	opts := p.withOptions()
	if p.accept("using") {
		p.expect("index", "tablespace")
		p.colID()
	}
	return opts
}

// deferral reads [NOT] DEFERRABLE and INITIALLY DEFERRED | IMMEDIATE.
func (p *parser) deferral(deferrable, deferred *Tristate) {
	for {
		switch at := p.tok.pos; {
		case p.isWord("deferrable") || p.isWords("not", "deferrable"):
			if *deferrable != Unset {
				p.fail(at, "42601", "multiple DEFERRABLE/NOT DEFERRABLE clauses not allowed", "")
			}
			if *deferrable = Yes; p.accept("not") {
				*deferrable = No
			}
			p.advance()
		case p.accept("initially"):
			if *deferred != Unset {
				p.fail(at, "42601", "multiple INITIALLY IMMEDIATE/DEFERRED clauses not allowed", "")
			}
			if *deferred = No; p.accept("deferred") {
				*deferred = Yes
			} else {
				p.expect("immediate")
			}
		default:
			return
		}
	}
}

// references reads REFERENCES.
func (p *parser) references() *References {
	r := &References{At: p.here()}
	p.expect("references")
	r.Table = p.relName()
	if p.isOp("(") {
		r.Columns = parenList(p, p.colID)
	}
	if p.accept("match") {
		r.Match = p.objectKind("full", "partial", "simple")
		if r.Match == "partial" {
			p.fail(p.lastEnd, "0A000", "MATCH PARTIAL not yet implemented", "")
		}
	}
	for p.isWord("on") {
		p.advance()
		if del := p.accept("delete"); del {
			r.OnDelete = p.keyAction(r)
		} else {
			p.expect("update")
			r.OnUpdate = p.keyAction(nil)
		}
	}
	return r
}

// keyAction reads CASCADE, SET NULL and the like; r takes the columns of ON DELETE SET NULL (a).
func (p *parser) keyAction(r *References) string {
	action := ""
	switch {
	case p.accept("no"):
		p.expect("action")
		return "no action"
	case p.accept("restrict"):
		return "restrict"
	case p.accept("cascade"):
		return "cascade"
	case p.accept("set", "null"):
		action = "set null"
	default:
		p.expect("set", "default")
		action = "set default"
	}
	if r != nil && p.isOp("(") {
		r.OnDeleteColumns = parenList(p, p.colID)
	}
	return action
}

// tableConstraint reads a constraint that is an element of its own; it returns nil if none begins here.
func (p *parser) tableConstraint() *TableConstraint {
	c := &TableConstraint{At: p.here()}
	named := p.accept("constraint")
	if named {
		c.Name = p.colID()
	}
	switch {
	case p.accept("check"):
		c.Kind = ConCheck
		p.expectOp("(")
		c.X = p.expr()
		p.expectOp(")")
	case p.accept("unique"):
		c.Kind, c.NullsNotDist = ConUnique, p.nullsNotDistinct()
		p.keyColumns(c)
	case p.accept("primary"):
		p.expect("key")
		c.Kind = ConPrimaryKey
		p.keyColumns(c)
	case p.accept("foreign"):
		p.expect("key")
		c.Kind, c.Columns = ConReferences, parenList(p, p.colID)
		if !p.isWord("references") {
			p.unexpected()
		}
		c.References = p.references()
	case p.isWord("exclude") && (named || p.peek(1).isWord("using") || p.peek(1).isOp("(")):
		p.notSupported("exclusion constraints")
	default:
		if named {
			p.unexpected()
		}
		return nil
	}
	for {
		p.deferral(&c.Deferrable, &c.InitDeferred)
		switch {
		case p.accept("not", "valid"):
			c.NotValid = true
		case p.accept("no", "inherit"):
			c.NoInherit = true
		case p.accept("not", "enforced"):
			c.NotEnforced = true
		default:
			return c
		}
	}
}

// keyColumns reads (columns) [INCLUDE (columns)] or USING INDEX name.
func (p *parser) keyColumns(c *TableConstraint) {
	if p.accept("using") {
		p.expect("index")
		c.UsingIndex = p.colID()
		return
	}
	c.Columns = parenList(p, p.colID)
	if p.accept("include") {
		c.Include = parenList(p, p.colID)
	}
	p.indexTail()
}
