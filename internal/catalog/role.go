package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// The role that exists from the start and cannot be dropped. It owns everything.
const (
	SystemRole      = "tidemill"
	SystemRoleID ID = 10
)

// MaxRoles bounds how many roles there may be.
const MaxRoles = 10_000

// VerifierPrefix begins what is kept of a password: the name of the method, as PostgreSQL
// writes it. Nothing else is ever kept.
const VerifierPrefix = "SCRAM-SHA-256$"

// Role is who may log in, and what it may do. It is immutable.
type Role struct {
	ID       ID
	Name     string
	Super    bool   `json:",omitempty"` // manages roles
	Login    bool   `json:",omitempty"`
	Verifier string `json:",omitempty"` // of its password; empty: it has none
}

// RoleChange is what CREATE and ALTER ROLE say; nil leaves things as they are.
type RoleChange struct {
	Name     string
	NewName  string  `json:",omitempty"` // RENAME TO
	Super    *bool   `json:",omitempty"`
	Login    *bool   `json:",omitempty"`
	Verifier *string `json:",omitempty"` // empty takes the password away
}

// newRoles is the roles of a catalog in which nothing was created.
func newRoles() map[string]*Role {
	return map[string]*Role{SystemRole: {ID: SystemRoleID, Name: SystemRole, Super: true, Login: true}}
}

// Role returns the role of that name, or nil.
func (c *Catalog) Role(name string) *Role { return c.roles[name] }

// Roles returns all roles in the order of their IDs.
func (c *Catalog) Roles() []*Role {
	out := slices.Collect(maps.Values(c.roles))
	slices.SortFunc(out, func(a, b *Role) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

func (c *Catalog) createRole(cmd Command) error {
	r, err := cmd.roleChange()
	if err != nil {
		return err
	}
	if err := c.freeRole(r.Name); err != nil {
		return err
	}
	if len(c.roles) >= MaxRoles {
		return &types.Error{Code: types.CodeTooComplex, Message: fmt.Sprintf("there are %d roles, and may not be more", MaxRoles)}
	}
	c.putRole((&Role{ID: c.nextID, Name: r.Name}).with(r))
	c.nextID++
	return nil
}

func (c *Catalog) alterRole(cmd Command) error {
	r, err := cmd.roleChange()
	if err != nil {
		return err
	}
	old := c.roles[r.Name]
	if old == nil {
		return noRole(r.Name)
	}
	if r.Name == SystemRole && r.Super != nil && !*r.Super {
		return &types.Error{Code: "42501", Message: fmt.Sprintf("permission denied to alter role %q", r.Name),
			Detail: fmt.Sprintf("The role %q must have the SUPERUSER attribute.", r.Name)}
	}
	n := old.with(r)
	if r.NewName != "" {
		if r.Name == SystemRole {
			return &types.Error{Code: "42501", Message: fmt.Sprintf("role %q cannot be renamed", r.Name), Detail: "It is required by the database system."}
		}
		if err := c.freeRole(r.NewName); err != nil {
			return err
		}
		n.Name = r.NewName
		c.roles = maps.Clone(c.roles)
		delete(c.roles, r.Name)
	}
	c.putRole(n)
	return nil
}

func (c *Catalog) dropRoles(cmd Command, eff *Effect) error {
	eff.Skipped = true
	roles := maps.Clone(c.roles)
	for _, t := range cmd.Targets {
		switch {
		case roles[t.Name] == nil && cmd.IfExists:
			eff.Notices = append(eff.Notices, Notice{Code: "00000", Message: fmt.Sprintf("role %q does not exist, skipping", t.Name)})
		case roles[t.Name] == nil:
			return noRole(t.Name)
		case t.Name == SystemRole:
			return &types.Error{Code: types.CodeDependent, Message: fmt.Sprintf("cannot drop role %s because it is required by the database system", t.Name)}
		default:
			delete(roles, t.Name)
			eff.Skipped = false
		}
	}
	c.roles = roles
	return nil
}

// freeRole refuses a name that is taken or cannot be a role's.
func (c *Catalog) freeRole(name string) error {
	if strings.HasPrefix(name, "pg_") {
		return &types.Error{Code: "42939", Message: fmt.Sprintf("role name %q is reserved", name), Detail: `Role names starting with "pg_" are reserved.`}
	}
	if c.roles[name] != nil {
		return &types.Error{Code: "42710", Message: fmt.Sprintf("role %q already exists", name)}
	}
	return nil
}

func (c *Catalog) putRole(r *Role) {
	c.roles = maps.Clone(c.roles)
	c.roles[r.Name] = r
}

// roleChange returns the change of a command. What would keep a password is refused,
// whoever wrote the command.
func (cmd *Command) roleChange() (*RoleChange, error) {
	r := cmd.Role
	if r == nil || r.Name == "" {
		return nil, &types.Error{Code: types.CodeInternal, Message: "role command without a role"}
	}
	if r.Verifier != nil && *r.Verifier != "" && !strings.HasPrefix(*r.Verifier, VerifierPrefix) {
		return nil, &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("role %q: a password as it is cannot be kept", r.Name)}
	}
	return r, nil
}

// with returns r with a change.
func (r *Role) with(ch *RoleChange) *Role {
	n := *r
	if ch.Super != nil {
		n.Super = *ch.Super
	}
	if ch.Login != nil {
		n.Login = *ch.Login
	}
	if ch.Verifier != nil {
		n.Verifier = *ch.Verifier
	}
	return &n
}

func noRole(name string) error {
	return &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("role %q does not exist", name)}
}

// decodeRoles is the roles of an image; one of a program that had none has the system's.
func decodeRoles(list []*Role, next ID) (map[string]*Role, error) {
	if len(list) == 0 {
		return newRoles(), nil
	}
	out := map[string]*Role{}
	for _, r := range list {
		if r == nil || r.Name == "" || out[r.Name] != nil || r.ID >= next || (r.ID < FirstID) != (r.Name == SystemRole) {
			return nil, fmt.Errorf("a role that cannot be: %+v", r)
		}
		out[r.Name] = r
	}
	if out[SystemRole] == nil {
		return nil, fmt.Errorf("there is no role %q", SystemRole)
	}
	return out, nil
}
