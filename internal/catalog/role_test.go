package catalog

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

func roleCommand(kind CommandKind, r RoleChange) Command { return Command{Kind: kind, Role: &r} }

func dropRole(ifExists bool, names ...string) Command {
	cmd := Command{Kind: DropRoles, IfExists: ifExists}
	for _, n := range names {
		cmd.Targets = append(cmd.Targets, Target{Name: n})
	}
	return cmd
}

const someVerifier = VerifierPrefix + "4096:c2FsdA==$a:b"

func TestRoles(t *testing.T) {
	c := New(nil)
	if r := c.Role(SystemRole); r == nil || !r.Super || !r.Login || r.Verifier != "" {
		t.Fatalf("the first role is %+v", r)
	}
	before := c
	c, eff := must(t, c, roleCommand(CreateRole, RoleChange{Name: "ann", Login: ptr(true), Verifier: ptr(someVerifier)}))
	if r := c.Role("ann"); !reflect.DeepEqual(*r, Role{ID: FirstID, Name: "ann", Login: true, Verifier: someVerifier}) || len(eff.Created) != 0 {
		t.Errorf("%+v, %+v", r, eff)
	}
	if before.Role("ann") != nil {
		t.Error("the catalog before has it too")
	}
	c, _ = must(t, c, roleCommand(AlterRole, RoleChange{Name: "ann", Super: ptr(true)}))
	c, _ = must(t, c, roleCommand(AlterRole, RoleChange{Name: "ann", Verifier: ptr("")}), rel(Table, "t"))
	c, _ = must(t, c, roleCommand(AlterRole, RoleChange{Name: "ann", NewName: "eve"}))
	if r := c.Role("eve"); c.Role("ann") != nil || !reflect.DeepEqual(*r, Role{ID: FirstID, Name: "eve", Login: true, Super: true}) {
		t.Errorf("%+v", r)
	}
	c, _ = must(t, c, roleCommand(CreateRole, RoleChange{Name: "bob"}))
	fails(t, c, roleCommand(CreateRole, RoleChange{Name: "bob"}), "42710", `role "bob" already exists`, "")
	fails(t, c, roleCommand(CreateRole, RoleChange{Name: "pg_x"}), "42939", `role name "pg_x" is reserved`, `Role names starting with "pg_" are reserved.`)
	fails(t, c, roleCommand(AlterRole, RoleChange{Name: "ann", Super: ptr(true)}), "42704", `role "ann" does not exist`, "")
	fails(t, c, roleCommand(AlterRole, RoleChange{Name: "bob", NewName: "eve"}), "42710", `role "eve" already exists`, "")
	fails(t, c, roleCommand(AlterRole, RoleChange{Name: SystemRole, Super: ptr(false)}), "42501", `permission denied to alter role "tidemill"`,
		`The role "tidemill" must have the SUPERUSER attribute.`)
	fails(t, c, roleCommand(AlterRole, RoleChange{Name: SystemRole, NewName: "x"}), "42501", `role "tidemill" cannot be renamed`, "It is required by the database system.")
	fails(t, c, roleCommand(AlterRole, RoleChange{Name: "bob", Verifier: ptr("secret")}), types.CodeInternal, `role "bob": a password as it is cannot be kept`, "")
	fails(t, c, dropRole(false, SystemRole), types.CodeDependent, "cannot drop role tidemill because it is required by the database system", "")
	fails(t, c, dropRole(false, "bob", "ann"), "42704", `role "ann" does not exist`, "")
	c, eff = must(t, c, dropRole(true, "bob", "ann"))
	if c.Role("bob") != nil || len(eff.Notices) != 1 || eff.Notices[0].Message != `role "ann" does not exist, skipping` {
		t.Errorf("%+v", eff)
	}
	if _, eff = must(t, c, dropRole(true, "ann")); !eff.Skipped {
		t.Error("nothing was dropped, but something changed")
	}
	if roles := c.Roles(); len(roles) != 2 || roles[0].Name != SystemRole || roles[1].Name != "eve" {
		t.Errorf("%+v", roles)
	}

	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(data, nil)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Fatalf("%+v, %v", again, err)
	}
	// An image of before there were roles has the first one.
	var im map[string]any
	if err := json.Unmarshal(data, &im); err != nil {
		t.Fatal(err)
	}
	delete(im, "Roles")
	old, _ := json.Marshal(im)
	if again, err = Decode(old, nil); err != nil || again.Role(SystemRole) == nil || len(again.Roles()) != 1 {
		t.Errorf("%v", err)
	}
	for what, bad := range map[string]string{
		"no system role": strings.Replace(string(data), `"Name":"tidemill"`, `"Name":"x"`, 1),
		"twice":          strings.Replace(string(data), `"Name":"eve"`, `"Name":"tidemill"`, 1),
	} {
		if _, err := Decode([]byte(bad), nil); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
