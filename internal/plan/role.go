package plan

import (
	"strings"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

const codeDenied = "42501"

// roleAttributes are the options that turn an attribute on or off.
var roleAttributes = map[string]struct {
	attribute string
	on        bool
}{
	"superuser": {"superuser", true}, "nosuperuser": {"superuser", false}, "login": {"login", true}, "nologin": {"login", false},
	"inherit": {"inherit", true},
	// What is not built is off.
	"noinherit": {"noinherit", true}, "createdb": {"createdb", true}, "nocreatedb": {"createdb", false}, "createrole": {"createrole", true},
	"nocreaterole": {"createrole", false}, "replication": {"replication", true}, "noreplication": {"replication", false},
	"bypassrls": {"bypassrls", true}, "nobypassrls": {"bypassrls", false},
}

func (d *ddl) createRole(s *sql.CreateRole) catalog.Command {
	name := d.roleName(s.Name)
	if !d.super() {
		fail(s.Pos(), codeDenied, "permission denied to create role")
	}
	ch := d.roleChange(name, s.Options)
	if login := s.Kind == "user"; ch.Login == nil && login {
		ch.Login = &login
	}
	return catalog.Command{Kind: catalog.CreateRole, Role: ch}
}

func (d *ddl) alterRole(s *sql.AlterRole) catalog.Command {
	if s.All || s.Set != nil || s.Database.Text != "" {
		unsupported(s.Pos(), "ALTER ROLE ... SET")
	}
	name := d.roleName(s.Name)
	ch := d.roleChange(name, s.Options)
	ch.NewName = s.RenameTo.Text
	if ch.NewName != "" && name == d.b.p.Session.User {
		fail(s.Pos(), types.CodeFeature, "session user cannot be renamed")
	}
	own := ch.Super == nil && ch.Login == nil && ch.NewName == "" && name == d.b.p.Session.User // a password of one's own
	if !d.super() && !own {
		if old := d.cat().Role(name); old != nil && old.Super || ch.Super != nil {
			fail(s.Pos(), codeDenied, "must be superuser to alter superuser roles or change superuser attribute")
		}
		fail(s.Pos(), codeDenied, "permission denied")
	}
	return catalog.Command{Kind: catalog.AlterRole, Role: ch}
}

func (d *ddl) dropRoles(s *sql.Drop) catalog.Command {
	if !d.super() {
		fail(s.Pos(), codeDenied, "permission denied to drop role")
	}
	cmd := catalog.Command{Kind: catalog.DropRoles, IfExists: s.IfExists}
	for _, o := range s.Objects {
		name := o.Name.Last()
		if name == d.b.p.Session.User && d.cat().Role(name) != nil {
			fail(o.Pos(), "55006", "current user cannot be dropped")
		}
		cmd.Targets = append(cmd.Targets, catalog.Target{Name: name})
	}
	return cmd
}

// super reports whether the session's user manages roles.
func (d *ddl) super() bool {
	r := d.cat().Role(d.b.p.Session.User)
	return r != nil && r.Super
}

func (d *ddl) roleName(r sql.Role) string {
	switch r.Special {
	case "":
		return r.Name.Text
	case "public":
		fail(r.Pos(), "42939", "role name %q is reserved", "public")
	}
	return d.b.p.Session.User
}

// roleChange reads the options. Passwords come as verifiers: who hands the statement
// over made them of what the client wrote.
func (d *ddl) roleChange(name string, opts []sql.RoleOption) *catalog.RoleChange {
	ch := &catalog.RoleChange{Name: name}
	seen := map[string]bool{}
	for _, o := range opts {
		attr, on := o.Name, true
		if a, ok := roleAttributes[o.Name]; ok {
			attr, on = a.attribute, a.on
		}
		if seen[attr] {
			fail(o.Pos(), types.CodeSyntax, "conflicting or redundant options")
		}
		seen[attr] = true
		switch attr {
		case "superuser":
			ch.Super = &on
		case "login":
			ch.Login = &on
		case "inherit":
		case "password":
			ch.Verifier = verifier(o)
		default:
			if on {
				unsupported(o.Pos(), "the role option %s", strings.ToUpper(o.Name))
			}
		}
	}
	return ch
}

// verifier is what is to be kept of a password; empty for none.
func verifier(o sql.RoleOption) *string {
	text := ""
	if lit, ok := o.Value.(*sql.StringLit); ok {
		text = lit.Value
	}
	if text != "" && !strings.HasPrefix(text, catalog.VerifierPrefix) {
		fail(o.Pos(), types.CodeInternal, "a password as it is cannot be planned")
	}
	return &text
}
