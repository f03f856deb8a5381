package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidemill/tidemill/internal/shell"
)

// parse runs `tidemill dev args...` up to the point where it would start, and
// returns the flags.
func parse(args ...string) (*pflag.FlagSet, error) {
	cmd := root()
	var flags *pflag.FlagSet
	dev, _, err := cmd.Find([]string{"dev"})
	if err != nil {
		return nil, err
	}
	dev.RunE = func(cmd *cobra.Command, _ []string) error {
		flags = cmd.Flags()
		return nil
	}
	cmd.SetArgs(append([]string{"dev"}, args...))
	cmd.SetOut(io.Discard)
	return flags, cmd.Execute()
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tidemill.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedenceOfSettings(t *testing.T) {
	file := write(t, "pg: 1.1.1.1:1\nhttp: 1.1.1.1:2\nworkers: 3\nmax-connections: 4\nspeed: 60 # of demo\n")
	t.Setenv("TIDEMILL_PG", "2.2.2.2:1")
	t.Setenv("TIDEMILL_HTTP", "2.2.2.2:2")
	t.Setenv("TIDEMILL_QUERY_MEMORY", "77")
	for _, by := range []string{"flag", "environment"} {
		args := []string{"--pg", "3.3.3.3:1"}
		if by == "flag" {
			args = append(args, "--config", file)
		} else {
			t.Setenv("TIDEMILL_CONFIG", file)
		}
		flags, err := parse(args...)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"pg": "3.3.3.3:1", "http": "2.2.2.2:2", "workers": "3", "max-connections": "4",
			"query-memory": "77", "nats": defaultNATS, "data": "tidemill-data"} {
			if got := flags.Lookup(name).Value.String(); got != want {
				t.Errorf("config by %s: --%s is %s, want %s", by, name, got, want)
			}
		}
	}
}

func TestWrongSettings(t *testing.T) {
	for _, c := range []struct {
		name, file, env string // env is NAME=value
		args            []string
		want            []string
	}{
		{name: "unknown key", file: "pg: x\nprt: 1\n", want: []string{"tidemill.yaml", `unknown key "prt"`}},
		{name: "bad value in the file", file: "workers: many\n", want: []string{"tidemill.yaml", "workers", `"many"`}},
		{name: "a list", file: "pg: [a, b]\n", want: []string{"tidemill.yaml", "pg"}},
		{name: "not YAML", file: "pg: [\n", want: []string{"tidemill.yaml"}},
		{name: "bad value in the environment", env: "TIDEMILL_WORKERS=-x", want: []string{"TIDEMILL_WORKERS", `"-x"`}},
		{name: "bad flag", args: []string{"--workers", "x"}, want: []string{"--workers", `"x"`}},
		{name: "unknown flag", args: []string{"--port", "1"}, want: []string{"--port"}},
		{name: "argument", args: []string{"now"}, want: []string{"tidemill dev", `"now"`}},
		{name: "no such file", args: []string{"--config", "nowhere.yaml"}, want: []string{"nowhere.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				c.args = append(c.args, "--config", write(t, c.file))
			}
			if name, value, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(name, value)
			}
			_, err := parse(c.args...)
			var usage usageError
			if !errors.As(err, &usage) {
				t.Fatalf("not a mistake in usage: %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not name %s", err, w)
				}
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{fmt.Errorf("a: %w", shell.ErrStatement), 1},
		{errors.New("disk"), 1},
		{usageError{errors.New("-x")}, 2},
		{fmt.Errorf("%w: %w", shell.ErrConnect, io.EOF), 3},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exit code of %v is %d, want %d", c.err, got, c.want)
		}
	}
}

// Every command's help names its flags, and every flag says what it does.
func TestHelp(t *testing.T) {
	for _, c := range root().Commands() {
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs([]string{c.Name(), "--help"})
		cmd.SetOut(&out)
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || !strings.Contains(out.String(), "--"+f.Name) || !strings.Contains(out.String(), f.Usage[:min(20, len(f.Usage))]) {
				t.Errorf("help of %s does not explain --%s:\n%s", c.Name(), f.Name, out.String())
			}
		})
		if c.Short == "" || !strings.Contains(out.String(), "Usage:\n  tidemill "+c.Name()) {
			t.Errorf("help of %s:\n%s", c.Name(), out.String())
		}
	}
}

func TestDemoDue(t *testing.T) {
	first := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	var fs []flight
	for i := range 5000 {
		fs = append(fs, flight{at: first.Add(time.Duration(i) * time.Hour)})
	}
	at := func(sent int, speed float64, ago time.Duration) int {
		d := &demo{o: demoOptions{speed: speed}, fs: fs, sent: sent, started: time.Now().Add(-ago)}
		return d.due()
	}
	for _, c := range []struct {
		sent  int
		speed float64
		ago   time.Duration
		want  int
	}{
		{0, 0, 0, 5000},                 // as fast as possible: all that is left
		{4999, 0, 0, 1},                 //
		{0, 1, time.Minute, 1},          // the first is due at once
		{1, 1, time.Minute, 0},          //
		{0, 360, 10*time.Second + 5, 2}, // an hour of flights in ten seconds
		{2, 360, 35 * time.Second, 2},
		{0, 1e6, time.Hour, maxPostCount}, // never more than fits a request
		{4990, 1e6, time.Hour, 10},
		{5000, 1e6, time.Hour, 0},
	} {
		if got := at(c.sent, c.speed, c.ago); got != c.want {
			t.Errorf("sent %d, speed %g, %v ago: %d due, want %d", c.sent, c.speed, c.ago, got, c.want)
		}
	}
}

func TestDemoProgress(t *testing.T) {
	fs, err := loadFlights()
	if err != nil {
		t.Fatal(err)
	}
	if len(fs) != 20000 {
		t.Fatalf("%d flights", len(fs))
	}
	for i := 1; i < len(fs); i++ {
		if fs[i].at.Before(fs[i-1].at) {
			t.Fatalf("flight %d left before the one in front of it", i)
		}
	}
	d := &demo{fs: fs, started: time.Now()}
	for sent, want := range map[int]string{
		0:     "[..............................]      0 of 20000 flights   2001-01-01 ",
		10000: "[###############...............]  10000 of 20000 flights   2001-",
		20000: "[##############################]  20000 of 20000 flights   2001-03-31 ",
	} {
		if d.sent = sent; !strings.HasPrefix(d.progress(), want) {
			t.Errorf("progress at %d: %s\nwant %s", sent, d.progress(), want)
		}
	}
	for addr, want := range map[string]string{"127.0.0.1:1": "psql -h 127.0.0.1 -p 1 -U tidemill tidemill", "[::1]:2": "psql -h ::1 -p 2 -U tidemill tidemill"} {
		if got := psqlLine(addr); got != want {
			t.Errorf("psqlLine(%s) = %s", addr, got)
		}
	}
}
