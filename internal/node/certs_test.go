package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/security"
)

func TestProblemsOfCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if err := security.CreateCA(dir, "blue"); err != nil {
		t.Fatal(err)
	}
	if err := security.Issue(dir, "a", nil); err != nil {
		t.Fatal(err)
	}
	certs, err := security.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{certs: certs}
	if p := (&Node{}).certProblems(time.Now()); p != nil {
		t.Errorf("without certificates: %q", p)
	}
	if p := n.certProblems(time.Now()); p != nil {
		t.Errorf("of new ones: %q", p)
	}
	if p := n.certProblems(time.Now().Add(security.NodeLife - renewBefore + time.Hour)); len(p) != 1 || !strings.Contains(p[0], "expires at") {
		t.Errorf("a month before their end: %q", p)
	}
	if err := os.WriteFile(filepath.Join(dir, security.NodeCertFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second)
	for len(n.certProblems(time.Now())) == 0 { // the files are looked at every two seconds
		if time.Now().After(end) {
			t.Fatal("bad new files are not told")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
