package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

func TestRoleCommands(t *testing.T) {
	const v = catalog.VerifierPrefix + "4096:c2FsdA==$a:b"
	cat := catalog.New(nil)
	run := func(user, text string) (catalog.Command, error) {
		t.Helper()
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := &Planner{Catalog: cat, Session: Session{User: user}}
		cmd, err := p.PlanDDL(stmts[0], text)
		if err != nil {
			return cmd, err
		}
		next, _, err := cat.With(cmd)
		if err == nil {
			cat = next
		}
		return cmd, err
	}
	role := func(name string) catalog.Role {
		if r := cat.Role(name); r != nil {
			return *r
		}
		return catalog.Role{}
	}
	for _, c := range []struct {
		user, text string
		want       catalog.Role // without its ID
	}{
		{"tidemill", "CREATE USER ann PASSWORD '" + v + "'", catalog.Role{Name: "ann", Login: true, Verifier: v}},
		{"tidemill", "CREATE ROLE boss WITH SUPERUSER LOGIN NOCREATEDB INHERIT", catalog.Role{Name: "boss", Login: true, Super: true}},
		{"tidemill", "CREATE GROUP g", catalog.Role{Name: "g"}},
		{"boss", "ALTER ROLE g LOGIN", catalog.Role{Name: "g", Login: true}},
		{"boss", "ALTER USER ann WITH NOLOGIN PASSWORD NULL", catalog.Role{Name: "ann"}},
		{"ann", "ALTER ROLE CURRENT_USER PASSWORD '" + v + "'", catalog.Role{Name: "ann", Verifier: v}},
		{"boss", "ALTER USER ann RENAME TO eve", catalog.Role{Name: "eve", Verifier: v}},
		{"boss", "DROP USER IF EXISTS eve, nobody", catalog.Role{}},
	} {
		cmd, err := run(c.user, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := role(c.want.Name)
		got.ID = 0
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.text, got, c.want)
		}
		if strings.Contains(cmd.SQL, "SCRAM") {
			t.Errorf("the statement that is kept shows the verifier: %s", cmd.SQL)
		}
	}
	for _, c := range []struct{ user, text, code, message string }{
		{"g", "CREATE ROLE x", "42501", "permission denied to create role"},
		{"nobody", "CREATE ROLE x", "42501", "permission denied to create role"},
		{"g", "ALTER ROLE boss NOLOGIN", "42501", "must be superuser to alter superuser roles"},
		{"g", "ALTER ROLE g SUPERUSER", "42501", "must be superuser to alter superuser roles"},
		{"g", "ALTER ROLE g NOLOGIN", "42501", "permission denied"},
		{"g", "DROP ROLE boss", "42501", "permission denied to drop role"},
		{"boss", "DROP ROLE g, boss", "55006", "current user cannot be dropped"},
		{"boss", "DROP ROLE tidemill", "2BP01", "required by the database system"},
		{"boss", "DROP ROLE nobody", "42704", `role "nobody" does not exist`},
		{"boss", "ALTER ROLE boss RENAME TO x", "0A000", "session user cannot be renamed"},
		{"boss", "CREATE ROLE x LOGIN NOLOGIN", "42601", "conflicting or redundant options"},
		{"boss", "CREATE ROLE x PASSWORD '" + v + "' PASSWORD NULL", "42601", "conflicting or redundant options"},
		{"boss", "CREATE ROLE x CREATEDB", "0A000", "the role option CREATEDB"},
		{"boss", "CREATE ROLE x IN ROLE g", "0A000", "the role option IN ROLE"},
		{"boss", "CREATE ROLE x VALID UNTIL '2030-01-01'", "0A000", "the role option VALID UNTIL"},
		{"boss", "CREATE ROLE PUBLIC", "42939", `role name "public" is reserved`},
		{"boss", "ALTER ROLE ALL SET work_mem = 1", "0A000", "ALTER ROLE ... SET"},
		{"boss", "CREATE ROLE x PASSWORD 'secret'", types.CodeInternal, "a password as it is cannot be planned"},
	} {
		_, err := run(c.user, c.text)
		var te *types.Error
		if !errors.As(err, &te) || te.Code != c.code || !strings.Contains(te.Message, c.message) {
			t.Errorf("%s as %s: %v", c.text, c.user, err)
		} else if strings.Contains(te.Message+te.Detail+te.Hint, "secret") {
			t.Errorf("%s: the error shows the password", c.text)
		}
	}
}
