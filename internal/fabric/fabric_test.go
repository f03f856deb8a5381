package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

type testLogger struct{ t *testing.T }

func (l testLogger) Log(level slog.Level, msg string) {
	if level >= slog.LevelError {
		l.t.Logf("%v %s", level, msg)
	}
}

// startIn starts a Fabric in dir; the test ends it unless it has done so itself.
func startIn(t testing.TB, dir string, change func(*Config)) *Fabric {
	t.Helper()
	cfg := Config{Dir: dir}
	if change != nil {
		change(&cfg)
	}
	f, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	return f
}

func start(t testing.TB) *Fabric {
	t.Helper()
	return startIn(t, t.TempDir(), nil)
}

func openLog(t testing.TB, f *Fabric, name string) *Log {
	t.Helper()
	log, err := f.OpenLog(context.Background(), name, LogConfig{})
	if err != nil {
		t.Fatalf("open log: %v", err)
	}
	return log
}

func records(texts ...string) [][]byte {
	recs := make([][]byte, len(texts))
	for i, text := range texts {
		recs[i] = []byte(text)
	}
	return recs
}

// contents reads the whole log as "seq:data" words.
func contents(t testing.TB, log *Log) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var words []string
	err := log.Read(ctx, 1, func(rec Record) error {
		words = append(words, fmt.Sprintf("%d:%s", rec.Seq, rec.Data))
		return nil
	})
	if err != nil {
		t.Fatalf("read log: %v", err)
	}
	return strings.Join(words, " ")
}

func mustAppend(t testing.TB, log *Log, expectLast uint64, texts ...string) uint64 {
	t.Helper()
	last, err := log.Append(context.Background(), records(texts...), expectLast)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return last
}

func TestStartRefusesWrongConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no dir":        {},
		"bad address":   {Dir: t.TempDir(), Listen: "nonsense"},
		"bad port":      {Dir: t.TempDir(), Listen: "127.0.0.1:70000"},
		"open to world": {Dir: t.TempDir(), Listen: "0.0.0.0:0"},
	} {
		f, err := Start(context.Background(), cfg)
		if err == nil {
			f.Close(context.Background())
			t.Errorf("%s: started", name)
		}
	}
}

func TestStartRefusesTakenPortAndFreesDir(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	if _, err := Start(context.Background(), Config{Dir: dir, Listen: taken.Addr().String()}); err == nil ||
		!strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v, want address already in use", err)
	}
	startIn(t, dir, nil)
}

func TestSecondOnSameDirIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := startIn(t, dir, nil)
	_, err := Start(context.Background(), Config{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got %v, want ErrInUse naming %s", err, dir)
	}
	first.Close(context.Background())
	startIn(t, dir, nil)
}

func TestTwoInOneProcess(t *testing.T) {
	loopback := func(cfg *Config) { cfg.Listen = "127.0.0.1:0" }
	a, b := startIn(t, t.TempDir(), loopback), startIn(t, t.TempDir(), loopback)
	if a.Addr().String() == b.Addr().String() {
		t.Fatalf("both listen on %s", a.Addr())
	}
	mustAppend(t, openLog(t, a, "l"), 0, "a")
	mustAppend(t, openLog(t, b, "l"), 0, "b")
	if got := contents(t, openLog(t, a, "l")); got != "1:a" {
		t.Errorf("a has %q", got)
	}
	if got := contents(t, openLog(t, b, "l")); got != "1:b" {
		t.Errorf("b has %q", got)
	}
}

func TestClosedRefusesEverything(t *testing.T) {
	f := start(t)
	log := openLog(t, f, "l")
	mustAppend(t, log, 0, "a")
	ctx := context.Background()
	reader, err := log.Reader(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := reader.Next(ctx)
		read <- err
	}()
	f.Close(ctx)
	f.Close(ctx)
	if err := <-read; !errors.Is(err, ErrClosed) {
		t.Errorf("reader: got %v, want ErrClosed", err)
	}
	if _, err := log.Append(ctx, records("b"), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("append: got %v, want ErrClosed", err)
	}
	if _, err := f.OpenLog(ctx, "m", LogConfig{}); !errors.Is(err, ErrClosed) {
		t.Errorf("open: got %v, want ErrClosed", err)
	}
	if _, _, err := log.Bounds(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("bounds: got %v, want ErrClosed", err)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		f := startIn(t, t.TempDir(), func(cfg *Config) { cfg.Listen = "127.0.0.1:0" })
		log := openLog(t, f, "l")
		mustAppend(t, log, 0, "a", "b")
		contents(t, log)
		if _, err := log.Reader(context.Background(), 1); err != nil {
			t.Fatal(err) // left open on purpose
		}
		f.Close(context.Background())
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
}

func TestHealth(t *testing.T) {
	f := start(t)
	if err := f.Health(); err != nil {
		t.Errorf("running: %v", err)
	}
	if err := f.server().DisableJetStream(); err != nil { // what the server does by itself on a full disk
		t.Fatal(err)
	}
	if err := f.Health(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("storing nothing: %v", err)
	}
	f.Close(context.Background())
	if err := f.Health(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
