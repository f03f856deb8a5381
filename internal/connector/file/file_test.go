package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// logs collects what a connector says.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logf(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(msg, args...))
}

func (l *logs) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), part)
}

func config(l *logs, options map[string]string) connector.Config {
	return connector.Config{ID: 1, Name: "f", Logf: l.logf, Options: options,
		Columns: []connector.Column{{Name: "a", Type: types.T(types.Int8)}, {Name: "b", Type: types.T(types.Text)}}}
}

func source(t *testing.T, cfg connector.Config) *Source {
	t.Helper()
	s, err := NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Timeout)
	t.Cleanup(cancel)
	return ctx
}

func write(t *testing.T, path string, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path string, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(data)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func zip(data string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(data))
	z.Close()
	return b.String()
}

func start(ctx context.Context, fn func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- fn(ctx) }()
	return func() error { cancel(); return <-ended }
}

func TestReadOnce(t *testing.T) {
	json := `{"a":1,"b":"x"}` + "\n{bad}\n" + `{"a":2}`
	csv := "b,a\n\"x\ny\",1\nz,bad\n,2"
	for _, c := range []struct {
		name, data, format, rows string
		bad                      int
	}{
		{"json", json, "json", `1|x 2|\N`, 1}, {"json.gz", zip(json), "json", `1|x 2|\N`, 1},
		{"csv", csv, "csv", "1|x\ny 2|\\N", 1}, {"csv.gz", zip(csv), "csv", "1|x\ny 2|\\N", 1},
		{"bom", "\ufeffb,a\nq,7\n", "csv", `7|q`, 0}, {"empty", "", "json", "", 0}, {"one", "7", "json", "", 1},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		write(t, path, c.data)
		in := &conntest.Intake{}
		s := source(t, config(&logs{}, map[string]string{"path": path, "format": c.format}))
		for range 2 { // the second time there is nothing new
			if err := s.Run(limit(t), in); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(in.Rows(), " "); got != c.rows || len(in.Bad()) != c.bad {
				t.Errorf("%s: rows %q, bad %q", c.name, got, in.Bad())
			}
		}
	}
	s := source(t, config(&logs{}, map[string]string{"path": filepath.Join(t.TempDir(), "none")}))
	if err := s.Run(limit(t), &conntest.Intake{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("no file: %v", err)
	}
}

// TestResume kills the source at random places; every record is there once.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for f := range 5 {
		var json, csv strings.Builder
		csv.WriteString("b,a\n")
		for i := range 1500 {
			n := f*10000 + i
			fmt.Fprintf(&json, `{"a":%d,"b":"%s"}`+"\n", n, strings.Repeat("x", i%9))
			fmt.Fprintf(&csv, "\"q\n\"\"%s\",%d\n", strings.Repeat("x", i%9), n)
			want = append(want, fmt.Sprint(n))
		}
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", f)), map[bool]string{false: json.String(), true: zip(json.String())}[f%2 == 1])
		write(t, filepath.Join(dir, fmt.Sprintf("%d.csv", f)), map[bool]string{false: csv.String(), true: zip(csv.String())}[f%2 == 1])
	}
	for _, c := range []struct{ format, follow string }{{"json", "false"}, {"csv", "false"}, {"json", "true"}, {"csv", "true"}} {
		rnd := rand.New(rand.NewPCG(1, 9))
		in, kills := &conntest.Intake{}, 0
		die := func() error {
			if rnd.IntN(4) == 0 {
				kills++
				return errors.New("killed")
			}
			return nil
		}
		in.Before = func(connector.Block) error { return die() }
		in.After = die
		ctx := limit(t)
		for ctx.Err() == nil {
			s := source(t, config(&logs{}, map[string]string{"path": filepath.Join(dir, "*."+c.format), "format": c.format, "follow": c.follow}))
			s.maxRows = 100 // many blocks
			inner, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- s.Run(inner, in) }()
			if c.follow == "true" {
				go func() {
					if in.Wait(len(want)) == nil {
						cancel()
					}
				}()
			}
			err := <-ended
			cancel()
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), "killed") {
				t.Fatal(err)
			}
		}
		var got []string
		for _, r := range in.Rows() {
			n, _, _ := strings.Cut(r, "|")
			got = append(got, n)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || len(in.Bad()) != 0 || kills < 10 {
			t.Errorf("%v: %d rows, want %d, after %d kills, bad %.200q", c, len(got), len(want), kills, in.Bad())
		}
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	in, l := &conntest.Intake{}, &logs{}
	opts := map[string]string{"path": path, "follow": "true", "poll_interval": "2ms"}
	stop := start(limit(t), func(ctx context.Context) error { return source(t, config(l, opts)).Run(ctx, in) })
	wait := func(n int, rows string) {
		t.Helper()
		if err := in.Wait(n); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(in.Rows(), " "); got != rows {
			t.Fatalf("rows %q, want %q", got, rows)
		}
	}
	add(t, path, `{"a":1,"b":"x"}`+"\n"+`{"a":2,"b":`)
	wait(1, `1|x`)
	add(t, path, `"y"}`+"\n"+`{"a":3}`)
	wait(2, `1|x 2|y`)
	// Rotation: the end of the old file counts, then the new one is read.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path, `{"a":4}`+"\n")
	wait(4, `1|x 2|y 3|\N 4|\N`)
	if !l.has("rotated") {
		t.Errorf("logs %q", l.lines)
	}
	// Truncation.
	write(t, path, `{"a":5,"b":"long enough to be told from what was there"}`+"\n")
	wait(5, `1|x 2|y 3|\N 4|\N 5|long enough to be told from what was there`)
	write(t, path, `{"a":6}`+"\n")
	wait(6, `1|x 2|y 3|\N 4|\N 5|long enough to be told from what was there 6|\N`)
	if !l.has("cut or written anew") {
		t.Errorf("logs %q", l.lines)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// What comes while nobody looks is found.
	add(t, path, `{"a":7}`+"\n")
	stop = start(limit(t), func(ctx context.Context) error { return source(t, config(l, opts)).Run(ctx, in) })
	wait(7, `1|x 2|y 3|\N 4|\N 5|long enough to be told from what was there 6|\N 7|\N`)
	stop()
}

func TestFollowPattern(t *testing.T) {
	dir := t.TempDir()
	in, l := &conntest.Intake{}, &logs{}
	opts := map[string]string{"path": filepath.Join(dir, "log*"), "follow": "true", "poll_interval": "2ms", "format": "csv"}
	run := func() func() error {
		return start(limit(t), func(ctx context.Context) error { return source(t, config(l, opts)).Run(ctx, in) })
	}
	stop := run()
	add(t, filepath.Join(dir, "log"), "a,b\n1,x\n")
	add(t, filepath.Join(dir, "log.z.gz"), zip("a,b\n100,zipped\n"))
	if err := in.Wait(2); err != nil {
		t.Fatal(err)
	}
	// A file that gets another name which the pattern matches is not read again, whether we run or not.
	os.Rename(filepath.Join(dir, "log"), filepath.Join(dir, "log.1"))
	add(t, filepath.Join(dir, "log"), "b,a\ny,2\n")
	add(t, filepath.Join(dir, "log.1"), "3,late\n")
	if err := in.Wait(4); err != nil {
		t.Fatal(err)
	}
	stop()
	os.Rename(filepath.Join(dir, "log.1"), filepath.Join(dir, "log.2"))
	os.Rename(filepath.Join(dir, "log"), filepath.Join(dir, "log.1"))
	add(t, filepath.Join(dir, "log.1"), "w,4\n")
	add(t, filepath.Join(dir, "log"), "a\n5\n")
	stop = run()
	if err := in.Wait(6); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, r := range in.Rows() {
		got[r]++
	}
	for _, r := range []string{"1|x", "100|zipped", "2|y", "3|late", "4|w", `5|\N`} {
		if got[r] != 1 {
			t.Errorf("%s is there %d times; rows %q, bad %q", r, got[r], in.Rows(), in.Bad())
		}
	}
}

func TestLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, `{"a":1}`+"\n"+`{"b":"`+strings.Repeat("x", 2*format.MaxRecordBytes+3*chunkBytes)+`"}`+"\n"+`{"a":2}`+"\n")
	in := &conntest.Intake{}
	if err := source(t, config(&logs{}, map[string]string{"path": path})).Run(limit(t), in); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(in.Rows(), " "); got != `1|\N 2|\N` || len(in.Bad()) != 1 || len(in.Bad()[0].Data) != connector.MaxBadBytes {
		t.Errorf("rows %q, %d bad", got, len(in.Bad()))
	}
}

func step(rows ...string) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	for i, r := range rows {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(i)), types.TextValue(r)}, int64(1-2*(i%2)))
	}
	return bu.Seal()
}

// sink opens a sink; word is its format and perhaps an envelope.
func sink(t *testing.T, l *logs, path, word string) *Sink {
	t.Helper()
	options := map[string]string{"path": path}
	envelope := ""
	if options["format"], envelope, _ = strings.Cut(word, " "); envelope != "" {
		options["envelope"], options["key"] = envelope, "b"
	}
	s, err := NewSink(config(l, options))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSinkWritesEachChangeOnce cuts the file anywhere behind what was reported, as a crash does.
func TestSinkWritesEachChangeOnce(t *testing.T) {
	for _, word := range []string{"json", "csv", "json upsert", "csv upsert", "json debezium"} {
		const steps = 40
		fill := func(o *conntest.Outlet) {
			for n := uint64(1); n <= steps; n++ {
				var rows []string
				for k := range n % 6 {
					rows = append(rows, fmt.Sprintf("r%d\n\"%d\",\n7,0,1", n, k))
				}
				o.Add(n, step(rows...))
			}
		}
		clean := &conntest.Outlet{}
		fill(clean)
		path := filepath.Join(t.TempDir(), "clean")
		stop := start(limit(t), func(ctx context.Context) error { return sink(t, &logs{}, path, word).Run(ctx, clean) })
		if err := clean.Wait(steps); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want, _ := os.ReadFile(path)
		if n := bytes.Count(want, []byte("r")); n < 90 {
			t.Fatalf("%d changes in %s", n, want)
		}

		rnd := rand.New(rand.NewPCG(2, 3))
		path = filepath.Join(t.TempDir(), "crashed")
		out := &conntest.Outlet{}
		fill(out)
		synced, kills := int64(0), 0
		ctx := limit(t)
		for out.Position() < steps && ctx.Err() == nil {
			out.OnDone = func(uint64) error {
				info, _ := os.Stat(path)
				switch rnd.IntN(4) {
				case 0: // killed while it wrote, some of it on disk
					os.Truncate(path, synced+rnd.Int64N(info.Size()-synced+1))
					return errors.New("killed")
				case 1:
					return errors.New("killed before it was reported")
				}
				synced = info.Size()
				return nil
			}
			inner, cancel := context.WithCancel(ctx)
			go func() {
				if out.Wait(steps) == nil {
					cancel()
				}
			}()
			err := sink(t, &logs{}, path, word).Run(inner, out)
			cancel()
			if kills++; err != nil && !strings.Contains(err.Error(), "killed") {
				t.Fatal(err)
			}
		}
		got, _ := os.ReadFile(path)
		if !bytes.Equal(got, want) || kills < 10 {
			t.Errorf("%s, %d kills:\n%s\nwant\n%s", word, kills, got, want)
		}
	}
}

func TestSinkLeavesForeignFilesAlone(t *testing.T) {
	for _, word := range []string{"json", "csv"} {
		for _, data := range []string{"something else\n", "{\"a\":1}\n", "x"} {
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, data)
			out := &conntest.Outlet{}
			out.Add(1, step("x"))
			if err := sink(t, &logs{}, path, word).Run(limit(t), out); !errors.Is(err, errForeign) {
				t.Errorf("%s %q: %v", word, data, err)
			}
			if got, _ := os.ReadFile(path); string(got) != data {
				t.Errorf("%s: %q became %q", word, data, got)
			}
		}
	}
	// Nor is cut what was reported.
	path := filepath.Join(t.TempDir(), "f")
	good := `{"_step":1,"_index":0,"_weight":1,"a":0,"b":"x"}` + "\n"
	write(t, path, good+"damaged\n"+`{"_step":2,"_index":0,"_weight":1,"a":0,"b":"x"}`+"\n")
	out := &conntest.Outlet{}
	out.Done(context.Background(), 2)
	if err := sink(t, &logs{}, path, "json").Run(limit(t), out); !errors.Is(err, errForeign) {
		t.Errorf("damaged file: %v", err)
	}
}

func TestSinkFindsTheEndOfLargeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	out := &conntest.Outlet{}
	long := strings.Repeat("0123456789", writeBytes/10)
	out.Add(1, step("a", long+long, "b"))
	out.Add(2, step(long))
	stop := start(limit(t), func(ctx context.Context) error { return sink(t, &logs{}, path, "json").Run(ctx, out) })
	if err := out.Wait(2); err != nil {
		t.Fatal(err)
	}
	stop()
	before, _ := os.ReadFile(path)
	add(t, path, `{"_step":3,"_ind`)
	l := &logs{}
	again := &conntest.Outlet{} // knows nothing of what was delivered
	again.Add(1, step("a", long+long, "b"))
	again.Add(2, step(long))
	again.Add(3, step("end"))
	stop = start(limit(t), func(ctx context.Context) error { return sink(t, l, path, "json").Run(ctx, again) })
	if err := again.Wait(3); err != nil {
		t.Fatal(err)
	}
	stop()
	after, _ := os.ReadFile(path)
	if want := string(before) + `{"_step":3,"_index":0,"_weight":1,"a":0,"b":"end"}` + "\n"; string(after) != want {
		t.Errorf("file of %d bytes, want %d", len(after), len(want))
	}
	if !l.has("cut off") {
		t.Errorf("logs %q", l.lines)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		sink    bool
		want    string
	}{
		{nil, false, `needs option "path"`}, {map[string]string{"path": "x", "follow": "maybe"}, false, `"maybe"`}, {map[string]string{"path": "[x"}, false, `"[x"`},
		{map[string]string{"path": "x", "tail": "1"}, false, `unknown option "tail" of file source`}, {map[string]string{"path": "x", "poll_interval": "0"}, false, "poll_interval"},
		{nil, true, `needs option "path"`}, {map[string]string{"path": "x*"}, true, `"x*"`}, {map[string]string{"path": "x", "format": "xml"}, true, `"xml"`},
		{map[string]string{"path": "x", "follow": "true"}, true, `unknown option "follow" of file sink`},
	} {
		var err error
		if c.sink {
			_, err = NewSink(config(&logs{}, c.options))
		} else {
			_, err = NewSource(config(&logs{}, c.options))
		}
		var sql *types.Error
		if !errors.As(err, &sql) || sql.Code != types.CodeInvalidParameter || !strings.Contains(sql.Message, c.want) {
			t.Errorf("%v: %v", c.options, err)
		}
	}
}
