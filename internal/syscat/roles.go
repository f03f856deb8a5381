package syscat

import "github.com/tidemill/tidemill/internal/catalog"

// hidden stands for a password, whether there is one or not, where everybody may look.
const hidden = "********"

// fillAuthID shows whether there is a password, but not what is kept of it.
func fillAuthID(e *Env, r *rows) {
	for _, role := range e.Catalog.Roles() {
		var password any
		if role.Verifier != "" {
			password = hidden
		}
		s := role.Super
		r.add(role.ID, role.Name, s, true, s, s, role.Login, s, s, -1, password, nil)
	}
}

func fillRoles(e *Env, r *rows) {
	for _, role := range e.Catalog.Roles() {
		s := role.Super
		r.add(role.Name, s, true, s, s, role.Login, s, -1, hidden, nil, s, nil, role.ID)
	}
}

// fillUsers lists the roles that may log in.
func fillUsers(e *Env, r *rows) {
	for _, role := range e.Catalog.Roles() {
		if s := role.Super; role.Login {
			r.add(role.Name, role.ID, s, s, s, s, hidden, nil, nil)
		}
	}
}

// roleID returns the oid of a role, 0 if there is none of that name.
func (e *Env) roleID(name string) catalog.ID {
	if r := e.Catalog.Role(name); r != nil {
		return r.ID
	}
	return 0
}
