package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	killRounds      = 3
	killRoundsProve = 200
	accountCount    = 8
	accountBalance  = 1000
	// killWithin bounds how long writers run before the node is killed.
	killWithin = time.Second
)

var killSchema = []string{
	`CREATE TABLE ledger (id BIGINT PRIMARY KEY, writer INTEGER NOT NULL, amount BIGINT NOT NULL)`,
	`CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)`,
	`CREATE TABLE transfers (id BIGINT PRIMARY KEY, src BIGINT NOT NULL, dst BIGINT NOT NULL, amount BIGINT NOT NULL)`,
	`CREATE SOURCE posts (id BIGINT, v BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
	`CREATE SOURCE msgs (id BIGINT, v BIGINT) WITH (connector = 'nats', subject = 'msgs.>') FORMAT PLAIN ENCODE JSON`,
	`CREATE MATERIALIZED VIEW by_writer AS SELECT writer, count(*) AS n, sum(amount) AS total, max(amount) AS most FROM ledger GROUP BY writer`,
	`CREATE MATERIALIZED VIEW money AS SELECT sum(balance) AS total, count(*) AS n FROM accounts`,
	`CREATE MATERIALIZED VIEW moved AS SELECT a.id, a.balance, coalesce(o.amount, 0) AS gone, coalesce(i.amount, 0) AS come FROM accounts a
		LEFT JOIN (SELECT src, sum(amount) AS amount FROM transfers GROUP BY src) o ON o.src = a.id
		LEFT JOIN (SELECT dst, sum(amount) AS amount FROM transfers GROUP BY dst) i ON i.dst = a.id`,
	`CREATE MATERIALIZED VIEW post_count AS SELECT v, count(*) AS n, sum(id) AS ids FROM posts GROUP BY v`,
	`CREATE MATERIALIZED VIEW msg_count AS SELECT v, count(*) AS n, sum(id) AS ids FROM msgs GROUP BY v`,
	`CREATE MATERIALIZED VIEW met AS SELECT l.writer, p.v, count(*) AS n FROM ledger l JOIN posts p ON p.v = l.amount % 7 GROUP BY l.writer, p.v`,
}

// TestKill kills the node with SIGKILL at random moments while clients of all kinds
// write, starts it again on the same directory, and compares what is there with
// what was answered.
func TestKill(t *testing.T) {
	rounds := killRounds
	if prove() {
		rounds = killRoundsProve
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TIDEMILL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TIDEMILL_SEED=%d", seed)
	k := &killTest{rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, sink: filepath.Join(t.TempDir(), "sink.ndjson"), dir: t.TempDir()}
	k.prepare(t)
	for round := range rounds {
		k.round = round
		k.write(t)
		if k.rng.IntN(3) == 0 {
			k.killStarting(t)
		}
		n := dev(t, k.dir, k.settings()...)
		k.starts = max(k.starts, n.took)
		k.check(t, n)
		if t.Failed() {
			t.Fatalf("round %d, TIDEMILL_SEED=%d", round, seed)
		}
		k.node = n
	}
	if code, _ := k.node.term(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	n := dev(t, k.dir)
	k.check(t, n)
	t.Logf("%d rounds: %s; slowest restart %v", rounds, k.tally(), k.starts)
}

// killTest is what is known from outside about what was written.
type killTest struct {
	rng    *rand.Rand
	seed   uint64
	dir    string
	sink   string
	round  int
	node   *node
	starts time.Duration

	mu        sync.Mutex
	nextID    int64
	ledger    map[int64]possible // by id
	transfers map[int64]*transfer
	posts     map[int64]*record
	msgs      map[int64]*record
	views     map[string]possible // made and dropped while others write
	badPosts  [2]int              // bad records: in posts that were answered, in posts that were not
	seen      *changes            // of the subscriber
	errs      []string            // what readers found wrong
	acked     [6]int              // statements answered: ledger, transfers, posts, messages, views, reads
	followed  int                 // steps that subscribers saw before a crash, and that lead to what is there after it
}

func (k *killTest) prepare(t *testing.T) {
	k.ledger, k.transfers, k.views = map[int64]possible{}, map[int64]*transfer{}, map[string]possible{}
	k.posts, k.msgs = map[int64]*record{}, map[int64]*record{}
	k.node = dev(t, k.dir, k.settings()...)
	c := k.node.connect(t)
	exe(t, c, killSchema...)
	for i := range accountCount {
		exe(t, c, fmt.Sprintf("INSERT INTO accounts VALUES (%d, %d)", i+1, accountBalance))
	}
	exe(t, c, fmt.Sprintf(`CREATE SINK out FROM by_writer WITH (connector = 'file', path = '%s')`, k.sink))
}

// settings are how often the next process makes checkpoints, and with how little memory.
func (k *killTest) settings() []string {
	return []string{"--checkpoint-interval", []string{"50ms", "300ms", "10s"}[k.rng.IntN(3)], "--memory", []string{"4MB", "2GB"}[k.rng.IntN(2)]}
}

// write runs all writers and kills the node at some moment.
func (k *killTest) write(t *testing.T) {
	n := k.node
	k.seen = newChanges()
	var wg, ready sync.WaitGroup
	for i, w := range []func(*client){k.writeLedger, k.writeLedger, k.transfer, k.transfer, k.post, k.publish, k.publishAndForget, k.define, k.read, k.subscribe} {
		ready.Add(1)
		cl := &client{k: k, n: n, id: i, rng: rand.New(rand.NewPCG(k.seed, uint64(k.round*100+i+2))), ready: sync.OnceFunc(ready.Done)}
		wg.Go(func() {
			defer cl.ready()
			w(cl)
		})
	}
	ready.Wait() // everybody is connected: now anything may be under way
	after := time.Duration(k.rng.Int64N(int64(killWithin)))
	select {
	case <-time.After(after):
	case <-n.done:
		t.Errorf("the node ended by itself: %v", n.cmd.ProcessState)
	}
	n.kill()
	wg.Wait()
	for _, e := range k.errs {
		t.Error(e)
	}
}

// killStarting kills a node somewhere in its start.
func (k *killTest) killStarting(t *testing.T) {
	p := spawn(t, nil, append(append([]string{"dev", "--data", k.dir}, anyPorts...), k.settings()...)...)
	select {
	case <-time.After(time.Duration(k.rng.Int64N(int64(300 * time.Millisecond)))):
	case <-p.lines:
	}
	p.kill()
}

func (k *killTest) tally() string {
	return fmt.Sprintf("answered: %d ledger statements, %d transfers, %d posted records, %d messages, %d view statements, %d reads; %d steps followed",
		k.acked[0], k.acked[1], k.acked[2], k.acked[3], k.acked[4], k.acked[5], k.followed)
}
