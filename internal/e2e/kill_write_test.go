package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// value is what a row may be: absent, or there with an amount.
type value struct {
	there  bool
	writer int
	amount int64
}

// possible is what an outside observer must accept: one value when the last write
// was answered, two when it was not.
type possible []value

func (p possible) has(v value) bool {
	for _, x := range p {
		if x == v {
			return true
		}
	}
	return false
}

// outcome of a write that an observer knows.
type outcome int

const (
	unknown outcome = iota
	done
	refused
)

type transfer struct {
	src, dst, amount int64
	outcome
}

// record is one of a source.
type record struct {
	v int64
	outcome
}

// client is one writer or reader during a round.
type client struct {
	k     *killTest
	n     *node
	id    int
	rng   *rand.Rand
	ready func() // says that the client is connected
}

// outcomeOf reads an answer: no error is done, an error of the statement is a
// refusal, anything else leaves it open.
func outcomeOf(err error) outcome {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return done
	case errors.As(err, &pe) && !strings.HasPrefix(pe.Code, "57") && !strings.HasPrefix(pe.Code, "08") &&
		!strings.HasPrefix(pe.Code, "58") && pe.Code != "40003" && pe.Code != "XX000":
		return refused
	}
	return unknown
}

func (k *killTest) wrong(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.errs) < 20 {
		k.errs = append(k.errs, fmt.Sprintf(format, args...))
	}
}

func (k *killTest) newIDs(n int) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nextID += int64(n)
	return k.nextID - int64(n) + 1
}

func (k *killTest) count(kind, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acked[kind] += n
}

// sql connects to the node; nil when it is gone.
func (c *client) sql() *pgx.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.n.url())
	if err != nil {
		return nil
	}
	return conn
}

// writeLedger inserts, changes and deletes rows of its own.
func (k *killTest) writeLedger(c *client) {
	conn := c.sql()
	if conn == nil {
		return
	}
	defer conn.Close(context.Background())
	c.ready()
	ctx := context.Background()
	var mine []int64
	for {
		var id int64
		next := value{there: true, writer: c.id, amount: c.rng.Int64N(1000)}
		stmt := "INSERT INTO ledger (id, writer, amount) VALUES ($1, $2, $3)"
		args := []any{}
		var old value
		switch r := c.rng.IntN(10); {
		case r < 6 || len(mine) == 0:
			id = k.newIDs(1)
			mine = append(mine, id)
			args = []any{id, c.id, next.amount}
		default:
			id = mine[c.rng.IntN(len(mine))]
			k.mu.Lock()
			old = k.ledger[id][0]
			k.mu.Unlock()
			if !old.there {
				continue
			}
			stmt, args = "UPDATE ledger SET amount = $2 WHERE id = $1", []any{id, next.amount}
			if r == 9 {
				next = value{}
				stmt, args = "DELETE FROM ledger WHERE id = $1", []any{id}
			}
		}
		k.set(id, possible{old, next})
		tag, err := conn.Exec(ctx, stmt, args...)
		switch outcomeOf(err) {
		case unknown:
			return
		case refused:
			k.wrong("%s %v: %v", stmt, args, err)
			k.set(id, possible{old})
		default:
			if tag.RowsAffected() != 1 {
				k.wrong("%s %v: %s", stmt, args, tag)
			}
			k.set(id, possible{next})
			k.count(0, 1)
		}
	}
}

func (k *killTest) set(id int64, p possible) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ledger[id] = p
}

// transfer moves money in transactions of three statements.
func (k *killTest) transfer(c *client) {
	conn := c.sql()
	if conn == nil {
		return
	}
	defer conn.Close(context.Background())
	c.ready()
	for {
		id := k.newIDs(1)
		tr := &transfer{src: 1 + c.rng.Int64N(accountCount), amount: c.rng.Int64N(50)}
		tr.dst = 1 + (tr.src+c.rng.Int64N(accountCount-1))%accountCount
		k.mu.Lock()
		k.transfers[id] = tr
		k.mu.Unlock()
		err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
			for _, s := range []string{
				fmt.Sprintf("UPDATE accounts SET balance = balance - %d WHERE id = %d", tr.amount, tr.src),
				fmt.Sprintf("UPDATE accounts SET balance = balance + %d WHERE id = %d", tr.amount, tr.dst),
				fmt.Sprintf("INSERT INTO transfers VALUES (%d, %d, %d, %d)", id, tr.src, tr.dst, tr.amount),
			} {
				if _, err := tx.Exec(context.Background(), s); err != nil {
					return err
				}
			}
			if c.rng.IntN(8) == 0 {
				return errRollback
			}
			return nil
		})
		o := outcomeOf(err)
		if errors.Is(err, errRollback) {
			o = refused
		}
		var pe *pgconn.PgError
		if o == refused && errors.As(err, &pe) && pe.Code != "40001" {
			k.wrong("transfer: %v", err)
		}
		k.mu.Lock()
		tr.outcome = o
		k.mu.Unlock()
		if o == unknown {
			return
		}
		if o == done {
			k.count(1, 1)
		}
	}
}

var errRollback = errors.New("rolled back on purpose")

// post sends records over HTTP, some of them bad.
func (k *killTest) post(c *client) {
	c.ready()
	hc := &http.Client{Transport: &http.Transport{}, Timeout: opTimeout}
	defer hc.CloseIdleConnections()
	for {
		n := 1 + c.rng.IntN(20)
		first := k.newIDs(n)
		var body strings.Builder
		bad := 0
		k.mu.Lock()
		for i := range int64(n) {
			v := c.rng.Int64N(7)
			k.posts[first+i] = &record{v: v}
			fmt.Fprintf(&body, "{\"id\":%d,\"v\":%d}\n", first+i, v)
			if c.rng.IntN(40) == 0 {
				fmt.Fprintf(&body, "{\"id\":%d,\"v\":\"bad\"}\n", first+i)
				bad++
			}
		}
		k.mu.Unlock()
		resp, err := hc.Post("http://"+c.n.HTTP+"/v1/sources/posts", "application/x-ndjson", strings.NewReader(body.String()))
		var answer []byte
		ok := false
		if err == nil {
			answer, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			ok = err == nil && resp.StatusCode == http.StatusOK
			if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode < 500 {
				k.wrong("post: %s %s", resp.Status, answer)
			}
		}
		if !ok {
			k.mu.Lock()
			k.badPosts[1] += bad
			k.mu.Unlock()
			return
		}
		if w := fmt.Sprintf(`"accepted":%d,"quarantined":%d`, n, bad); !strings.Contains(string(answer), w) {
			k.wrong("post of %d records and %d bad ones: %s", n, bad, answer)
		}
		k.mu.Lock()
		for i := range int64(n) {
			k.posts[first+i].outcome = done
		}
		k.badPosts[0] += bad
		k.mu.Unlock()
		k.count(2, n)
	}
}

// broker connects to NATS; nil when the node is gone.
func (c *client) broker() *nats.Conn {
	nc, err := nats.Connect("nats://"+c.n.NATS, nats.NoReconnect(), nats.Timeout(opTimeout))
	if err != nil {
		return nil
	}
	return nc
}

func (k *killTest) message(c *client) (int64, *record, []byte) {
	id := k.newIDs(1)
	r := &record{v: c.rng.Int64N(5)}
	k.mu.Lock()
	k.msgs[id] = r
	k.mu.Unlock()
	return id, r, fmt.Appendf(nil, `{"id":%d,"v":%d}`, id, r.v)
}

// publish waits for JetStream's answer to each message.
func (k *killTest) publish(c *client) {
	nc := c.broker()
	if nc == nil {
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		k.wrong("jetstream: %v", err)
		return
	}
	c.ready()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		_, r, data := k.message(c)
		_, err := js.Publish(ctx, "msgs.acked", data)
		cancel()
		if err != nil {
			var je *jetstream.APIError
			if nc.IsConnected() && errors.As(err, &je) {
				k.wrong("publish: %v", err)
			}
			return
		}
		k.mu.Lock()
		r.outcome = done
		k.mu.Unlock()
		k.count(3, 1)
	}
}

// publishAndForget publishes without an answer: nothing is promised but that no
// message comes twice.
func (k *killTest) publishAndForget(c *client) {
	nc := c.broker()
	if nc == nil {
		return
	}
	defer nc.Close()
	c.ready()
	for {
		_, _, data := k.message(c)
		if nc.Publish("msgs.plain", data) != nil || nc.FlushTimeout(opTimeout) != nil {
			return
		}
		time.Sleep(time.Millisecond) // a pace, not a wait
	}
}

// define makes and drops views.
func (k *killTest) define(c *client) {
	conn := c.sql()
	if conn == nil {
		return
	}
	defer conn.Close(context.Background())
	c.ready()
	there := map[string]bool{}
	k.mu.Lock()
	for name, p := range k.views {
		there[name] = p[0].there
	}
	k.mu.Unlock()
	for {
		name := fmt.Sprintf("extra%d", c.rng.IntN(3))
		stmt := "DROP MATERIALIZED VIEW " + name
		if !there[name] {
			stmt = "CREATE MATERIALIZED VIEW " + name + " AS SELECT writer, min(amount) AS least FROM ledger GROUP BY writer"
		}
		before, after := value{there: there[name]}, value{there: !there[name]}
		k.setView(name, possible{before, after})
		_, err := conn.PgConn().Exec(context.Background(), stmt).ReadAll()
		switch outcomeOf(err) {
		case unknown:
			return
		case refused:
			k.wrong("%s: %v", stmt, err)
			k.setView(name, possible{before})
		default:
			there[name] = !there[name]
			k.setView(name, possible{after})
			k.count(4, 1)
		}
	}
}

func (k *killTest) setView(name string, p possible) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.views[name] = p
}

// read looks whether each snapshot is one that transactions could have made.
func (k *killTest) read(c *client) {
	conn := c.sql()
	if conn == nil {
		return
	}
	defer conn.Close(context.Background())
	c.ready()
	const total = accountCount * accountBalance
	for {
		for query, wanted := range map[string]string{
			`SELECT total, n FROM money`:                                                              fmt.Sprintf("%d|%d", total, accountCount),
			`SELECT sum(a.balance), (SELECT total FROM money) FROM accounts a`:                        fmt.Sprintf("%d|%d", total, total),
			`SELECT count(*) FROM moved WHERE balance + gone - come <> ` + fmt.Sprint(accountBalance): "0",
			`SELECT count(*) FROM (SELECT writer, count(*), sum(amount), max(amount) FROM ledger GROUP BY writer EXCEPT ALL SELECT * FROM by_writer) AS d`: "0",
		} {
			got, err := rowsErr(context.Background(), conn, query)
			switch {
			case outcomeOf(err) == unknown:
				return
			case err != nil:
				k.wrong("%s: %v", query, err)
			case strings.Join(got, ";") != wanted:
				k.wrong("%s\ngot %q, want %q", query, got, wanted)
			default:
				k.count(5, 1)
			}
		}
	}
}

// subscribe follows by_writer until the node dies.
func (k *killTest) subscribe(c *client) {
	conn := c.sql()
	if conn == nil {
		return
	}
	defer conn.Close(context.Background())
	c.ready()
	res := conn.PgConn().Exec(context.Background(), "SUBSCRIBE by_writer")
	for res.NextResult() {
		for r := res.ResultReader(); r.NextRow(); {
			if err := k.seen.add(texts(r.Values())); err != nil {
				k.wrong("subscriber: %v", err)
			}
		}
	}
	if err := res.Close(); outcomeOf(err) == refused {
		k.wrong("SUBSCRIBE by_writer: %v", err)
	}
}
