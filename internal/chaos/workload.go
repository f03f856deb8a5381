package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// pace is the pause between two statements of a writer, so that many clients on a small machine leave
	// it something to compute with.
	pace = 2 * time.Millisecond
	// beatPace is the pause between beats, and watchPace between looks at them.
	beatPace  = 50 * time.Millisecond
	watchPace = 20 * time.Millisecond
	// maxRowsPerInsert bounds the rows of one statement.
	maxRowsPerInsert = 20
	// stayAtMost is how long a subscriber stays on a node before it goes on at another one.
	stayAtMost = 10 * time.Second
	// staleness is the bound that readers ask for.
	staleness = 5 * time.Second
)

// schema of the built-in workload.
var schema = []string{
	`CREATE TABLE chaos_events (id BIGINT NOT NULL, client BIGINT NOT NULL, n BIGINT NOT NULL, at TIMESTAMP NOT NULL) APPEND ONLY`,
	`CREATE MATERIALIZED VIEW chaos_windows AS SELECT window_start, count(*) AS n, sum(id)::BIGINT AS ids FROM TUMBLE(chaos_events, at, INTERVAL '10 seconds') GROUP BY window_start`,
	`CREATE MATERIALIZED VIEW chaos_clients AS SELECT client, count(*) AS n, sum(n)::BIGINT AS total, max(id) AS last FROM chaos_events GROUP BY client`,
	`CREATE TABLE chaos_accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)`,
	`CREATE TABLE chaos_transfers (id BIGINT PRIMARY KEY, src BIGINT NOT NULL, dst BIGINT NOT NULL, amount BIGINT NOT NULL)`,
	`CREATE MATERIALIZED VIEW chaos_total AS SELECT sum(balance)::BIGINT AS total, count(*) AS n FROM chaos_accounts`,
	`CREATE TABLE chaos_registers (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)`,
	`CREATE SOURCE chaos_posts (producer BIGINT, seq BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
	`CREATE MATERIALIZED VIEW chaos_producers AS SELECT producer, count(*) AS n, max(seq) AS last FROM chaos_posts GROUP BY producer`,
	`CREATE TABLE chaos_beats (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)`,
}

const readLatest = `SET read = 'latest'`

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// insert writes unique rows.
func (r *chaos) insert(ctx context.Context, s *session, id int64) {
	defer s.close()
	for ; ctx.Err() == nil; pause(ctx, pace) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		i, rows := r.inserts.begin(id, 1+s.rng.Int64N(maxRowsPerInsert))
		text := make([]string, len(rows))
		for k, e := range rows {
			text[k] = fmt.Sprintf("(%d, %d, %d, '%s')", e.id, e.client, e.n, time.Unix(e.at, 0).UTC().Format(time.DateTime))
		}
		tag, o, err := r.write(c, "inserts", int64(len(rows)), "INSERT INTO chaos_events (id, client, n, at) VALUES "+strings.Join(text, ", "))
		if o == acked && tag.RowsAffected() != int64(len(rows)) {
			r.findings.add(wrong, "events: an insert of %d rows was answered with %q", len(rows), tag)
		}
		r.inserts.end(i, o)
		s.after(err)
	}
}

// write carries out one statement and notes its outcome. Its time is bounded by itself, not by the
// end of the load, so that little is left open.
func (r *chaos) write(c *pgx.Conn, kind string, n int64, sql string) (pgconn.CommandTag, outcome, error) {
	ctx, cancel := context.WithTimeout(r.whole, opTimeout)
	defer cancel()
	begun := r.now()
	tag, err := c.Exec(ctx, sql)
	o := judge(err)
	r.noteWrite(kind, o, n, begun, err)
	return tag, o, err
}

func (r *chaos) noteWrite(kind string, o outcome, n int64, begun time.Duration, err error) {
	if o == acked {
		r.recov.ack(begun, r.now())
	}
	r.tally.note(kind, o, n, err)
}

// transfer moves money between accounts, in transactions of three statements, and takes some back.
func (r *chaos) transfer(ctx context.Context, s *session) {
	defer s.close()
	for ; ctx.Err() == nil; pause(ctx, pace) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		t := transfer{src: 1 + s.rng.Int64N(accounts), amount: 1 + s.rng.Int64N(50)}
		t.dst = 1 + (t.src+s.rng.Int64N(accounts-1))%accounts
		id := r.transfers.begin(t)
		begun := r.now()
		o, err := r.move(c, id, t, s.rng.IntN(10) == 0)
		r.transfers.end(id, o)
		r.noteWrite("transfers", o, 1, begun, err)
		s.after(err)
	}
}

func (r *chaos) move(c *pgx.Conn, id int64, t transfer, back bool) (outcome, error) {
	ctx, cancel := context.WithTimeout(r.whole, opTimeout)
	defer cancel()
	for _, sql := range []string{
		"BEGIN",
		fmt.Sprintf("UPDATE chaos_accounts SET balance = balance - %d WHERE id = %d", t.amount, t.src),
		fmt.Sprintf("UPDATE chaos_accounts SET balance = balance + %d WHERE id = %d", t.amount, t.dst),
		fmt.Sprintf("INSERT INTO chaos_transfers VALUES (%d, %d, %d, %d)", id, t.src, t.dst, t.amount),
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			if !broken(err) {
				_, berr := c.Exec(ctx, "ROLLBACK")
				err = errors.Join(err, berr)
			}
			return refused, err // COMMIT was never sent
		}
	}
	if back {
		_, err := c.Exec(ctx, "ROLLBACK")
		return refused, err
	}
	tag, err := c.Exec(ctx, "COMMIT")
	if err == nil && tag.String() != "COMMIT" {
		return refused, nil
	}
	return judge(err), err
}

// register reads, writes and swaps registers, as if there were one copy of them.
func (r *chaos) register(ctx context.Context, s *session) {
	defer s.close()
	client := r.registers.newClient()
	last := map[int64]int64{}
	for ; ctx.Err() == nil; pause(ctx, pace) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		id, ok := r.registers.pick(r.now(), s.rng.Int64N(registersPerRound))
		if !ok {
			return // all registers are used up
		}
		op := registerOp{kind: []string{"read", "read", "write", "cas"}[s.rng.IntN(4)], old: last[id]}
		if op.kind != "read" {
			op.new = r.registers.fresh()
		}
		call := r.now()
		res, o, err := r.ask(c, id, op)
		ret := r.now()
		if op.kind == "read" {
			r.tally.note("latest reads", o, 1, err)
		} else {
			r.noteWrite("registers", o, 1, call, err)
		}
		switch {
		case o == acked && op.kind == "read":
			last[id] = res.value
		case o == acked && op.kind == "write":
			last[id] = op.new
		}
		if o == acked || o == unknown && op.kind != "read" {
			res.unknown = o == unknown
			r.registers.add(id, client, op, res, call, ret)
		}
		if o == unknown {
			client = r.registers.newClient()
		}
		s.after(err)
	}
}

func (r *chaos) ask(c *pgx.Conn, id int64, op registerOp) (res registerResult, o outcome, err error) {
	ctx, cancel := context.WithTimeout(r.whole, opTimeout)
	defer cancel()
	if op.kind == "read" {
		err = c.QueryRow(ctx, fmt.Sprintf("SELECT v FROM chaos_registers WHERE id = %d", id)).Scan(&res.value)
		if errors.Is(err, pgx.ErrNoRows) {
			r.findings.add(wrong, "register %d is not there", id)
		}
		return res, judge(err), err
	}
	sql := fmt.Sprintf("UPDATE chaos_registers SET v = %d WHERE id = %d", op.new, id)
	if op.kind == "cas" {
		sql += fmt.Sprintf(" AND v = %d", op.old)
	}
	tag, err := c.Exec(ctx, sql)
	if err == nil && op.kind == "write" && tag.RowsAffected() != 1 {
		r.findings.add(wrong, "register %d: a write was answered with %q", id, tag)
	}
	res.swapped = tag.RowsAffected() == 1
	return res, judge(err), err
}

// beat writes a growing number into a row of its own and reads it again: a session sees its
// own writes.
func (r *chaos) beat(ctx context.Context, s *session, row int64) {
	defer s.close()
	for n := int64(1); ctx.Err() == nil; pause(ctx, beatPace) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		_, o, err := r.write(c, "beats", 1, fmt.Sprintf("UPDATE chaos_beats SET n = %d WHERE id = %d AND n < %d", n, row, n))
		if o != acked {
			s.after(err)
			n++
			continue
		}
		r.beats.ack(row, n, r.now())
		octx, cancel := context.WithTimeout(r.whole, opTimeout)
		got, err := texts(octx, c, fmt.Sprintf("SELECT n FROM chaos_beats WHERE id = %d", row))
		cancel()
		switch {
		case err != nil:
			r.tally.trouble("read of an own write", err)
			s.after(err)
		case len(got) != 1 || number(got[0][0]) < n:
			r.findings.add(wrong, "node %s: a session that wrote beat %d of row %d reads %v", r.cluster.Node(s.node).Name(), n, row, got)
		}
		n++
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// watch reads on one node: the beats, which must not be too old unless the answer says so and must not go
// back within a session, and the sum of the accounts, which is the same in every committed step.
func (r *chaos) watch(ctx context.Context, s *session) {
	defer s.close()
	s.fixed = true
	const total = accounts * startBalance
	var conn *pgx.Conn
	last := map[int64]int64{}
	for ; ctx.Err() == nil; pause(ctx, watchPace) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		if c != conn {
			conn, last = c, map[int64]int64{}
		}
		s.notices = s.notices[:0]
		asked := r.now()
		octx, cancel := context.WithTimeout(ctx, opTimeout)
		rows, err := texts(octx, c, "SELECT id, n FROM chaos_beats")
		cancel()
		if ctx.Err() != nil {
			return
		}
		if r.readFailed(s, err) {
			continue
		}
		r.checkBeats(s, rows, last, asked)
		octx, cancel = context.WithTimeout(ctx, opTimeout)
		rows, err = texts(octx, c, "SELECT t.total, t.n, (SELECT sum(balance) FROM chaos_accounts) FROM chaos_total t")
		cancel()
		if ctx.Err() != nil {
			return
		}
		if r.readFailed(s, err) {
			continue
		}
		if got, want := fmt.Sprint(rows), fmt.Sprintf("[[%d %d %d]]", total, accounts, total); got != want {
			r.findings.add(wrong, "node %s: the sum of all accounts is %s, it is %s at every step", r.cluster.Node(s.node).Name(), got, want)
		}
		r.count(func(n *readCounts) { n.reads += 2 })
	}
}

// readFailed notes why a read gave nothing.
func (r *chaos) readFailed(s *session, err error) bool {
	if err == nil {
		return false
	}
	if r.whole.Err() == nil && !errors.Is(err, context.Canceled) {
		if code(err) == staleRefused {
			r.count(func(n *readCounts) { n.refused++ })
		} else {
			r.tally.trouble("read", err)
		}
	}
	s.after(err)
	return true
}

// SQLSTATEs of answers that may be old.
const (
	staleWarning = "01000"
	staleRefused = "55P04"
)

// readCounts is what became of reads.
type readCounts struct{ reads, labelled, refused, resumed, anew int }

func (r *chaos) count(fn func(*readCounts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.reads)
}

// labelGap: labels closer together than that are told as one span.
const labelGap = time.Second

// labelled notes an answer that said that it may be old.
func (r *chaos) labelled(node string, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads.labelled++
	for i := len(r.spans) - 1; i >= 0; i-- {
		if s := &r.spans[i]; s.Node == node {
			if at.Seconds()-s.To < labelGap.Seconds() {
				s.To = at.Seconds()
				return
			}
			break
		}
	}
	if len(r.spans) < maxSpans {
		r.spans = append(r.spans, Span{node, at.Seconds(), at.Seconds()})
	}
}

// checkBeats looks at one answer.
func (r *chaos) checkBeats(s *session, rows [][]string, last map[int64]int64, asked time.Duration) {
	name := r.cluster.Node(s.node).Name()
	got := map[int64]int64{}
	for _, row := range rows {
		id, n := number(row[0]), number(row[1])
		got[id] = n
		if n < last[id] {
			r.findings.add(wrong, "node %s: a session read beat %d of row %d after beat %d", name, n, id, last[id])
		}
		last[id] = max(last[id], n)
	}
	for _, code := range s.notices {
		if code == staleWarning {
			r.labelled(name, asked)
			return
		}
	}
	if row, had, want := r.beats.stale(got, asked, staleness); row > 0 && r.labels {
		r.findings.add(staleRead, "node %s at %.1fs: beat %d of row %d, but %d was acknowledged more than %v before, and nothing said so",
			name, asked.Seconds(), had, row, want, staleness)
	}
}

// follow subscribes to a view, at one node after the other, until the goal is reached.
func (r *chaos) follow(ctx context.Context, s *session, w *follower) {
	defer s.close()
	for ctx.Err() == nil && !r.reached(w) {
		c, err := s.get(ctx)
		if err != nil {
			return
		}
		query := "SUBSCRIBE chaos_clients WITH (PROGRESS)"
		if w.done >= 0 {
			query = fmt.Sprintf("SUBSCRIBE chaos_clients WITH (SNAPSHOT = false, PROGRESS) AS OF %d", w.done)
			r.count(func(n *readCounts) { n.resumed++ })
		}
		stay, cancel := context.WithTimeout(ctx, stayAtMost/4+time.Duration(s.rng.Int64N(int64(stayAtMost))))
		err = r.receive(stay, c, query, w)
		onPurpose := stay.Err() != nil
		cancel()
		w.broken()
		if err != nil && !onPurpose && r.whole.Err() == nil {
			r.tally.trouble("subscription", err)
		}
		if k := code(err); !onPurpose && (k == "22023" || k == "55000") && w.done >= 0 { // it is not kept any more, and said so
			r.count(func(n *readCounts) { n.anew++ })
			*w = *newFollower(w.name)
		}
		s.drop()
		pause(ctx, reconnectPause)
	}
}

func (r *chaos) reached(w *follower) bool {
	goal := r.goal.Load()
	return goal > 0 && w.done >= goal
}

// receive takes what a subscription sends until it breaks or the goal is reached.
func (r *chaos) receive(ctx context.Context, c *pgx.Conn, query string, w *follower) error {
	res := c.PgConn().Exec(ctx, query)
	for res.NextResult() {
		for rr := res.ResultReader(); rr.NextRow(); {
			v := values(rr.Values())
			var err error
			if v[1] == "t" {
				err = w.progressed(number(v[0]))
			} else {
				err = w.take(change{number(v[0]), number(v[2]), strings.Join(v[3:], "|")})
			}
			if err != nil {
				r.findings.add(wrong, "%v (from node %s: %s)", err, r.nodeOf(c), query)
				*w = *newFollower(w.name)
				return nil
			}
			if r.reached(w) {
				return nil
			}
		}
	}
	return res.Close()
}

// nodeOf names the node that a connection is to.
func (r *chaos) nodeOf(c *pgx.Conn) string {
	for i := range r.cluster.Nodes() {
		if n := r.cluster.Node(i); strings.HasSuffix(n.PG(), ":"+strconv.Itoa(int(c.Config().Port))) {
			return n.Name()
		}
	}
	return "?"
}
