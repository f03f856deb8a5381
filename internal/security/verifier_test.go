package security

import (
	"bytes"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/tidemill/tidemill/internal/pgtest"
)

func TestVerifier(t *testing.T) {
	v, err := NewVerifier("sécret ½")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseVerifier(v.String())
	if err != nil || again.String() != v.String() {
		t.Fatalf("%v, %v", again, err)
	}
	if !again.Check("sécret ½") || !again.Check("sécret 1⁄2") || again.Check("secret") || again.Check("") || again.Check(strings.Repeat("x", 5000)) {
		t.Error("the password is not checked") // ½ and 1⁄2 are one after normalisation
	}
	other, _ := NewVerifier("sécret ½")
	if bytes.Equal(other.Salt, v.Salt) || other.String() == v.String() {
		t.Error("two verifiers of one password are alike")
	}
	// Another implementation comes to the same.
	client, err := scram.SHA256.NewClient("x", "sécret ½", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations})
	if err != nil || !bytes.Equal(stored.StoredKey, v.StoredKey) || !bytes.Equal(stored.ServerKey, v.ServerKey) {
		t.Errorf("%v, %v", stored, err)
	}
	for _, bad := range []string{"", "secret", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:c2FsdA==$" + strings.SplitN(v.String(), "$", 3)[2],
		strings.Replace(v.String(), "$4096:", "$99999999:", 1), v.String() + "x", v.String()[:len(v.String())-4], "md5" + strings.Repeat("0", 32)} {
		if IsVerifier(bad) {
			t.Errorf("%q is a verifier", bad)
		}
	}
	for _, bad := range []string{"", "a\x00b", strings.Repeat("x", maxPassword+1)} {
		if _, err := NewVerifier(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
}

func TestMockIsNobodys(t *testing.T) {
	m := NewMock()
	a := m.Verifier("ann")
	if !bytes.Equal(a.Salt, m.Verifier("ann").Salt) || bytes.Equal(a.Salt, m.Verifier("bob").Salt) || bytes.Equal(a.Salt, NewMock().Verifier("ann").Salt) {
		t.Error("salts tell who exists")
	}
	if a.Check("") || a.Check("ann") {
		t.Error("a password is right")
	}
}

// PostgreSQL keeps our verifiers as they are, and its own prove the same password here.
func TestVerifierGoesBothWays(t *testing.T) {
	c := pgtest.Connect(t)
	const password = "sécret ½"
	v, err := NewVerifier(password)
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{v.String(): v.String(), password: ""} {
		for _, q := range []string{"DROP ROLE IF EXISTS tidemill_verifier", "CREATE ROLE tidemill_verifier PASSWORD '" + given + "'"} {
			if r := pgtest.Query(t, c, q); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		var kept string
		if err := c.QueryRow(t.Context(), "SELECT rolpassword FROM pg_authid WHERE rolname = 'tidemill_verifier'").Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if want != "" && kept != want {
			t.Errorf("PostgreSQL took the verifier for a password: %s", kept)
		}
		p, err := ParseVerifier(kept)
		if err != nil || !p.Check(password) || p.Check("other") {
			t.Errorf("%s: %v", kept, err)
		}
	}
}
