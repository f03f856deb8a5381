package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

// hookedLogs are logs whose appends and reads go through functions of a test.
type hookedLogs struct {
	Logs
	mu     sync.Mutex
	append func(ctx context.Context, name string, do func() (uint64, error)) (uint64, error)
	read   func(name string) error
}

func (h *hookedLogs) OpenLog(ctx context.Context, name string) (Log, error) {
	l, err := h.Logs.OpenLog(ctx, name)
	return &hookedLog{l, h, name}, err
}

func (h *hookedLogs) set(append func(context.Context, string, func() (uint64, error)) (uint64, error), read func(string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.append, h.read = append, read
}

type hookedLog struct {
	Log
	h    *hookedLogs
	name string
}

func (l *hookedLog) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	l.h.mu.Lock()
	hook := l.h.append
	l.h.mu.Unlock()
	do := func() (uint64, error) { return l.Log.Append(ctx, recs, expect) }
	if hook == nil {
		return do()
	}
	return hook(ctx, l.name, do)
}

func (l *hookedLog) Read(ctx context.Context, from uint64, fn func(fabric.Record) error) error {
	l.h.mu.Lock()
	hook := l.h.read
	l.h.mu.Unlock()
	if hook != nil {
		if err := hook(l.name); err != nil {
			return err
		}
	}
	return l.Log.Read(ctx, from, fn)
}

// disk is what a test says of the disk.
type disk struct {
	state atomic.Pointer[fabric.NoSpaceError]
}

func (d *disk) room() error {
	if e := d.state.Load(); e != nil {
		return e
	}
	return nil
}

// TestFullDiskRefusesWrites fills the disk: whatever would write is refused with
// 53100, reads go on, DROP makes room, and then all is as before.
func TestFullDiskRefusesWrites(t *testing.T) {
	var d disk
	b := start(t, newMemLogs(), withPosted, func(cfg *Config) { cfg.Room = d.room })
	c := b.client()
	c.exec(createPosted)
	c.exec("CREATE TABLE t (a INT); INSERT INTO t VALUES (1); CREATE TABLE junk (a INT)")
	b.mustPost("1", key("a", 1), Receipt{Rows: 1, Position: 1})
	c.exec("FLUSH")
	d.state.Store(&fabric.NoSpaceError{Dir: "/data", FreeBytes: 7, ReserveBytes: 1000})
	const message = "no space left in /data: 7 bytes are free, 1000 are kept in reserve"
	for _, text := range []string{"INSERT INTO t VALUES (2)", "UPDATE t SET a = 3", "DELETE FROM t", "CREATE TABLE u (a INT)",
		"CREATE MATERIALIZED VIEW w AS SELECT a FROM t", "BEGIN; INSERT INTO t VALUES (4); COMMIT"} {
		if te := c.fails(text, types.CodeDiskFull, message); te.Hint == "" {
			t.Errorf("%s: no hint", text)
		}
		if c.s.TxStatus() != 'I' {
			c.exec("ROLLBACK")
		}
	}
	b.refuses("2", key("b", 1), types.CodeDiskFull, message)
	c.want("SELECT a FROM t", "1")
	c.want("SELECT n FROM v", "1")
	c.want("SELECT n FROM s", "1")
	c.exec("DROP TABLE junk")
	d.state.Store(nil)
	c.exec("INSERT INTO t VALUES (2)")
	c.want("SELECT a FROM t ORDER BY a", "1", "2")
	b.mustPost("2", key("b", 1), Receipt{Rows: 1, Position: 2})
	b.mustPost("1", key("a", 1), Receipt{Rows: 1, Position: 1, Duplicate: true})
}

// TestAppendMeetsAFullDisk lets the append of a step meet a full disk, for longer than
// an append is retried otherwise: its outcome stays open, new writes are refused, reads
// go on, and when there is room the log says what became of it.
func TestAppendMeetsAFullDisk(t *testing.T) {
	for _, stored := range []bool{false, true} {
		var d disk
		h := &hookedLogs{Logs: newMemLogs()}
		b := start(t, h, func(cfg *Config) { cfg.Room = d.room })
		c := b.client()
		c.exec("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")
		met := make(chan struct{}, 1)
		h.set(func(_ context.Context, name string, do func() (uint64, error)) (uint64, error) {
			if !strings.HasPrefix(name, "LOG_") {
				return do()
			}
			if d.state.Load() == nil {
				if stored {
					do()
				}
				d.state.Store(&fabric.NoSpaceError{Dir: "/data", Stopped: true})
				met <- struct{}{}
			}
			return 0, fmt.Errorf("%w: no answer", fabric.ErrUnknown)
		}, nil)
		answered := make(chan error, 1)
		writer := b.client()
		go func() {
			_, _, err := writer.run("INSERT INTO t VALUES (2)")
			answered <- err
		}()
		<-met
		c.fails("INSERT INTO t VALUES (3)", types.CodeDiskFull, "no space left in /data")
		c.want("SELECT a FROM t", "1")
		timer := time.NewTimer(3 * roomPoll) // it is looked for several times meanwhile
		select {
		case err := <-answered:
			t.Fatalf("answered before the log could be asked: %v", err)
		case <-timer.C:
		}
		if inLoop(b, func() bool { return b.e.lead.stalled == nil }) {
			t.Error("nothing waits for room")
		}
		h.set(nil, nil)
		d.state.Store(nil)
		if err := <-answered; err != nil {
			t.Fatalf("stored %v: %v", stored, detailed(err))
		}
		c.exec("INSERT INTO t VALUES (3)")
		c.want("SELECT a FROM t ORDER BY a", "1", "2", "3")
		b.stop()
	}
}

// TestSlowDiskPushesBack lets no append through while many write: what waits is
// bounded, and whoever gets no place in the queue gives up when its client does.
func TestSlowDiskPushesBack(t *testing.T) {
	h := &hookedLogs{Logs: newMemLogs()}
	b := start(t, h, withPosted)
	b.client().exec(createPosted + "; CREATE TABLE t (a INT, b TEXT)")
	open := make(chan struct{})
	h.set(func(ctx context.Context, _ string, do func() (uint64, error)) (uint64, error) {
		select {
		case <-open:
		case <-ctx.Done():
		}
		return do()
	}, nil)
	// Each writes rows of 1 MB, and 300 of them: more than may wait.
	const writers = 300
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	var committed, refused atomic.Int64
	changes := make([]*batch.Batch, writers)
	def, err := b.e.Snapshot().Catalog.Resolve([]string{"public"}, "", "t")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 1<<20)
	bu := batch.NewBuilder(def.Types())
	bu.AppendRow([]types.Value{types.IntValue(types.Int4, 1), types.TextValue(text)}, 1)
	row := bu.Seal()
	for i := range changes {
		changes[i] = row // shared: what is measured is what the engine lets in
	}
	for i := range writers {
		done.Go(func() {
			r := &request{kind: coord.Tx, changes: []tableChange{{def.ID, changes[i]}}, rows: 1, bytes: row.SizeBytes()}
			if _, err := b.e.call(ctx, r); err == nil {
				committed.Add(1)
			} else {
				refused.Add(1)
			}
		})
	}
	held := func() int64 {
		b.e.bytes.mu.Lock()
		defer b.e.bytes.mu.Unlock()
		return b.e.bytes.held
	}
	for deadline := time.Now().Add(10 * time.Second); held() < MaxPendingBytes-2<<20; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes wait", held())
		}
	}
	if n := held(); n > MaxPendingBytes {
		t.Errorf("%d bytes wait, at most %d may", n, MaxPendingBytes)
	}
	cancel() // those without a place give up; those with one are answered
	close(open)
	done.Wait()
	if n := committed.Load(); n+refused.Load() != writers || n < MaxPendingBytes>>20-2 || n > MaxPendingBytes>>20+2 || held() != 0 {
		t.Errorf("%d committed, %d refused, %d bytes held", n, refused.Load(), held())
	}
	b.client().want("SELECT count(*) FROM t", fmt.Sprint(committed.Load()))
}

// TestSourceGoesOnBehindWhatItDidNotKnow makes the outcome of an append unknown, and
// the log unreadable when the connector asks for its cursor: rows that it then reads
// again are refused, because they are there.
func TestSourceGoesOnBehindWhatItDidNotKnow(t *testing.T) {
	var d disk
	h := &hookedLogs{Logs: newMemLogs()}
	b := start(t, h, func(cfg *Config) { cfg.Room = d.room })
	b.client().exec("CREATE SOURCE s (n BIGINT) WITH (connector = 'pushed')")
	in := b.src.to(t, "s")
	block := func(n int64) connector.Block {
		bu := batch.NewBuilder([]types.Type{types.T(types.Int8)})
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, n)}, 1)
		return connector.Block{Rows: bu.Seal(), Cursor: fmt.Append(nil, n)}
	}
	if _, err := in.Append(t.Context(), block(1)); err != nil {
		t.Fatal(err)
	}
	h.set(func(_ context.Context, name string, do func() (uint64, error)) (uint64, error) {
		if strings.HasPrefix(name, "SRC_") {
			do()
			d.state.Store(&fabric.NoSpaceError{Dir: "/data", Stopped: true})
			return 0, fmt.Errorf("%w: no answer", fabric.ErrUnknown)
		}
		return do()
	}, func(name string) error {
		if strings.HasPrefix(name, "SRC_") {
			return fabric.ErrUnavailable
		}
		return nil
	})
	if _, err := in.Append(t.Context(), block(2)); !errors.Is(err, fabric.ErrUnknown) {
		t.Fatal(err)
	}
	if got := string(in.Cursor()); got != "1" {
		t.Fatalf("cursor %q: the log was read", got)
	}
	h.set(nil, nil)
	d.state.Store(nil)
	if _, err := in.Append(t.Context(), block(2)); !errors.Is(err, errMovedOn) {
		t.Fatalf("the row would be there twice: %v", err)
	}
	if got := string(in.Cursor()); got != "2" {
		t.Fatalf("cursor %q", got)
	}
	if _, err := in.Append(t.Context(), block(3)); err != nil {
		t.Fatal(err)
	}
	c := b.client()
	c.exec("FLUSH")
	c.want("SELECT n FROM s ORDER BY n", "1", "2", "3")
}

// TestSlowDiskHoldsSourcesUp lets no step through while a source's own log takes
// blocks: what waits for a step is bounded, and then the source waits.
func TestSlowDiskHoldsSourcesUp(t *testing.T) {
	h := &hookedLogs{Logs: newMemLogs()}
	b := start(t, h)
	b.client().exec("CREATE SOURCE s (n BIGINT, pad TEXT) WITH (connector = 'pushed')")
	in := b.src.to(t, "s")
	open := make(chan struct{})
	h.set(func(ctx context.Context, name string, do func() (uint64, error)) (uint64, error) {
		if strings.HasPrefix(name, "LOG_") {
			select {
			case <-open:
			case <-ctx.Done():
			}
		}
		return do()
	}, nil)
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.TextValue(strings.Repeat("x", 4<<20))}, 1)
	rows := bu.Seal()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var taken atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := in.Append(ctx, connector.Block{Rows: rows}); err != nil {
				ended <- err
				return
			}
			taken.Add(1)
		}
	}()
	s := b.e.sourceList()[0]
	waiting := func() int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.bytes
	}
	waitUntil(t, "the source waits", func() bool { return waiting() >= MaxSourceBytes })
	before := taken.Load()
	if n := waiting(); n > MaxSourceBytes+rows.SizeBytes()+1024 {
		t.Errorf("%d bytes wait, at most %d and a block may", n, MaxSourceBytes)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || taken.Load() > before+1 {
		t.Errorf("%v; %d more blocks were taken", err, taken.Load()-before)
	}
	close(open)
	c := b.client()
	c.exec("FLUSH")
	c.want("SELECT count(*) FROM s", fmt.Sprint(taken.Load()))
}
