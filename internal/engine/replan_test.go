package engine

import (
	"context"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

// slowLogs are logs whose records come to readers only while their gate is open.
type slowLogs struct {
	*memLogs
	mu   sync.Mutex
	open bool
	gate chan struct{} // closed: records come
}

func (s *slowLogs) set(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case open && !s.open:
		close(s.gate)
	case !open && s.open:
		s.gate = make(chan struct{})
	}
	s.open = open
}

func (s *slowLogs) OpenLog(ctx context.Context, name string) (Log, error) {
	l, err := s.memLogs.OpenLog(ctx, name)
	return slowLog{l, s}, err
}

type slowLog struct {
	Log
	s *slowLogs
}

func (l slowLog) Reader(ctx context.Context, from uint64) (Reader, error) {
	r, err := l.Log.Reader(ctx, from)
	return slowReader{r, l.s}, err
}

type slowReader struct {
	Reader
	s *slowLogs
}

func (r slowReader) Next(ctx context.Context) (fabric.Record, error) {
	rec, err := r.Reader.Next(ctx)
	r.s.mu.Lock()
	gate := r.s.gate
	r.s.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
		return rec, ctx.Err()
	}
	return rec, err
}

// openingLeader lets records come once the leader was asked something.
type openingLeader struct {
	*group
	s *slowLogs
}

func (o openingLeader) Call(ctx context.Context, req []byte) ([]byte, error) {
	resp, err := o.group.Call(ctx, req)
	o.s.set(true)
	return resp, err
}

// TestStatementsWaitForWhatOthersMade uses tables on a standby that has not heard of them
// yet, or still knows them though they are gone.
func TestStatementsWaitForWhatOthersMade(t *testing.T) {
	g := newGroup(t)
	a := g.open().client()
	slow := &slowLogs{memLogs: g.logs, gate: make(chan struct{})}
	slow.set(true)
	b := g.open(func(c *Config) { c.Logs, c.Leader = slow, openingLeader{g, slow} }).client()

	slow.set(false)
	a.exec(`CREATE TABLE t (id BIGINT PRIMARY KEY)`)
	b.exec(`INSERT INTO t VALUES (1)`)
	slow.set(false)
	a.exec(`CREATE TABLE u (id BIGINT PRIMARY KEY)`)
	b.exec(`CREATE MATERIALIZED VIEW v AS SELECT t.id FROM t JOIN u ON t.id = u.id`)
	slow.set(false)
	a.exec(`DROP MATERIALIZED VIEW v`)
	b.exec(`CREATE TABLE v (id BIGINT)`)
	slow.set(false)
	b.fails(`SELECT * FROM nothing`, types.CodeUndefinedTable, "does not exist")
	b.want(`SELECT id FROM t`, "1")
}
