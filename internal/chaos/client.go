package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// opTimeout bounds one statement: longer than a node looks for a leader, which is 10 s.
	opTimeout = 15 * time.Second
	// connectTimeout bounds a connection, and reconnectPause is before the next try.
	connectTimeout = 3 * time.Second
	reconnectPause = 50 * time.Millisecond
)

// judge reads the answer to a write: none is acknowledged, an error of the statement is a
// refusal, anything else leaves it open.
func judge(err error) outcome {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return acked
	case !errors.As(err, &pe):
		// pgconn.SafeToRetry is not asked: it holds for "conn closed", which is also what comes of a
		// connection that breaks between the answer to a statement and the word that the next may come.
		return unknown
	case pe.Code == "57P03":
		return refused // nobody leads, or the node is starting: nothing happened
	case strings.HasPrefix(pe.Code, "57"), strings.HasPrefix(pe.Code, "08"), strings.HasPrefix(pe.Code, "58"),
		strings.HasPrefix(pe.Code, "XX"), pe.Code == "40003":
		return unknown
	}
	return refused
}

// broken reports whether a client should go on at another node after an error.
func broken(err error) bool {
	var pe *pgconn.PgError
	if err == nil {
		return false
	}
	return !errors.As(err, &pe) || judge(err) == unknown || pe.Code == "57P03" || strings.HasPrefix(pe.Code, "53")
}

// code is what errors are counted by.
func code(err error) string {
	var pe *pgconn.PgError
	var timeout net.Error
	switch {
	case errors.As(err, &pe):
		return pe.Code
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	}
	return "connection"
}

// session is a client's connection. It belongs to a node and moves on to the next one when it breaks,
// unless it is fixed. One goroutine uses it.
type session struct {
	r        *chaos
	node     int
	fixed    bool
	settings []string // statements for every connection
	rng      *rand.Rand
	conn     *pgx.Conn
	notices  []string // SQLSTATEs that came with the last answer
}

func (r *chaos) session(node int, id uint64, settings ...string) *session {
	return &session{r: r, node: node % r.cluster.Nodes(), rng: rand.New(rand.NewPCG(r.cfg.Seed, id)), settings: settings}
}

// get returns the connection, making one if there is none. It fails only when ctx ends.
func (s *session) get(ctx context.Context) (*pgx.Conn, error) {
	for ctx.Err() == nil {
		if s.conn != nil && !s.conn.IsClosed() {
			return s.conn, nil
		}
		c, err := s.r.connect(ctx, s.node, func(code string) { s.notices = append(s.notices, code) }, s.settings...)
		if err == nil {
			s.conn = c
			return c, nil
		}
		s.drop()
		select {
		case <-ctx.Done():
		case <-time.After(reconnectPause):
		}
	}
	return nil, ctx.Err()
}

// drop closes the connection; the next one is to another node.
func (s *session) drop() {
	if s.conn != nil {
		s.close()
	}
	if !s.fixed {
		s.node = (s.node + 1) % s.r.cluster.Nodes()
	}
}

func (s *session) close() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond) // a farewell, nobody depends on it
	defer cancel()
	_ = s.conn.Close(ctx)
	s.conn = nil
}

// after drops the connection if an error says so.
func (s *session) after(err error) {
	if broken(err) {
		s.drop()
	}
}

// connect opens a connection to a node.
func (r *chaos) connect(ctx context.Context, node int, notice func(code string), settings ...string) (*pgx.Conn, error) {
	addr := r.cluster.Node(node).PG()
	cfg, err := pgx.ParseConfig("postgres://tidemill@" + addr + "/tidemill?sslmode=disable&application_name=chaos")
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	cfg.DialFunc = func(ctx context.Context, _, addr string) (net.Conn, error) { return r.net.dial(ctx, node, addr) }
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if notice != nil {
			notice(n.Code)
		}
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, set := range settings {
		octx, cancel := context.WithTimeout(ctx, opTimeout)
		_, err := c.Exec(octx, set)
		cancel()
		if err != nil {
			_ = c.Close(ctx)
			return nil, fmt.Errorf("%s: %w", set, err)
		}
	}
	return c, nil
}

// texts runs a query and returns each row as its text values; a NULL is "NULL".
func texts(ctx context.Context, c *pgx.Conn, query string) ([][]string, error) {
	res, err := c.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	out := make([][]string, 0, len(res[len(res)-1].Rows))
	for _, r := range res[len(res)-1].Rows {
		out = append(out, values(r))
	}
	return out, nil
}

// lines runs a query and returns its rows as sorted lines: their text values with | between.
func lines(ctx context.Context, c *pgx.Conn, query string) ([]string, error) {
	var out []string
	var line []byte
	res := c.PgConn().Exec(ctx, query)
	for res.NextResult() {
		for rr := res.ResultReader(); rr.NextRow(); {
			line = line[:0]
			for i, v := range rr.Values() {
				if i > 0 {
					line = append(line, '|')
				}
				if v == nil {
					v = []byte("NULL")
				}
				line = append(line, v...)
			}
			out = append(out, string(line))
		}
	}
	slices.Sort(out)
	return out, res.Close()
}

func values(r [][]byte) []string {
	vs := make([]string, len(r))
	for i, v := range r {
		if vs[i] = string(v); v == nil {
			vs[i] = "NULL"
		}
	}
	return vs
}

// recoveries measures how long after a fault the first write was acknowledged that was begun
// after it.
type recoveries struct {
	mu    sync.Mutex
	open  []probe
	times map[string][]time.Duration // by fault
}

type probe struct {
	fault string
	at    time.Duration
}

// maxProbes bounds the faults of which no recovery came yet.
const maxProbes = 64

func (v *recoveries) fault(name string, at time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) < maxProbes {
		v.open = append(v.open, probe{name, at})
	}
}

// disturbed is added to the name of a fault whose recovery another one delayed.
const disturbed = ", and another fault"

// disturb is told that another fault begins.
func (v *recoveries) disturb() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.open {
		if p := &v.open[i]; !strings.HasSuffix(p.fault, disturbed) {
			p.fault += disturbed
		}
	}
}

// ack is told of an acknowledged write.
func (v *recoveries) ack(begun, ended time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open = slices.DeleteFunc(v.open, func(p probe) bool {
		if begun < p.at {
			return false
		}
		if v.times == nil {
			v.times = map[string][]time.Duration{}
		}
		v.times[p.fault] = append(v.times[p.fault], ended-p.at)
		return true
	})
}

// tally counts statements by outcome, and errors by what they were.
type tally struct {
	mu     sync.Mutex
	counts map[string]*Counts
	errors map[string]int
	sample map[string]string
}

func newTally() *tally {
	return &tally{counts: map[string]*Counts{}, errors: map[string]int{}, sample: map[string]string{}}
}

// note counts n things that one statement did.
func (t *tally) note(kind string, o outcome, n int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[kind]
	if c == nil {
		c = &Counts{}
		t.counts[kind] = c
	}
	switch o {
	case acked:
		c.Acked += n
	case unknown:
		c.Unknown += n
	default:
		c.Refused += n
	}
	if err != nil {
		t.failed(kind, err)
	}
}

// failed counts an error; t.mu is held.
func (t *tally) failed(kind string, err error) {
	k := code(err)
	t.errors[k]++
	if _, ok := t.sample[k]; !ok {
		t.sample[k] = kind + ": " + err.Error()
	}
}

// trouble counts an error of something that is not a write.
func (t *tally) trouble(kind string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed(kind, err)
}
