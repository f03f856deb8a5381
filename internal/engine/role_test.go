package engine

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// TestRolesAndTheirPasswords: roles survive a restart by replay and by checkpoint, and
// what is in the log is no password.
func TestRolesAndTheirPasswords(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs)
	c := b.as("tidemill")
	const secret, other = "s3cret-and-long", "s3cret-two"
	made, err := security.NewVerifier(other)
	if err != nil {
		t.Fatal(err)
	}
	c.exec(`CREATE USER ann PASSWORD '` + secret + `'; CREATE ROLE boss SUPERUSER LOGIN PASSWORD '` + made.String() + `'; CREATE ROLE idle`)
	c.fails(`CREATE USER ann`, "42710", `role "ann" already exists`)
	c.fails(`CREATE USER bad PASSWORD 'md5`+strings.Repeat("0", 32)+`'`, types.CodeFeature, "MD5 passwords are not supported")
	c.fails(`CREATE USER bad PASSWORD 'SCRAM-SHA-256$x'`, types.CodeInvalidParameter, "verifier is not right")
	c.fails(`ALTER USER ann VALID UNTIL 'infinity' PASSWORD '`+secret+`'`, types.CodeFeature, "VALID UNTIL")
	c.exec(`ALTER USER tidemill PASSWORD ''`)
	c.exec(`DROP ROLE IF EXISTS nobody`)

	check := func(b *bench) {
		t.Helper()
		login, known, _ := b.e.LoginRole("ann")
		v, err := security.ParseVerifier(login.Verifier)
		if !known || !login.Allowed || err != nil || !v.Check(secret) || v.Check(other) {
			t.Errorf("ann: %+v, %v, %v", login, known, err)
		}
		if login, _, _ := b.e.LoginRole("boss"); login.Verifier != made.String() {
			t.Errorf("boss: %+v", login)
		}
		if login, known, _ := b.e.LoginRole("idle"); !known || login.Allowed {
			t.Errorf("idle: %+v", login)
		}
		if login, known, _ := b.e.LoginRole("tidemill"); !known || !login.Allowed || login.Verifier != "" {
			t.Errorf("tidemill: %+v", login)
		}
		if _, known, _ := b.e.LoginRole("nobody"); known {
			t.Error("nobody is known")
		}
	}
	d := b.as("ann")
	d.fails(`CREATE ROLE x`, "42501", "permission denied to create role")
	d.want(`SHOW is_superuser`, "off")
	d.exec(`ALTER USER ann PASSWORD '` + secret + `'`) // one's own
	b.as("boss").want(`SHOW is_superuser`, "on")
	b.as("stranger").fails(`DROP ROLE ann`, "42501", "permission denied to drop role")
	check(b)
	seen := 0
	for name, l := range logs.logs {
		for _, r := range l.recs {
			if strings.Contains(string(r), `"ann"`) {
				seen++ // so the log can be read like this
			}
			if strings.Contains(string(r), secret) || strings.Contains(string(r), other) {
				t.Errorf("log %s holds a password", name)
			}
		}
	}
	if seen < 2 {
		t.Errorf("only %d records about ann were seen", seen)
	}
	b.stop()
	b = start(t, logs)
	check(b) // from the log
	b.client().exec(`CHECKPOINT`)
	b.stop()
	b = start(t, logs)
	check(b) // from the checkpoint
}

// as opens a session of a user.
func (b *bench) as(user string) *client {
	b.Helper()
	c := b.client()
	c.s.Close()
	s, err := b.e.OpenSession(b.Context(), session.Options{User: user})
	if err != nil {
		b.Fatal(err)
	}
	c.s = s
	return c
}

// TestRolesOnAStandby: a role is made wherever the client is, and its password goes no further
// than that node.
func TestRolesOnAStandby(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	b := g.open()
	const secret = "s3cret-and-long"
	c := b.as("tidemill")
	text := `SELECT 1; CREATE USER ann PASSWORD '` + secret + `'`
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := c.s.(*Session)
	p, err := s.plan(text, stmts[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = s.withoutPasswords(p); err != nil {
		t.Fatal(err)
	}
	if sent := s.remoteDDL(p).DDL.SQL; strings.Contains(sent, secret) || !strings.HasPrefix(sent, "CREATE USER ann PASSWORD 'SCRAM-SHA-256$4096:") {
		t.Errorf("sent to the leader: %s", sent)
	}
	if tag := c.exec(text); tag != "CREATE ROLE" {
		t.Errorf("tag %q", tag)
	}
	for _, on := range []*bench{a, b} {
		on.reaches(a.e.Snapshot().Step)
		login, known, err := on.e.LoginRole("ann")
		v, bad := security.ParseVerifier(login.Verifier)
		if !known || err != nil || bad != nil || !v.Check(secret) {
			t.Errorf("%+v, %v, %v", login, known, err)
		}
	}
	b.as("ann").fails(`CREATE ROLE x`, "42501", "permission denied to create role")
	b.as("ann").exec(`ALTER USER ann PASSWORD 'another'`)
}
