package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/types"
)

// checkpointHere makes a checkpoint of a standby's own and waits until it is there.
func (b *bench) checkpointHere() {
	b.Helper()
	h, err := b.e.Hold(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	h.Release()
}

func manual(disk *diskmodel.Disk) func(*Config) {
	return func(c *Config) { on(disk)(c); c.Checkpoint.Interval = -1 }
}

func TestStandbyCheckpoints(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	c := a.client()
	c.exec(followSetup)
	disk := newDisk()
	b := g.open(manual(disk))
	var steps []uint64
	for i := range 3 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'a', 1)`, i))
		b.sameAs(a)
		b.checkpointHere()
		steps = append(steps, b.e.Snapshot().Step)
	}
	b.tidied()
	var manifests []string
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, "manifests/") {
			manifests = append(manifests, f.Name)
		}
	}
	if len(manifests) != keptCheckpoints {
		t.Fatalf("%q", manifests)
	}
	floor := b.e.Standing().Floor
	if log, _ := g.logs.OpenLog(t.Context(), "LOG_tidemill"); floor == 0 {
		t.Fatal("no floor")
	} else if first, last, _ := log.Bounds(t.Context()); first != 1 || floor > last {
		t.Fatalf("the log begins at %d, the floor is %d of %d", first, floor, last)
	}
	c.exec(`INSERT INTO t VALUES (100, 'b', 5)`)
	b.stop()

	again := g.open(manual(disk))
	if got := again.e.Recovery().CheckpointStep; got != steps[2] {
		t.Errorf("it went on from step %d, the checkpoint is of step %d", got, steps[2])
	}
	if again.e.Standing().Floor != floor {
		t.Errorf("floor %d, was %d", again.e.Standing().Floor, floor)
	}
	again.sameAs(a)
	again.stop()

	// One that leads goes on from it too, and then names its own in the log.
	a.stop()
	lead := start(t, g.logs, manual(disk))
	if got := lead.e.Recovery().CheckpointStep; got != steps[2] {
		t.Errorf("it led from step %d", got)
	}
	d := lead.client()
	d.want(`SELECT g, c, s FROM v ORDER BY g`, "a, 3, 3", "b, 1, 5")
	d.exec(`INSERT INTO t VALUES (101, 'b', 5); CHECKPOINT`)
	lead.stop()
	lead = start(t, g.logs, manual(disk))
	if got := lead.e.Recovery().CheckpointStep; got <= steps[2] {
		t.Errorf("it led from step %d", got)
	}
}

// TestStandbyCheckpointOfAnotherLog: what a standby kept of one history is no use in another.
func TestStandbyCheckpointOfAnotherLog(t *testing.T) {
	disk := newDisk()
	for i := range 2 {
		g := newGroup(t)
		a := g.open()
		a.client().exec(followSetup + fmt.Sprintf(`; INSERT INTO t VALUES (%d, 'a', 1)`, i))
		if i == 1 {
			a.client().exec(`INSERT INTO t VALUES (2, 'a', 1)`)
		}
		b := g.open(manual(disk))
		if from := b.e.Recovery().CheckpointStep; from != 0 {
			t.Fatalf("it went on from a checkpoint of step %d of another log", from)
		}
		b.sameAs(a)
		b.checkpointHere()
		b.stop()
		a.stop()
	}
}

func TestLeaderKeepsTheLogForOthers(t *testing.T) {
	g := newGroup(t)
	floor := uint64(4)
	a := g.open(manual(newDisk()), func(c *Config) { c.Floor = func() uint64 { return floor } })
	c := a.client()
	c.exec(`CREATE TABLE t (id BIGINT)`)
	round := func() uint64 {
		for i := range 5 {
			c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i))
		}
		c.exec(`CHECKPOINT`)
		a.tidied()
		first, _, err := a.e.log.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	round()
	for range 3 {
		if first := round(); first != floor {
			t.Fatalf("the log begins at %d, %d is needed", first, floor)
		}
	}
	floor = 0
	if first := round(); first <= 4 {
		t.Fatalf("the log begins at %d, nobody needs it", first)
	}
	if own := a.e.Standing().Floor; own == 0 {
		t.Fatal("no floor of its own")
	}
	cfg := a.cfg
	cfg.Follow, cfg.Checkpoint = true, CheckpointConfig{FS: newDisk()}
	_, err := Open(t.Context(), cfg)
	var te *types.Error
	if !errors.As(err, &te) || te.Code != "58P01" || !errors.Is(err, ErrNeedsCheckpoint) {
		t.Fatal(err)
	}
}

func TestSinksGoOnOnTheNextLeader(t *testing.T) {
	g := newGroup(t)
	cut := &isolated{memLogs: g.logs}
	a := g.open(manual(newDisk()), func(c *Config) { c.Logs = cut })
	c := a.client()
	c.exec(followSetup + `; CREATE SINK k FROM v WITH (connector = 'kept')`)
	b := g.open(manual(newDisk()))
	for i := range 20 {
		c.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, 'a', 1)`, i))
	}
	step := a.e.Snapshot().Step
	for more := a.sink.more.wait(); a.e.Sinks()[0].Position < step; more = a.sink.more.wait() {
		select {
		case <-more:
		case <-time.After(50 * time.Millisecond): // its position is logged after it is delivered
		}
	}
	ring := func() (first, last uint64) {
		b.e.inspect(t.Context(), func(l *leader) {
			for _, r := range l.rels {
				if r.def.Name == "k" {
					first, last = r.ring.span()
				}
			}
		})
		return
	}
	b.sameAs(a)
	if first, _ := ring(); first == 0 {
		t.Fatal("the standby keeps nothing for the sink")
	}
	c.exec(`CHECKPOINT; INSERT INTO t VALUES (100, 'a', 1)`)
	b.sameAs(a)
	if first, _ := ring(); first <= step {
		t.Fatalf("the standby keeps from step %d on what the sink has taken up to step %d", first, step)
	}
	for a.e.Sinks()[0].Position < a.e.Snapshot().Step {
		time.Sleep(time.Millisecond)
	}
	cut.cut.Store(true)
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.client().exec(`INSERT INTO t VALUES (200, 'a', 1)`)
	for b.e.Sinks()[0].Position < b.e.Snapshot().Step {
		time.Sleep(time.Millisecond)
	}
	a.sink.mu.Lock()
	b.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	defer b.sink.mu.Unlock()
	if want := []string{"-1 (a, 21, 21)", "+1 (a, 22, 22)"}; !slices.Equal(b.sink.got["k"], want) {
		t.Fatalf("%q", b.sink.got["k"])
	}
	if n := len(a.sink.got["k"]); n != 41 {
		t.Fatalf("%d changes by the first", n)
	}
}

// shut are the logs as a node sees them that reads nothing new while it is shut.
type shut struct {
	*memLogs
	open chan struct{} // closed: it reads
}

type shutLog struct {
	Log
	g *shut
}

type shutReader struct {
	Reader
	g *shut
}

func (g *shut) OpenLog(ctx context.Context, name string) (Log, error) {
	l, err := g.memLogs.OpenLog(ctx, name)
	return shutLog{l, g}, err
}

func (l shutLog) Reader(ctx context.Context, from uint64) (Reader, error) {
	r, err := l.Log.Reader(ctx, from)
	if !strings.HasPrefix(l.Log.(*memLog).name, "LOG_") {
		return r, err
	}
	select {
	case <-l.g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return shutReader{r, l.g}, err
}

func TestReadLatest(t *testing.T) {
	g := newGroup(t)
	cut := &isolated{memLogs: g.logs}
	a := g.open(func(c *Config) { c.Logs = cut })
	c := a.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)`)
	gate := &shut{memLogs: g.logs, open: make(chan struct{})}
	b := g.open(func(c *Config) { c.Logs = gate })
	c.exec(`INSERT INTO t VALUES (2)`)
	d := b.client()
	d.want(`SELECT count(*) FROM t`, "1") // as of its last step
	d.exec(`SET read = 'latest'`)
	d.want(`SHOW read`, "latest")
	got := make(chan []string, 1)
	go func() { rows, _, err := d.run(`SELECT count(*) FROM t`); got <- append(rows, fmt.Sprint(err)) }()
	select {
	case rows := <-got:
		t.Fatalf("%q without having read on", rows)
	case <-time.After(50 * time.Millisecond): // it would be too early, not too late
	}
	close(gate.open)
	if rows := <-got; !slices.Equal(rows, []string{"2", "<nil>"}) {
		t.Fatalf("%q", rows)
	}
	// Within a transaction the first read says what all see.
	d.exec(`BEGIN; SELECT 1`)
	c.exec(`INSERT INTO t VALUES (3)`)
	d.want(`SELECT count(*) FROM t`, "2")
	d.exec(`COMMIT`)
	d.want(`SELECT count(*) FROM t`, "3")

	// A leader that is one no more does not answer from what it has.
	c.exec(`SET read = 'latest'`)
	c.want(`SELECT count(*) FROM t`, "3")
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.fails(`SELECT count(*) FROM t`, "57P04", "")
}

func TestStaleReads(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(`CREATE TABLE t (id INT)`)
	b := g.open()
	b.sameAs(a)
	c := b.client()
	b.current()
	c.want(`SELECT count(*) FROM t`, "0")
	if len(c.notices) != 0 {
		t.Fatalf("%q", c.notices)
	}
	c.exec(`SET max_staleness = '1ms'`)
	for at := b.e.Standing().AtEnd; time.Since(at) < 2*time.Millisecond; at = b.e.Standing().AtEnd {
		time.Sleep(time.Millisecond)
	}
	c.want(`SELECT count(*) FROM t`, "0")
	if len(c.notices) != 1 || !strings.Contains(c.notices[0], "behind") || !strings.HasPrefix(c.notices[0], "WARNING") {
		t.Fatalf("%q", c.notices)
	}
	c.exec(`SET stale_reads = 'refuse'`)
	c.fails(`SELECT count(*) FROM t`, "55P04", "behind")
	c.exec(`SET read = 'latest'`)
	c.want(`SELECT count(*) FROM t`, "0")
	for _, bad := range []string{`SET read = 'maybe'`, `SET max_staleness = '0'`, `SET stale_reads = 'ok'`} {
		c.fails(bad, "22023", "invalid value")
	}
}

// current waits until a standby knows that it is at the log's end.
func (b *bench) current() {
	b.Helper()
	for end := time.Now().Add(10 * time.Second); b.e.Standing().AtEnd.IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%+v", b.e.Standing())
		}
	}
}

// TestRowsOfTheLeaderBefore: rows that a node accepted when another one led already are
// found by that one.
func TestRowsOfTheLeaderBefore(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(`CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	b := g.open()
	b.sameAs(a)
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.e.role() != RoleLeader {
		t.Fatal("it knows already")
	}
	a.push("s", 1, "late") // durable, whoever leads
	if !b.e.inspect(t.Context(), func(l *leader) { l.stragglers() }) {
		t.Fatal(b.e.Err())
	}
	c := b.client()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		rows, _, err := c.run(`FLUSH; SELECT count(*) FROM s`)
		if err != nil {
			t.Fatal(err)
		}
		if rows[0] == "1" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not found")
		}
	}
	b.src.to(b, "s").Cursor() // it goes on behind them
	b.push("s", 2, "next")
	c.exec(`FLUSH`)
	c.want(`SELECT k FROM s ORDER BY k`, "1", "2")
}
