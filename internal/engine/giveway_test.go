package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/http"
	"github.com/tidemill/tidemill/internal/fabric"
)

// lateLogs let something happen before an append reaches the log.
type lateLogs struct {
	*memLogs
	before func()
}

type lateLog struct {
	Log
	l *lateLogs
}

func (l *lateLogs) OpenLog(ctx context.Context, name string) (Log, error) {
	log, err := l.memLogs.OpenLog(ctx, name)
	return lateLog{log, l}, err
}

func (l lateLog) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	if before := l.l.before; before != nil {
		l.l.before = nil
		before()
	}
	return l.Log.Append(ctx, recs, expect)
}

// TestAClaimGivesWay lets the leader commit something while a standby claims the lead, and
// then two standbys claim it at the same moment.
func TestAClaimGivesWay(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	c := a.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t`)
	late := &lateLogs{memLogs: g.logs}
	b := g.open(func(c *Config) { c.Logs = late })
	b.reaches(a.e.Snapshot().Step)

	late.before = func() { c.exec(`INSERT INTO t VALUES (1)`) }
	if err := b.e.Lead(t.Context()); !errors.Is(err, errOvertaken) {
		t.Fatal(err)
	}
	if b.e.Standing().Role != RoleStandby || a.e.Standing().Role != RoleLeader {
		t.Fatal(b.e.Standing().Role, a.e.Standing().Role)
	}
	b.client().want(`SELECT n FROM v`, "1")
	c.exec(`INSERT INTO t VALUES (2)`) // a leads on
	b.reaches(a.e.Snapshot().Step)
	b.sameAs(a)

	third := g.open()
	third.reaches(a.e.Snapshot().Step)
	late.before = func() {
		if err := third.e.Lead(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := b.e.Lead(t.Context()); !errors.Is(err, errOvertaken) {
		t.Fatal(err)
	}
	third.client().exec(`INSERT INTO t VALUES (3)`)
	b.reaches(third.e.Snapshot().Step)
	b.sameAs(third)
	if got := b.e.Standing().Epoch; got != 2 {
		t.Fatalf("epoch %d: claims went on", got)
	}
}

// TestTheLastRequestsOfAnOldLeader takes a request on a leader that another one has
// replaced already, and the next one of the same producer on the new leader.
func TestTheLastRequestsOfAnOldLeader(t *testing.T) {
	g := newGroup(t)
	with := func(c *Config) { c.Connectors = connector.NewRegistry(http.System()) }
	a, b := g.open(with), g.open(with)
	a.client().exec(`CREATE SOURCE s (k INT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`)
	send := func(e *bench, sequence uint64) {
		t.Helper()
		_, err := e.e.receiveHere(t.Context(), Delivery{Name: "s", Body: []byte(`{"k": 1}`), Sent: &connector.Sent{Producer: "p", Sequence: sequence}})
		if err != nil {
			t.Fatalf("request %d: %v", sequence, err)
		}
	}
	b.reaches(a.e.Snapshot().Step)
	paused := make(chan struct{})
	resume := sync.OnceFunc(func() { close(paused) })
	t.Cleanup(resume)
	go a.e.inspect(t.Context(), func(*leader) { <-paused }) // it commits nothing meanwhile
	send(a, 1)
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(a, 2)
	send(b, 3)
	resume()
	<-a.e.Done()
	c := b.client()
	c.exec(`FLUSH`)
	c.want(`SELECT count(*) FROM s`, "3")
}

// TestAClaimIsWithdrawn gives up to lead while the log is not reached, and follows on.
func TestAClaimIsWithdrawn(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	c := a.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY)`)
	ctx, cancel := context.WithCancel(t.Context())
	out := &awayLogs{memLogs: g.logs, tried: func(n int) {
		if n == 3 {
			cancel()
		}
	}}
	b := g.open(func(c *Config) { c.Logs = out })
	b.reaches(a.e.Snapshot().Step)
	out.away = true
	if err := b.e.Lead(ctx); !errors.Is(err, errOvertaken) {
		t.Fatal(err)
	}
	out.away = false
	c.exec(`INSERT INTO t VALUES (1)`)
	b.reaches(a.e.Snapshot().Step)
	b.sameAs(a)
	if err := b.e.Lead(t.Context()); err != nil { // and another time it leads
		t.Fatal(err)
	}
	b.client().exec(`INSERT INTO t VALUES (2)`)
}

// awayLogs are logs that take no appends while they are away.
type awayLogs struct {
	*memLogs
	away  bool
	n     int
	tried func(n int)
}

type awayLog struct {
	Log
	a *awayLogs
}

func (a *awayLogs) OpenLog(ctx context.Context, name string) (Log, error) {
	l, err := a.memLogs.OpenLog(ctx, name)
	return awayLog{l, a}, err
}

func (l awayLog) Append(ctx context.Context, recs [][]byte, expect uint64) (uint64, error) {
	if !l.a.away {
		return l.Log.Append(ctx, recs, expect)
	}
	l.a.n++
	l.a.tried(l.a.n)
	return 0, fabric.ErrUnavailable
}

// TestSessionsOfAnEndedEngine do not answer for ever from its last step.
func TestSessionsOfAnEndedEngine(t *testing.T) {
	g := newGroup(t)
	a := g.open()
	b := g.open()
	c := a.client()
	c.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t VALUES (1)`)
	c.want(`SELECT id FROM t`, "1")
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.client().exec(`INSERT INTO t VALUES (2)`)
	c.fails(`INSERT INTO t VALUES (3)`, "57P04", "does not take writes any more") // it learns that it is fenced
	<-a.e.Done()
	c.fails(`SELECT id FROM t`, "57P04", "no longer leads")
}

// TestFlushFindsWhatTheOldLeaderTook waits for rows that a leader accepted after another one
// had taken over.
func TestFlushFindsWhatTheOldLeaderTook(t *testing.T) {
	g := newGroup(t)
	with := func(c *Config) { c.Connectors = connector.NewRegistry(http.System()) }
	a, b := g.open(with), g.open(with)
	a.client().exec(`CREATE SOURCE s (k INT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`)
	b.reaches(a.e.Snapshot().Step)
	paused := make(chan struct{})
	resume := sync.OnceFunc(func() { close(paused) })
	t.Cleanup(resume)
	go a.e.inspect(t.Context(), func(*leader) { <-paused }) // it commits nothing meanwhile
	if err := b.e.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.e.receiveHere(t.Context(), Delivery{Name: "s", Body: []byte(`{"k": 1}`)}); err != nil {
		t.Fatal(err)
	}
	c := b.client()
	c.exec(`FLUSH`)
	c.want(`SELECT count(*) FROM s`, "1")
	resume()
	<-a.e.Done()
}

// TestAStoppedProcessDoesNotBelieveItself takes what a process finds when it goes on for
// what was sent before it was stopped.
func TestAStoppedProcessDoesNotBelieveItself(t *testing.T) {
	var s stand
	at := func(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }
	is := func(want time.Time) {
		t.Helper()
		if got := s.atEnd(); !got.Equal(want) {
			t.Fatalf("at the end at %v, want %v", got, want)
		}
	}
	s.pulse(at(0))
	s.heard(at(0), 7, 1)
	s.shows(7)
	s.ends(at(0), 7)
	is(at(0))
	s.heard(at(10), 8, 1) // stopped for ten seconds; this record was on its way
	s.shows(8)
	s.ends(at(10), 8) // as its own broker says
	is(at(0))
	s.pulse(at(11))
	s.pulse(at(12))
	s.pulse(at(13))
	s.ends(at(13), 8)
	is(at(10))
	s.heard(at(14), 9, 1)
	s.shows(9)
	s.ends(at(14), 9)
	is(at(14))
}
