package security

import (
	"testing"
	"time"
)

// FuzzToken: no text but one that was made is a token, and none brings anything down.
func FuzzToken(f *testing.F) {
	dir := f.TempDir()
	if err := CreateCA(dir, "blue"); err != nil {
		f.Fatal(err)
	}
	ca, err := loadCA(dir)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Now()
	good, err := ca.newToken(now, time.Hour, []string{"a:1"}, []string{"b:2"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(tokenPrefix + "e30.")
	f.Fuzz(func(t *testing.T, text string) {
		_, body, _, err := splitToken(text)
		if err != nil {
			return
		}
		_, want, _, _ := splitToken(good)
		if _, err := ca.check(text, now); err == nil && string(body) != string(want) {
			t.Errorf("%q passes", text)
		}
	})
}

// FuzzVerifier: what is read as a verifier is written the same.
func FuzzVerifier(f *testing.F) {
	v, err := NewVerifier("x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v.String())
	f.Add("SCRAM-SHA-256$1:AA==$" + v.String()[len(v.String())-89:])
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			return
		}
		again, err := ParseVerifier(v.String())
		if err != nil || again.String() != v.String() {
			t.Errorf("%q: %v", text, err)
		}
	})
}
