package sql

// Passwords returns stmt with every password in it replaced by what with gives, and
// whether there is one; stmt stays as it is. Its positions are those of stmt.
func Passwords(stmt Stmt, with func(password string) (string, error)) (Stmt, bool, error) {
	switch s := stmt.(type) {
	case *CreateRole:
		opts, found, err := passwords(s.Options, with)
		if err != nil || !found {
			return stmt, found, err
		}
		n := *s
		n.Options = opts
		return &n, true, nil
	case *AlterRole:
		opts, found, err := passwords(s.Options, with)
		if err != nil || !found {
			return stmt, found, err
		}
		n := *s
		n.Options = opts
		return &n, true, nil
	}
	return stmt, false, nil
}

func passwords(opts []RoleOption, with func(string) (string, error)) (out []RoleOption, found bool, err error) {
	for _, o := range opts {
		if lit, ok := o.Value.(*StringLit); ok && o.Name == "password" {
			n := *lit
			if n.Value, err = with(lit.Value); err != nil {
				return nil, true, err
			}
			o.Value, found = &n, true
		}
		out = append(out, o)
	}
	return out, found, nil
}

// HidePasswords returns stmt with stars for every password, and whether there is one.
func HidePasswords(stmt Stmt) (Stmt, bool) {
	out, found, _ := Passwords(stmt, func(string) (string, error) { return "********", nil })
	return out, found
}
