package sql

// alter reads ALTER.
func (p *parser) alter() Stmt {
	start := p.tok.pos
	p.expect("alter")
	if p.isAny("role", "user", "group") {
		return p.alterRole(start)
	}
	if p.accept("system") {
		a := &Alter{Kind: "system", Actions: []AlterAction{p.setParameter()}}
		a.Span = p.span(start)
		return a
	}
	a := &Alter{Kind: p.objectKind("table", "source", "sink", "view", "materialized view", "index", "schema", "database", "sequence",
		"function", "procedure", "type", "domain", "assertion")}
	switch a.Kind {
	case "function", "procedure":
		o := p.functionName()
		a.Name, a.Args, a.HasArgs = o.Name, o.Args, o.HasArgs
		a.Actions = []AlterAction{p.alterObject(a.Kind)}
	case "schema", "database":
		id := p.colID()
		a.Name = Name{At: id.At, Parts: []Ident{id}}
		a.Actions = []AlterAction{p.alterObject(a.Kind)}
	case "type", "domain", "assertion":
		a.Name = p.name()
		if a.Kind == "type" && p.isAny("add", "rename", "drop", "alter") {
			a.Actions = p.alterType()
			break
		}
		a.Actions = []AlterAction{p.alterObject(a.Kind)}
	case "sequence":
		a.IfExists, a.Name = p.ifExists(), p.relName()
		at := p.here()
		if opts := p.sequenceOptions(); opts != nil {
			a.Actions = []AlterAction{{At: at, Kind: AlterSequenceOptions, Options: opts}}
		} else {
			a.Actions = []AlterAction{p.alterObject(a.Kind)}
		}
	default:
		a.IfExists = p.ifExists()
		if a.Kind == "table" {
			t := p.relation()
			a.Only, a.Name = t.Only, t.Name
		} else {
			a.Name = p.relName()
		}
		a.Actions = p.alterRelation(a.Kind)
	}
	a.Span = p.span(start)
	return a
}

// setParameter reads SET name = value or RESET name.
func (p *parser) setParameter() AlterAction {
	x, start := AlterAction{At: p.here(), Kind: AlterSetParameter}, p.tok.pos
	if p.accept("reset") {
		x.Set = p.resetRest()
	} else {
		p.expect("set")
		x.Set = p.setRest()
	}
	x.Set.Span = p.span(start)
	return x
}

// alterObject reads RENAME TO, OWNER TO, SET SCHEMA and SET.
func (p *parser) alterObject(kind string) AlterAction {
	x := AlterAction{At: p.here()}
	switch {
	case p.accept("rename"):
		p.expect("to")
		x.Kind, x.Ident = AlterRenameTo, p.colID()
	case p.accept("owner"):
		p.expect("to")
		r := p.role()
		x.Kind, x.Role = AlterOwnerTo, &r
	case p.isWord("set") && p.peek(1).isWord("schema") && kind != "schema" && kind != "database":
		p.accept("set", "schema")
		x.Kind, x.Ident = AlterSetSchema, p.colID()
	case p.isAny("set", "reset") && (kind == "database" || kind == "function" || kind == "procedure"):
		return p.setParameter()
	default:
		p.unexpected()
	}
	return x
}

// alterType reads the actions of ALTER TYPE.
func (p *parser) alterType() []AlterAction {
	x := AlterAction{At: p.here()}
	switch {
	case p.accept("add", "value"):
		x.Kind, x.IfNotExists = AlterAddValue, p.ifNotExists()
		x.Text = p.stringConst()
		if p.accept("before") {
			x.Before = p.stringConst()
		} else if p.accept("after") {
			x.After = p.stringConst()
		}
	case p.accept("rename", "value"):
		x.Kind, x.Text = AlterRenameValue, p.stringConst()
		p.expect("to")
		x.NewText = p.stringConst()
	case p.accept("rename", "attribute"):
		x.Kind, x.Ident = AlterRenameColumn, p.colID()
		p.expect("to")
		x.To, x.Behavior = p.colID(), p.behavior()
	case p.isWord("rename"):
		return []AlterAction{p.alterObject("type")}
	default:
		return list(p, p.alterAttribute)
	}
	return []AlterAction{x}
}

// alterAttribute reads ADD, DROP and ALTER ATTRIBUTE.
func (p *parser) alterAttribute() AlterAction {
	x := AlterAction{At: p.here()}
	switch {
	case p.accept("add"):
		p.expect("attribute")
		c := p.funcColumn()
		x.Kind, x.Column = AlterAddColumn, &c
	case p.accept("drop"):
		p.expect("attribute")
		x.Kind, x.IfExists, x.Ident = AlterDropColumn, p.ifExists(), p.colID()
	default:
		p.expect("alter", "attribute")
		x.Kind, x.Ident = AlterColumnType, p.colID()
		p.accept("set", "data")
		p.expect("type")
		x.Type = p.typeName()
		if p.accept("collate") {
			x.Collation = p.name()
		}
	}
	x.Behavior = p.behavior()
	return x
}

// alterRelation reads the actions on a table, source, sink, view or index.
func (p *parser) alterRelation(kind string) []AlterAction {
	x := AlterAction{At: p.here()}
	switch {
	case p.accept("rename"):
		switch {
		case p.accept("to"):
			x.Kind, x.Ident = AlterRenameTo, p.colID()
		case kind == "index":
			p.unexpected()
		case p.accept("constraint"):
			x.Kind, x.Ident = AlterRenameConstraint, p.colID()
			p.expect("to")
			x.To = p.colID()
		default:
			if p.isWord("column") {
				p.advance()
			}
			x.Kind, x.Ident = AlterRenameColumn, p.colID()
			p.expect("to")
			x.To = p.colID()
		}
		return []AlterAction{x}
	case p.accept("set", "schema"):
		x.Kind, x.Ident = AlterSetSchema, p.colID()
		return []AlterAction{x}
	}
	return list(p, func() AlterAction { return p.alterTableAction(kind) })
}

// alterTableAction reads one action of a list.
func (p *parser) alterTableAction(kind string) AlterAction {
	x := AlterAction{At: p.here()}
	switch {
	case p.accept("add"):
		p.alterAdd(&x, kind)
	case p.accept("drop"):
		if p.accept("constraint") {
			x.Kind = AlterDropConstraint
		} else {
			x.Kind = AlterDropColumn
			p.accept("column")
		}
		x.IfExists = p.ifExists()
		x.Ident, x.Behavior = p.colID(), p.behavior()
	case p.accept("alter"):
		p.accept("column")
		x.Ident = p.colID()
		p.alterColumn(&x)
	case p.accept("validate"):
		p.expect("constraint")
		x.Kind, x.Ident = AlterValidateConstraint, p.colID()
	case p.accept("owner"):
		p.expect("to")
		r := p.role()
		x.Kind, x.Role = AlterOwnerTo, &r
	case p.isWord("set") && p.peek(1).isOp("("):
		p.advance()
		x.Kind, x.Options = AlterSetOptions, p.equalsOptions()
	case p.isWord("set") && p.peek(1).kind == tokIdent && p.peek(2).isOp("="): // ALTER SINK s SET rate = 1
		p.advance()
		x.Kind, x.Options = AlterSetOptions, []Option{p.option(optionEquals)}
	case p.isWord("reset") && p.peek(1).isOp("("):
		p.advance()
		x.Kind, x.Options = AlterResetOptions, p.equalsOptions()
	case p.isWord("format"):
		x.Kind, x.Format = AlterFormat, p.formatClause()
	case p.isAny("enable", "disable"):
		p.notSupported("triggers and rules")
	default:
		p.unexpected()
	}
	return x
}

func (p *parser) alterAdd(x *AlterAction, kind string) {
	if p.isWords("watermark", "for") {
		x.Kind, x.Watermark = AlterAddWatermark, p.watermark()
		return
	}
	if c := p.tableConstraint(); c != nil {
		x.Kind, x.Constraint = AlterAddConstraint, c
		return
	}
	p.accept("column")
	x.Kind, x.IfNotExists = AlterAddColumn, p.ifNotExists()
	x.Column = p.columnDef()
}

// alterColumn reads what follows ALTER [COLUMN] name.
func (p *parser) alterColumn(x *AlterAction) {
	switch {
	case p.accept("set", "default"):
		x.Kind, x.X = AlterColumnSetDefault, p.expr()
	case p.accept("drop", "default"):
		x.Kind = AlterColumnDropDefault
	case p.accept("set", "not"):
		p.expect("null")
		x.Kind = AlterColumnSetNotNull
	case p.accept("drop", "not"):
		p.expect("null")
		x.Kind = AlterColumnDropNotNull
	case p.accept("drop", "expression"):
		x.Kind, x.IfExists = AlterColumnDropExpression, p.ifExists()
	case p.accept("set", "statistics"):
		x.Kind, x.X = AlterColumnSetStatistics, p.signedNumber()
	case p.accept("set", "storage"):
		x.Kind, x.Text = AlterColumnSetStorage, p.colID().Text
	default:
		p.accept("set", "data")
		p.expect("type")
		x.Kind, x.Type = AlterColumnType, p.typeName()
		if p.accept("collate") {
			x.Collation = p.name()
		}
		if p.accept("using") {
			x.X = p.expr()
		}
	}
}

// dropKinds are the objects of DROP with a list of qualified names.
var dropKinds = []string{"table", "source", "sink", "view", "materialized view", "sequence", "assertion", "type", "domain", "secret",
	"connection"}

// drop reads DROP.
func (p *parser) drop() Stmt {
	d, start := &Drop{}, p.tok.pos
	p.expect("drop")
	switch {
	case p.accept("index"):
		d.Kind, d.Concurrently = "index", p.accept("concurrently")
		d.IfExists = p.ifExists()
		d.Objects = list(p, p.objectName)
	case p.accept("database"):
		d.Kind, d.IfExists = "database", p.ifExists()
		id := p.colID()
		d.Objects = []ObjectName{{At: id.At, Name: Name{At: id.At, Parts: []Ident{id}}}}
		with := p.accept("with")
		if with || p.isOp("(") {
			parenList(p, func() bool { p.expect("force"); return true })
			d.Force = true
		}
	case p.isAny("role", "user", "group"):
		d.Kind = p.tok.text
		p.advance()
		d.IfExists = p.ifExists()
		d.Objects = list(p, func() ObjectName {
			id := p.nonReserved()
			return ObjectName{At: id.At, Name: Name{At: id.At, Parts: []Ident{id}}}
		})
	case p.isAny("function", "procedure"):
		d.Kind = p.tok.text
		p.advance()
		d.IfExists = p.ifExists()
		d.Objects = list(p, p.functionName)
	case p.accept("schema"):
		d.Kind, d.IfExists = "schema", p.ifExists()
		d.Objects = list(p, func() ObjectName {
			id := p.colID()
			return ObjectName{At: id.At, Name: Name{At: id.At, Parts: []Ident{id}}}
		})
	default:
		d.Kind = p.objectKind(dropKinds...)
		d.IfExists = p.ifExists()
		d.Objects = list(p, p.objectName)
	}
	if d.Kind != "database" && d.Kind != "role" && d.Kind != "user" && d.Kind != "group" {
		d.Behavior = p.behavior()
	}
	d.Span = p.span(start)
	return d
}

func (p *parser) objectName() ObjectName {
	at := p.here()
	return ObjectName{At: at, Name: p.name()}
}

// functionName reads name [(parameters)].
func (p *parser) functionName() ObjectName {
	o := ObjectName{At: p.here()}
	if p.tok.isTypeFunc() && !p.peek(1).isOp(".") {
		id := p.take()
		o.Name = Name{At: id.At, Parts: []Ident{id}}
	} else {
		o.Name = p.name()
		if len(o.Name.Parts) == 1 && p.isOp("(") {
			p.unexpected()
		}
	}
	if p.acceptOp("(") {
		o.HasArgs = true
		if !p.isOp(")") {
			o.Args = list(p, p.funcParam)
		}
		p.expectOp(")")
	}
	return o
}

// comment reads COMMENT ON.
func (p *parser) comment() Stmt {
	c, start := &Comment{}, p.tok.pos
	p.expect("comment", "on")
	switch {
	case p.isAny("function", "procedure"):
		c.Kind = p.tok.text
		p.advance()
		c.Object = p.functionName()
	case p.accept("constraint"):
		c.Kind = "constraint"
		id := p.colID()
		c.Object = ObjectName{At: id.At, Name: Name{At: id.At, Parts: []Ident{id}}}
		p.expect("on")
		if p.accept("domain") {
			c.Kind = "domain constraint"
		}
		c.On = p.name()
	default:
		c.Kind = p.objectKind("table", "column", "source", "sink", "view", "materialized view", "index", "sequence", "schema", "database",
			"role", "type", "domain", "assertion", "extension")
		c.Object = p.objectName()
	}
	p.expect("is")
	if c.Null = p.accept("null"); !c.Null {
		c.Text = p.stringConst()
	}
	c.Span = p.span(start)
	return c
}
