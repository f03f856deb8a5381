package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/node"
)

func start(t *testing.T) (base string) {
	t.Helper()
	n, err := node.Start(t.Context(), node.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return "http://" + n.Addrs().HTTP
}

// Three campaign; each leads, one at a time, with tokens that rise.
func TestCampaign(t *testing.T) {
	base := start(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var leaders atomic.Int32
	var last atomic.Int64
	var mu sync.Mutex
	led := map[string]bool{}
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		all.Go(func() {
			Campaign(ctx, base, "the job", name, func(_ context.Context, token int64) {
				if leaders.Add(1) != 1 {
					t.Error("two lead")
				}
				if was := last.Swap(token); was >= token {
					t.Errorf("token %d after %d", token, was)
				}
				mu.Lock()
				led[name] = true
				if len(led) == 3 {
					stop()
				}
				mu.Unlock()
				leaders.Add(-1)
			})
		})
	}
	all.Wait()
	if len(led) != 3 {
		t.Errorf("of three these led: %v", led)
	}
}

// The script runs its command with the lock, and gives it up.
func TestScript(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	base := start(t)
	for _, want := range []string{"first", "second"} { // which has the lock only if the first released it
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		cmd := exec.CommandContext(ctx, "sh", "leader.sh", base, "job", "me", "sh", "-c", "curl -s "+base+"/v1/locks; echo "+want+" $TOKEN; exit 7")
		cmd.Env = append(os.Environ(), "RENEW=0.1")
		out, err := cmd.Output()
		cancel()
		if cmd.ProcessState.ExitCode() != 7 || !strings.Contains(string(out), want) || !strings.Contains(string(out), `"owner":"me"`) {
			t.Errorf("%s: %q %v", want, out, err)
		}
	}
}

// The documentation shows the examples as they are.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/coordination.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"leader.go", "leader.sh"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		part := string(text)
		if name == "leader.go" { // from the function on
			part = part[strings.Index(part, "// Campaign calls"):]
		}
		if !strings.Contains(string(doc), strings.TrimSpace(part)) {
			t.Errorf("docs/coordination.md does not have %s as it is", name)
		}
	}
}
