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

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/http"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

func TestAnyNodeTakesAnyStatement(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	b := g.open()
	c, d := b.client(), a.client()
	if tag := c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY, g TEXT, n INT CHECK (n < 100))`); tag != "CREATE TABLE" {
		t.Fatal(tag)
	}
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT g, sum(n) AS s FROM t GROUP BY g`)
	c.exec(`CREATE TABLE IF NOT EXISTS t (x INT)`)
	if len(c.notices) != 1 || c.notices[0] != `NOTICE: relation "t" already exists, skipping` {
		t.Fatalf("%q", c.notices)
	}
	if tag := c.exec(`INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)`); tag != "INSERT 0 2" {
		t.Fatal(tag)
	}
	c.want(`SELECT * FROM v ORDER BY g`, "a, 1", "b, 2") // its own writes, at once
	d.want(`SELECT * FROM v ORDER BY g`, "a, 1", "b, 2")
	c.exec(`BEGIN; UPDATE t SET n = n + 1; INSERT INTO t VALUES (3, 'c', 3); COMMIT`)
	c.want(`SELECT * FROM v ORDER BY g`, "a, 2", "b, 3", "c, 3")
	c.want(`DELETE FROM t WHERE id = 3 RETURNING g`, "c")
	c.exec(`FLUSH; CHECKPOINT`)
	c.fails(`INSERT INTO t VALUES (1, 'x', 5)`, types.CodeUnique, "duplicate key")
	c.fails(`INSERT INTO t VALUES (9, 'x', 500)`, types.CodeCheck, "violates check")
	text := `CREATE TABLE ok (a INT); CREATE MATERIALIZED VIEW bad AS SELECT nothing FROM t`
	if e := c.fails(text, types.CodeUndefinedColumn, "nothing"); e.Pos != strings.Index(text, "nothing")+1 {
		t.Errorf("error at %d", e.Pos)
	}
	d.exec(`DROP TABLE ok`)
	c.s.Begin()
	c.exec(`SELECT 1`)
	if err := c.s.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.sameAs(a)
}

// TestErrorsOfTheLeaderStandWhereTheyWere lets the leader alone know that a command is wrong.
func TestErrorsOfTheLeaderStandWhereTheyWere(t *testing.T) {
	err := shifted(&types.Error{Code: "42P01", Pos: 5}, 20)
	var te *types.Error
	if !errors.As(err, &te) || te.Pos != 25 {
		t.Fatal(err)
	}
	if err := errors.New("x"); shifted(err, 3) != err {
		t.Fatal("changed")
	}
}

func TestConflictsAreRunAgainOnTheStandby(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(`CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0)`)
	b, c := g.open(), g.open()
	const each = 25
	var wg sync.WaitGroup
	for _, on := range []*bench{a, b, c} {
		s := on.client()
		wg.Go(func() {
			for range each {
				if _, _, err := s.run(`UPDATE t SET n = n + 1 WHERE id = 1`); err != nil {
					t.Error(detailed(err))
					return
				}
			}
		})
	}
	wg.Wait()
	for _, on := range []*bench{a, b, c} {
		on.reaches(a.e.Snapshot().Step)
		on.client().want(`SELECT n FROM t`, fmt.Sprint(3*each))
	}
}

// TestManySessionsShareCalls counts the calls of many sessions that write at once.
// countingLeader counts the transactions in calls.
type countingLeader struct {
	*group
	txs atomic.Int64
}

func (l *countingLeader) Call(ctx context.Context, req []byte) ([]byte, error) {
	if call, err := wire.DecodeCall(req); err == nil {
		l.txs.Add(int64(len(call.Txs)))
	}
	return l.group.Call(ctx, req)
}

func TestManySessionsShareCalls(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(`CREATE TABLE t (id INT PRIMARY KEY)`)
	counts := &countingLeader{group: g}
	b := g.open(func(c *Config) { c.Leader = counts })
	// Calls wait until everybody has written something, so that they pile up.
	const sessions = 40
	var waits atomic.Int64
	free := make(chan struct{})
	g.mu.Lock()
	g.cut = func(call func() ([]byte, error)) ([]byte, error) {
		waits.Add(1)
		<-free
		return call()
	}
	g.mu.Unlock()
	before := g.n.Load()
	var wg sync.WaitGroup
	for i := range sessions {
		s := b.client()
		wg.Go(func() {
			if _, _, err := s.run(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, i)); err != nil {
				t.Error(detailed(err))
			}
		})
	}
	for waits.Load() < forwardCalls || int(counts.txs.Load())+len(b.e.forwards) < sessions {
		time.Sleep(time.Millisecond) // until they are there: the number is what is waited for
	}
	close(free)
	wg.Wait()
	if n := g.n.Load() - before; n > 3*forwardCalls {
		t.Errorf("%d calls for %d transactions", n, sessions)
	}
	b.client().want(`SELECT count(*) FROM t`, fmt.Sprint(sessions))
}

func TestOutcomesOfCalls(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	a.client().exec(`CREATE TABLE t (id INT PRIMARY KEY)`)
	b := g.open()
	c := b.client()
	cut := func(fn func(call func() ([]byte, error)) ([]byte, error)) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.cut = fn
	}
	// The answer is lost: it is in the log, which tells.
	cut(func(call func() ([]byte, error)) ([]byte, error) { call(); return nil, ErrOutcome })
	c.exec(`INSERT INTO t VALUES (1)`)
	c.want(`SELECT * FROM t`, "1")
	// That of a command is not looked for.
	c.fails(`CREATE TABLE u (a INT)`, "08007", "not known")
	// It was never carried out: it is sent again until it is.
	n := 0
	cut(func(call func() ([]byte, error)) ([]byte, error) {
		if n++; n < 4 {
			return nil, ErrNoLeader
		}
		return call()
	})
	c.exec(`INSERT INTO t VALUES (2)`)
	c.want(`SELECT * FROM t ORDER BY id`, "1", "2")
	// Nobody leads for as long as the statement may take.
	cut(func(func() ([]byte, error)) ([]byte, error) { return nil, ErrNoLeader })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := b.e.call(ctx, &request{kind: 0})
	var te *types.Error
	if !errors.As(err, &te) || te.Code != "57P03" && te.Code != types.CodeQueryCanceled {
		t.Fatal(detailed(err))
	}
	// It is promoted while a write waits: the write is its own then, once.
	done := make(chan error, 1)
	go func() { _, _, err := c.run(`INSERT INTO t VALUES (3)`); done <- err }()
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(detailed(err))
	}
	c.want(`SELECT count(*) FROM t`, "3")
}

func TestYield(t *testing.T) {
	g := newGroup(t)
	disk := newDisk()
	a := g.open(on(disk), func(c *Config) { c.Checkpoint.Interval = -1 })
	c := a.client()
	c.exec(`CREATE TABLE t (id INT PRIMARY KEY)`)
	b := g.open()
	stop, failed := make(chan struct{}), make(chan error, 4)
	acked := make([]int, 4)
	var wg sync.WaitGroup
	for w := range acked {
		s := b.client() // on the standby: it notices nothing
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := s.run(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, w*1_000_000+i)); err != nil {
					failed <- fmt.Errorf("%s", detailed(err))
					return
				}
				acked[w]++
			}
		})
	}
	b.reaches(20)
	if err := a.e.Yield(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-a.e.Done(); !errors.Is(a.e.Err(), ErrYielded) || a.e.Fenced() {
		t.Fatalf("%v", a.e.Err())
	}
	c.fails(`INSERT INTO t VALUES (-1)`, "57P04", "handed the pipeline on")
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.reaches(b.e.Snapshot().Step + 20)
	close(stop)
	wg.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	sum := 0
	for _, n := range acked {
		sum += n
	}
	b.client().want(`SELECT count(*) FROM t`, fmt.Sprint(sum))
	a.stop()
	again := g.open(on(disk))
	if from := again.e.Recovery().CheckpointStep; from == 0 {
		t.Error("it made no checkpoint before it ended")
	}
	again.sameAs(b)
	if err := again.e.Yield(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}
}

func TestRequestsReachTheSourceFromAnyNode(t *testing.T) {
	g := newGroup(t)
	with := func(c *Config) { c.Connectors = connector.NewRegistry(http.System()) }
	a, b := g.open(with), g.open(with)
	c := b.client()
	c.exec(`CREATE SOURCE s (k INT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`)
	sent := &connector.Sent{Producer: "p", Sequence: 1}
	for i := range 2 {
		r, err := b.e.Receive(t.Context(), Delivery{Name: "s", Body: []byte("{\"k\": 1}\n{\"k\": \"x\"}\n"), Sent: sent})
		if err != nil || r.Rows != 1 || r.Bad != 1 || r.Position != 1 || r.Duplicate != (i == 1) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	c.exec(`FLUSH`)
	c.want(`SELECT count(*) FROM s`, "1")
	if _, err := b.e.Receive(t.Context(), Delivery{Name: "none"}); err == nil {
		t.Fatal("rows for no source")
	}
	b.sameAs(a)
}

// TestHeartbeat: a leader with standbys is heard of though nothing happens.
func TestHeartbeat(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	b := g.open()
	b.reaches(a.e.Snapshot().Step + 1)
	s := b.e.Standing()
	if time.Since(s.Heard) > HeartbeatSteps || s.AtEnd.IsZero() || time.Since(s.AtEnd) > HeartbeatSteps {
		t.Fatalf("%+v", s)
	}
}

// TestTheLogTellsWhatBecameOfATransaction loses requests and answers while the lead moves:
// nobody is told that an outcome is unknown, and nothing is there twice or lost.
func TestTheLogTellsWhatBecameOfATransaction(t *testing.T) {
	g := newGroup(t)
	cut := &isolated{memLogs: g.logs}
	a := g.open(func(c *Config) { c.Logs = cut })
	a.client().exec(`CREATE TABLE t (id INT)`)
	b, c := g.open(), g.open()
	n := atomic.Int64{}
	g.mu.Lock()
	g.cut = func(call func() ([]byte, error)) ([]byte, error) {
		switch n.Add(1) {
		case 1: // it is carried out, and the answer does not come
			call()
		case 2: // it does not arrive; the leader dies
			cut.cut.Store(true)
			go func() {
				if err := b.e.Lead(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		default:
			return call()
		}
		return nil, ErrOutcome
	}
	g.mu.Unlock()
	d := c.client()
	d.exec(`INSERT INTO t VALUES (1)`)
	d.exec(`INSERT INTO t VALUES (2)`)
	d.want(`SELECT id FROM t ORDER BY id`, "1", "2")
	if b.e.role() != RoleLeader || n.Load() < 3 {
		t.Fatalf("%v, %d calls", b.e.role(), n.Load())
	}
	c.e.sent.mu.Lock()
	defer c.e.sent.mu.Unlock()
	if len(c.e.sent.open) != 0 {
		t.Fatalf("%d transactions are still open", len(c.e.sent.open))
	}
}
