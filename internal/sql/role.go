package sql

// role reads PostgreSQL's RoleSpec.
func (p *parser) role() Role {
	r := Role{At: p.here()}
	switch {
	case p.isAny("current_user", "current_role", "session_user", "public"):
		r.Special = p.tok.text
		p.advance()
	case p.isWord("none"):
		p.fail(p.tok.pos, "42939", `role name "none" is reserved`+p.near(), "")
	default:
		r.Name = p.nonReserved()
	}
	return r
}

func (p *parser) createRole(start int) Stmt {
	r := &CreateRole{Kind: p.tok.text}
	p.advance()
	r.Name = p.role()
	p.accept("with")
	r.Options = p.roleOptions(true)
	r.Span = p.span(start)
	return r
}

// roleFlags are the options of a role without a value.
var roleFlags = map[string]bool{"superuser": true, "nosuperuser": true, "createdb": true, "nocreatedb": true, "createrole": true,
	"nocreaterole": true, "login": true, "nologin": true, "replication": true, "noreplication": true, "bypassrls": true,
	"nobypassrls": true, "inherit": true, "noinherit": true}

// roleOptions reads the options of CREATE ROLE, of which ALTER ROLE knows fewer.
func (p *parser) roleOptions(create bool) []RoleOption {
	var opts []RoleOption
	for {
		o := RoleOption{At: p.here(), Name: p.tok.text}
		switch {
		case p.tok.kind != tokIdent && p.tok.kind != tokKeyword || p.tok.quoted:
			return opts
		case roleFlags[p.tok.text]:
			p.advance()
		case p.tok.kind == tokIdent:
			p.fail(p.tok.pos, "42601", `unrecognized role option "`+p.tok.text+`"`+p.near(), "")
		case p.accept("password"):
			if at := p.here(); p.accept("null") {
				o.Value = &NullLit{At: at}
			} else {
				o.Value = p.stringValue()
			}
		case p.accept("encrypted"):
			p.expect("password")
			o.Name, o.Value = "password", p.stringValue()
		case p.accept("connection"):
			p.expect("limit")
			o.Name, o.Value = "connection limit", p.signedNumber()
		case p.accept("valid"):
			p.expect("until")
			o.Name, o.Value = "valid until", p.stringValue()
		case p.accept("user"):
			o.Roles = list(p, p.role)
		case create && p.accept("sysid"):
			o.Value = p.signedNumber()
		case create && p.isAny("admin", "role"):
			p.advance()
			o.Roles = list(p, p.role)
		case create && p.accept("in"):
			o.Name = "in " + p.objectKind("role", "group")
			o.Roles = list(p, p.role)
		default:
			return opts
		}
		opts = append(opts, o)
	}
}

func (p *parser) alterRole(start int) Stmt {
	r := &AlterRole{Kind: p.tok.text}
	p.advance()
	if r.All = p.accept("all"); !r.All {
		r.Name = p.role()
	}
	if p.accept("in") {
		p.expect("database")
		r.Database = p.colID()
	}
	setOnly := r.All || r.Database.Text != ""
	switch {
	case p.isAny("set", "reset"):
		at := p.tok.pos
		if p.accept("reset") {
			r.Set = p.resetRest()
		} else {
			p.expect("set")
			r.Set = p.setRest()
		}
		r.Set.Span = p.span(at)
	case setOnly:
		p.unexpected()
	case p.accept("rename"):
		p.expect("to")
		r.RenameTo = p.nonReserved()
	default:
		p.accept("with")
		r.Options = p.roleOptions(false)
	}
	r.Span = p.span(start)
	return r
}

// grantKinds are the kinds of objects that GRANT names.
var grantKinds = []string{"table", "sequence", "database", "schema", "type", "domain", "language", "tablespace", "source", "sink", "view",
	"materialized view", "secret", "connection"}

// grant reads GRANT and REVOKE.
func (p *parser) grant() Stmt {
	g, start := &Grant{Revoke: p.isWord("revoke")}, p.tok.pos
	p.advance()
	role := false
	if g.Revoke {
		switch {
		case p.isWords("grant", "option"):
			p.accept("grant", "option")
			p.expect("for")
			g.OptionFor = true
		case p.isWords("admin", "option"):
			p.accept("admin", "option")
			p.expect("for")
			g.OptionFor, role = true, true
		}
	}
	if g.All = !role && p.accept("all"); g.All {
		p.accept("privileges")
		if p.isOp("(") {
			g.Privileges = []Privilege{{At: p.here(), Name: "all", Columns: parenList(p, p.colID)}}
		}
	} else {
		g.Privileges = list(p, p.privilege)
	}
	if role || !p.isWord("on") && !g.OptionFor {
		p.grantRoles(g)
	} else {
		p.grantObjects(g)
	}
	if !g.Revoke {
		p.expect("to")
	} else {
		p.expect("from")
	}
	g.To = list(p, func() Role {
		if g.Roles == nil {
			p.accept("group")
		}
		return p.role()
	})
	if !g.Revoke && p.accept("with") {
		word := "grant"
		if g.Roles != nil {
			word = "admin"
		}
		p.expect(word, "option")
		g.GrantOption = true
	}
	if p.accept("granted") {
		p.expect("by")
		r := p.role()
		g.GrantedBy = &r
	}
	if g.Revoke {
		g.Behavior = p.behavior()
	}
	g.Span = p.span(start)
	return g
}

func (p *parser) privilege() Privilege {
	pr := Privilege{At: p.here()}
	switch {
	case p.isAny("select", "references", "create"):
		pr.Name = p.tok.text
		p.advance()
	case p.accept("alter"):
		p.expect("system")
		pr.Name = "alter system"
	default:
		pr.Name = p.colID().Text
	}
	if p.isOp("(") {
		pr.Columns = parenList(p, p.colID)
	}
	return pr
}

// grantRoles turns what was read as privileges into roles.
func (p *parser) grantRoles(g *Grant) {
	if g.All {
		p.unexpected()
	}
	for _, pr := range g.Privileges {
		if pr.Columns != nil {
			p.fail(pr.Pos(), "0LP01", "column names cannot be included in GRANT/REVOKE ROLE", "")
		}
		g.Roles = append(g.Roles, Ident{At: pr.At, Text: pr.Name})
	}
	g.Privileges = nil
}

func (p *parser) grantObjects(g *Grant) {
	p.expect("on")
	switch {
	case p.accept("all"):
		g.ObjectKind = p.objectKind("tables", "sequences", "functions", "procedures", "routines") + " in schema"
		p.expect("in", "schema")
		g.Objects = list(p, func() ObjectName {
			id := p.colID()
			return ObjectName{At: id.At, Name: Name{At: id.At, Parts: []Ident{id}}}
		})
		return
	case p.isAny("function", "procedure", "routine"):
		g.ObjectKind = p.tok.text
		p.advance()
		g.Objects = list(p, p.functionName)
		return
	}
	g.ObjectKind = "table"
	for _, k := range grantKinds {
		first := k
		if k == "materialized view" {
			first = "materialized"
		}
		if p.isWord(first) && (p.peek(1).isColID() && !p.peek(1).isWord("to")) {
			g.ObjectKind = p.objectKind(k)
			break
		}
	}
	g.Objects = list(p, p.objectName)
}
