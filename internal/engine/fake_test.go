package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// memLogs are logs in memory that outlive engines, as a disk does. fault, if set,
// decides what becomes of an append.
type memLogs struct {
	mu    sync.Mutex
	logs  map[string]*memLog
	fault func(log string, n int) fault // n counts the appends to all logs, from 1
	n     int
	clock func() time.Time // nil: the real one
	disk  *diskmodel.Disk  // of the same machine
}

// fault is what goes wrong with an append.
type fault int

const (
	fine       fault = iota
	lostBefore       // it never arrives
	lostAfter        // it is done and the answer is lost
	crash            // it is done, and nothing is ever answered again
	crashEarly       // it never arrives, and nothing is ever answered again
)

type memLog struct {
	owner   *memLogs
	name    string
	mu      sync.Mutex
	recs    [][]byte
	times   []time.Time
	first   uint64 // what is before was trimmed
	changed broadcast
	deleted bool
}

func newMemLogs() *memLogs { return &memLogs{logs: map[string]*memLog{}, disk: newDisk()} }

func (m *memLogs) OpenLog(_ context.Context, name string) (Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[name]
	if l == nil {
		l = &memLog{owner: m, name: name, first: 1}
		m.logs[name] = l
	}
	return l, nil
}

func (m *memLogs) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.Now()
}

// names lists the logs that there are.
func (m *memLogs) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sortedKeys(m.logs)
}

var errCrashed = fmt.Errorf("%w: the process has crashed", fabric.ErrClosed)

func (l *memLog) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	l.owner.mu.Lock()
	l.owner.n++
	f := fine
	if l.owner.fault != nil {
		f = l.owner.fault(l.name, l.owner.n)
	}
	l.owner.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f {
	case lostBefore:
		return 0, fmt.Errorf("%w: injected", fabric.ErrUnknown)
	case crashEarly:
		return 0, errCrashed
	}
	if uint64(len(l.recs)) != expect {
		return 0, &fabric.WrongSequenceError{Expected: expect, Last: uint64(len(l.recs))}
	}
	for _, r := range recs {
		l.recs, l.times = append(l.recs, slices.Clone(r)), append(l.times, l.owner.now())
	}
	l.changed.send()
	switch f {
	case lostAfter:
		return 0, fmt.Errorf("%w: injected", fabric.ErrUnknown)
	case crash:
		return 0, errCrashed
	}
	return uint64(len(l.recs)), nil
}

func (l *memLog) Read(ctx context.Context, from uint64, fn func(fabric.Record) error) error {
	l.mu.Lock()
	recs, times, first := l.recs, l.times, l.first
	l.mu.Unlock()
	for seq := max(from, first); seq <= uint64(len(recs)); seq++ {
		if err := fn(fabric.Record{Seq: seq, Data: slices.Clone(recs[seq-1]), Time: times[seq-1]}); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) Reader(_ context.Context, from uint64) (Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memReader{l, max(from, l.first)}, nil
}

func (l *memLog) Bounds(context.Context) (uint64, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, uint64(len(l.recs)), nil
}

func (l *memLog) Trim(_ context.Context, below uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	below = min(below, uint64(len(l.recs))) // the last one stays
	for ; l.first < below; l.first++ {
		l.recs[l.first-1] = nil
	}
	return nil
}

func (l *memLog) SizeBytes(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.recs {
		n += len(r)
	}
	return uint64(n), nil
}

func (l *memLog) Delete(context.Context) error {
	l.owner.mu.Lock()
	defer l.owner.mu.Unlock()
	if l.owner.logs[l.name] != l {
		return fabric.ErrNotFound
	}
	delete(l.owner.logs, l.name)
	return nil
}

type memReader struct {
	l    *memLog
	next uint64
}

func (r *memReader) Next(ctx context.Context) (fabric.Record, error) {
	for {
		wait := r.l.changed.wait()
		r.l.mu.Lock()
		if r.next <= uint64(len(r.l.recs)) {
			rec := fabric.Record{Seq: r.next, Data: slices.Clone(r.l.recs[r.next-1])}
			r.next++
			r.l.mu.Unlock()
			return rec, nil
		}
		r.l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return fabric.Record{}, ctx.Err()
		}
	}
}

func (r *memReader) Stop() {}

// pushed is a source that tests push blocks into by hand.
type pushed struct {
	mu     sync.Mutex
	intake map[string]connector.Intake
	ready  broadcast
}

func (p *pushed) system() connector.System {
	return connector.System{Name: "pushed", Source: func(cfg connector.Config) (any, error) {
		return &pushedSource{p, cfg.Name}, nil
	}}
}

type pushedSource struct {
	p    *pushed
	name string
}

func (s *pushedSource) Run(ctx context.Context, to connector.Intake) error {
	s.p.mu.Lock()
	s.p.intake[s.name] = to
	s.p.mu.Unlock()
	s.p.ready.send()
	<-ctx.Done()
	return nil
}

// to returns the intake of a source when it runs.
func (p *pushed) to(t testing.TB, name string) connector.Intake {
	for {
		wait := p.ready.wait()
		p.mu.Lock()
		in := p.intake[name]
		p.mu.Unlock()
		if in != nil {
			return in
		}
		select {
		case <-wait:
		case <-time.After(10 * time.Second):
			t.Fatalf("source %s does not run", name)
		}
	}
}

// counting is a replayable source: row n is (n, n % 10), a row a millisecond.
type counting struct{}

func (counting) Available(start, now int64) uint64 {
	return min(uint64(max(now-start, 0))/1000, 5000)
}

func (counting) Read(from, to uint64, bu *batch.Builder) error {
	for n := from; n < to; n++ {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(n)), types.IntValue(types.Int8, int64(n%10))}, 1)
	}
	return nil
}

// delivered is a sink that keeps what it gets.
type delivered struct {
	mu   sync.Mutex
	got  map[string][]string // by sink
	more broadcast
}

func (d *delivered) system() connector.System {
	return connector.System{Name: "kept", Sink: func(cfg connector.Config) (connector.Sink, error) { return &keptSink{d, cfg.Name}, nil }}
}

type keptSink struct {
	d    *delivered
	name string
}

func (s *keptSink) Run(ctx context.Context, from connector.Outlet) error {
	at := from.Position()
	for {
		step, b, err := from.Next(ctx, at)
		if err != nil {
			return err
		}
		s.d.mu.Lock()
		for i := range b.N {
			s.d.got[s.name] = append(s.d.got[s.name], fmt.Sprintf("%+d %s", b.Weight(i), rowText(b, i, len(b.Cols))))
		}
		s.d.mu.Unlock()
		s.d.more.send()
		if err := from.Done(ctx, step); err != nil {
			return err
		}
		at = step
	}
}

// always lets every test that has no checkpoints of its own make them all the time.
var always = flag.Bool("checkpoints", false, "make checkpoints in every test")

// beside lets every test make what it makes beside the steps.
var beside = flag.Bool("beside", false, "make views beside the steps in every test")

// bench is one engine under test and the systems around it.
type bench struct {
	testing.TB
	e    *Engine
	src  *pushed
	sink *delivered
	cfg  Config
}

func start(t testing.TB, logs Logs, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{TB: t, src: &pushed{intake: map[string]connector.Intake{}}, sink: &delivered{got: map[string][]string{}}}
	b.cfg = Config{Logs: logs, Name: "tidemill", Workers: 1, Connectors: connector.NewRegistry(b.src.system(), b.sink.system(),
		connector.System{Name: "counting", Source: func(connector.Config) (any, error) { return counting{}, nil }})}
	for _, c := range change {
		c(&b.cfg)
	}
	if m, ok := logs.(*memLogs); ok && *always && b.cfg.Checkpoint.FS == nil && b.cfg.Checkpoint.Interval >= 0 {
		on(m.disk)(&b.cfg)
		b.cfg.Checkpoint.Interval = time.Millisecond
	}
	if *beside && b.cfg.Fill.LargeRows == 0 {
		b.cfg.Fill.LargeRows = 1
	}
	e, err := Open(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.e = e
	t.Cleanup(b.stop)
	return b
}

func (b *bench) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b.e.Close(ctx)
}

// client is a session with less to write.
type client struct {
	testing.TB
	s       session.Session
	notices []string
}

func (b *bench) client() *client {
	b.Helper()
	c := &client{TB: b.TB}
	s, err := b.e.OpenSession(b.Context(), session.Options{User: "tester", Notice: func(n session.Notice) {
		c.notices = append(c.notices, n.Severity+": "+n.Message)
	}})
	if err != nil {
		b.Fatal(err)
	}
	c.s = s
	return c
}

// run executes statements and returns the rows of the last one, and its tag.
func (c *client) run(text string, args ...types.Value) ([]string, string, error) {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return nil, "", err
	}
	var rows []string
	tag := ""
	for _, stmt := range stmts {
		st, err := c.s.Prepare(c.Context(), text, stmt, nil)
		if err != nil {
			return nil, "", err
		}
		cur, err := c.s.Execute(c.Context(), st, args)
		if err != nil {
			return nil, "", err
		}
		if rows, err = drain(c.Context(), cur); err != nil {
			return nil, "", err
		}
		tag = cur.Tag()
		cur.Close()
	}
	return rows, tag, nil
}

// drain reads a cursor to its end, or, of a subscription, what there is.
func drain(ctx context.Context, cur session.Cursor) ([]string, error) {
	var rows []string
	for {
		b, err := cur.Next(ctx, false)
		if err != nil || b == nil || b.N == 0 {
			return rows, err
		}
		for i := range b.N {
			rows = append(rows, strings.Trim(rowText(b, i, len(b.Cols)), "()"))
		}
	}
}

// exec runs statements that must succeed, and returns the last one's tag.
func (c *client) exec(text string, args ...types.Value) string {
	c.Helper()
	_, tag, err := c.run(text, args...)
	if err != nil {
		c.Fatalf("%s: %v", text, detailed(err))
	}
	return tag
}

// want checks the rows of a query, a row a line.
func (c *client) want(text string, rows ...string) {
	c.Helper()
	got, _, err := c.run(text)
	if err != nil {
		c.Fatalf("%s: %v", text, detailed(err))
	}
	if !slices.Equal(got, rows) {
		c.Fatalf("%s\n got %q\nwant %q", text, got, rows)
	}
}

// fails checks that a statement fails with a code and a message.
func (c *client) fails(text, code, message string) *types.Error {
	c.Helper()
	_, _, err := c.run(text)
	var te *types.Error
	if !errors.As(err, &te) || te.Code != code || !strings.Contains(te.Message, message) {
		c.Fatalf("%s: got %v, want %s %s", text, detailed(err), code, message)
	}
	return te
}

func detailed(err error) string {
	var te *types.Error
	if errors.As(err, &te) {
		return fmt.Sprintf("%s %s (%s) (%s)", te.Code, te.Message, te.Detail, te.Hint)
	}
	return fmt.Sprint(err)
}
