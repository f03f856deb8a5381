package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// bench runs tidemill bench nexmark with args.
func bench(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	cmd := root()
	var o, l bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&l)
	cmd.SetArgs(append([]string{"bench", "nexmark"}, args...))
	err = cmd.ExecuteContext(t.Context())
	return o.String(), l.String(), err
}

func TestBenchNexmark(t *testing.T) {
	digests := map[string]string{}
	for _, more := range [][]string{{"--source", "native"}, {"--source", "json", "--workers", "2", "--step-rows", "333"}} {
		out, log, err := bench(t, append(more, "--queries", "q4,q2", "--events", "5000", "-o", "json")...)
		if err != nil {
			t.Fatal(err)
		}
		if log != "" {
			t.Errorf("a progress line without a terminal: %q", log)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines: %s", len(lines), out)
		}
		for i, query := range []string{"q4", "q2"} {
			var r map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &r); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"wall_s", "cpu_s", "events_per_cpu_s", "peak_rss_bytes", "rows_out", "changes_out"} {
				if v, ok := r[name].(float64); !ok || v <= 0 {
					t.Errorf("%s: %s is %v", query, name, r[name])
				}
			}
			s, _ := r["settings"].(map[string]any)
			if r["query"] != query || r["events"] != 5000.0 || s["source"] != more[1] || s["rate"] != 10000.0 {
				t.Errorf("line %d: %s", i, lines[i])
			}
			if _, ok := r["generator_cpu_s"].(float64); !ok {
				t.Errorf("%s: no generator_cpu_s", query)
			}
			if state := r["state_bytes"].(float64); (state > 0) != (query == "q4") {
				t.Errorf("%s: state_bytes is %v", query, state)
			}
			digest := r["digest"].(string)
			if was, ok := digests[query]; ok && was != digest {
				t.Errorf("%s: digests %s and %s", query, was, digest)
			}
			digests[query] = digest
		}
	}
	if digests["q4"] == digests["q2"] || len(digests["q4"]) != 32 {
		t.Errorf("digests %v", digests)
	}
	out, _, err := bench(t, "--queries", "q2", "--events", "5000")
	if err != nil || !strings.Contains(out, "events/cpu s") || !strings.Contains(out, digests["q2"][:16]) {
		t.Errorf("as text: %v\n%s", err, out)
	}
}

func TestBenchNexmarkUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--queries q4,q99", `there is no query "q99": they are q0, q1,`},
		{"--checkpoint -10s", "want a time between checkpoints"},
		{"--source kafka", `--source "kafka"`},
		{"--events 0", "--events 0: want 1 to"},
		{"--workers 300", "--workers 300"},
		{"-o yaml", `-o "yaml"`},
		{"q4", "takes no argument"},
	} {
		_, _, err := bench(t, strings.Fields(c.args)...)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	out, _, err := bench(t, "--help")
	if err != nil || !strings.Contains(out, "--step-rows") {
		t.Errorf("--help: %v\n%s", err, out)
	}
}

// TestBenchNexmarkCheckpoints makes checkpoints beside the steps: the answer is the same.
func TestBenchNexmarkCheckpoints(t *testing.T) {
	var digests []string
	dir := t.TempDir()
	for _, more := range [][]string{nil, {"--checkpoint", "1ms", "--checkpoint-dir", dir}} {
		out, _, err := bench(t, append(more, "--queries", "q4", "--events", "100000", "--step-rows", "2000", "-o", "json")...)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Digest      string
			Checkpoints *struct {
				Count, Bytes int64
			}
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if c := r.Checkpoints; (c != nil) != (more != nil) || c != nil && (c.Count == 0 || c.Bytes == 0) {
			t.Errorf("%s", out)
		}
		digests = append(digests, r.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %s and %s", digests[0], digests[1])
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
