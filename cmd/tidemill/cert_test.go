package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/security"
)

// masks stand in the document for what differs each time.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`tidemill1\.[A-Za-z0-9_.-]{40,}`), "tidemill1.TOKEN"},
	{regexp.MustCompile(`sha256 [0-9a-f]{64}`), "sha256 HASH"},
	{regexp.MustCompile(`until \d{4}-\d\d-\d\d \d\d:\d\d UTC`), "until DATE"},
}

func masked(text string) string {
	for _, m := range masks {
		text = m.re.ReplaceAllString(text, m.with)
	}
	return text
}

// TestTranscriptOfCertificates runs what docs/security.md shows of this command, one
// after the other in one directory, with a server in the place of a.example.org.
func TestTranscriptOfCertificates(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const host = "a.example.org:8433"
	addr, token, ran := "", "", 0
	for _, block := range regexp.MustCompile("(?s)```shell-session\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		line, want, _ := strings.Cut(block[1], "\n")
		args, ok := strings.CutPrefix(line, "$ tidemill ")
		if !ok {
			t.Fatalf("not a command: %q", line)
		}
		if addr == "" && ran > 0 {
			addr = serveJoin(t, defaultCerts)
		}
		args = strings.NewReplacer("tidemill1.TOKEN", token, host, addr).Replace(args)
		out, err := command(t, strings.Fields(args)...)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.HasPrefix(out, "tidemill1.") {
			token = strings.TrimSpace(out)
		}
		if got := masked(strings.ReplaceAll(out, addr, host)); addr != "" && got != masked(want) {
			t.Errorf("%s\ngot\n%s\nwant\n%s", line, got, masked(want))
		}
		ran++
	}
	if ran < 5 {
		t.Errorf("the document has only %d commands", ran)
	}
}

// serveJoin serves a node's HTTP port as far as joining is concerned.
func serveJoin(t *testing.T, dir string) string {
	t.Helper()
	certs, err := security.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(security.JoinPath, security.JoinHandler(dir))
	s := httptest.NewUnstartedServer(mux)
	s.Listener = tls.NewListener(s.Listener, certs.Server())
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// command runs tidemill and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestWrongCertCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if _, err := command(t, "cert", "init", "--dir", dir, "--cluster", "blue", "--node", "a"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  string
		want  string
		usage bool
	}{
		{"cert nothing", `unknown command "tidemill cert nothing"`, true},
		{"cert init --dir " + dir + " --cluster blue", "--node is missing", true},
		{"cert init --dir " + dir + " --cluster blue --node a", "exists already", false},
		{"cert init --dir " + dir + "2 --cluster blue --node a/b", `"a/b"`, true},
		{"cert token --dir " + dir + " --ttl 1000h", "at most 168h", true},
		{"cert token --dir " + dir + "3", "not here", false},
		{"cert issue --dir " + dir + " --node b --host x:1 --out " + dir + "4", `"x:1"`, false},
		{"cert join --token x --node b --dir " + dir + "5", "begins with", false},
		{"cert renew --dir " + dir + "6", "name the HTTP address", true},
		{"cert show --dir " + dir + "7", "ca.crt", false},
	} {
		_, err := command(t, strings.Fields(c.args)...)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &usage) != c.usage {
			t.Errorf("%s: %v (usage: %v)", c.args, err, errors.As(err, &usage))
		}
	}
	// A certificate of another authority is shown, and said not to be right.
	other := filepath.Join(t.TempDir(), "other")
	if _, err := command(t, "cert", "init", "--dir", other, "--cluster", "blue", "--node", "a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, security.CACertFile), filepath.Join(dir, security.CACertFile)); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "cert", "show", "--dir", dir); err == nil || !strings.Contains(out, "node a") {
		t.Errorf("%v: %s", err, out)
	}
}
