package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	edgeRounds      = 3
	edgeRoundsProve = 50
	// edgeWithin bounds how long the edges run before the node is killed.
	edgeWithin = 600 * time.Millisecond
	// edgeRetry is how long a client waits before it sends again what was not answered.
	edgeRetry = 300 * time.Millisecond
	// edgeCatchUp bounds how long sinks take for what they could not deliver between kills.
	edgeCatchUp = 2 * time.Minute
)

// TestEdgesKilled kills the node again and again while clients send named requests and
// messages, which they send again until they are answered, and while sinks deliver.
// Every row is there once, whatever was answered when; and the sinks' targets hold
// every change of their view once and in order.
func TestEdgesKilled(t *testing.T) {
	rounds := edgeRounds
	if prove() {
		rounds = edgeRoundsProve
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TIDEMILL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "out.ndjson")
	n := dev(t, dir)
	_, js := n.broker(t)
	for name, atomic := range map[string]bool{"OUT": false, "BATCH": true} {
		if _, err := js.CreateStream(deadline(t), jetstream.StreamConfig{Name: name, Subjects: []string{strings.ToLower(name) + ".>"}, AllowAtomicPublish: atomic}); err != nil {
			t.Fatal(err)
		}
	}
	exe(t, n.connect(t), `CREATE SOURCE keyed (id BIGINT) WITH (connector = 'http')`, `CREATE SOURCE counted (id BIGINT) WITH (connector = 'http')`,
		`CREATE SOURCE named (id BIGINT) WITH (connector = 'nats', subject = 'named.>')`,
		`CREATE MATERIALIZED VIEW every AS SELECT 'keyed' AS source, id FROM keyed UNION ALL SELECT 'counted', id FROM counted UNION ALL SELECT 'named', id FROM named`,
		`CREATE MATERIALIZED VIEW thirds AS SELECT source, id % 3 AS third, count(*) AS n, sum(id) AS ids FROM every GROUP BY source, id % 3`,
		`CREATE SINK f FROM thirds WITH (connector = 'file', path = '`+file+`')`,
		`CREATE SINK o FROM thirds WITH (connector = 'nats', subject = 'out.x')`,
		`CREATE SINK b FROM thirds WITH (connector = 'nats', subject = 'batch.x')`)
	next := map[string]int64{"keyed": 1, "counted": 1, "named": 1} // the first that was not answered
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		var mu sync.Mutex
		for source, send := range map[string]func(context.Context, *node, int64) error{
			"keyed": func(ctx context.Context, n *node, id int64) error {
				return post(ctx, n, "keyed", id, "Idempotency-Key", fmt.Sprintf(`"key-%d"`, id))
			},
			"counted": func(ctx context.Context, n *node, id int64) error {
				return post(ctx, n, "counted", id, "Tidemill-Producer", "p", "Tidemill-Sequence", fmt.Sprint(id))
			},
			"named": publisher(n),
		} {
			clients.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					id := next[source]
					mu.Unlock()
					if err := send(ctx, n, id); err != nil {
						if strings.HasPrefix(err.Error(), "4") {
							t.Errorf("%s %d: %v", source, id, err)
							return
						}
						select {
						case <-time.After(edgeRetry):
						case <-ctx.Done():
						}
						continue
					}
					mu.Lock()
					next[source] = id + 1
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(rng.Int64N(int64(edgeWithin)))) // anything may be under way
		n.kill()
		cancel()
		clients.Wait()
		n = dev(t, dir)
		if t.Failed() {
			t.Fatalf("round %d, TIDEMILL_SEED=%d", round, seed)
		}
	}
	// What was not answered is sent until it is.
	send := publisher(n)
	if err := post(deadline(t), n, "keyed", next["keyed"], "Idempotency-Key", fmt.Sprintf("key-%d", next["keyed"])); err != nil {
		t.Fatal(err)
	}
	if err := post(deadline(t), n, "counted", next["counted"], "Tidemill-Producer", "p", "Tidemill-Sequence", fmt.Sprint(next["counted"])); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(opTimeout); ; time.Sleep(10 * time.Millisecond) { // until the source listens
		if err := send(deadline(t), n, next["named"]); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	c := n.connect(t)
	exe(t, c, "FLUSH")
	total := int64(0)
	for _, source := range []string{"counted", "keyed", "named"} {
		k := next[source]
		total += k
		want(t, c, fmt.Sprintf("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM every WHERE source = '%s'", source), fmt.Sprintf("%d|%d|1|%d", k, k, k))
	}
	for end := time.Now().Add(edgeCatchUp); strings.Join(rows(t, c, "SELECT count(*) FROM tidemill.sinks WHERE lag > 0"), "") != "0"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("sinks are behind: %v", rows(t, c, "SELECT name, step, lag, error FROM tidemill.sinks"))
		}
	}
	current := rows(t, c, "SELECT source, third, n, ids FROM thirds ORDER BY source, third")
	_, js = n.broker(t)
	for name, records := range map[string]func() []string{
		"file":  func() []string { text, _ := os.ReadFile(file); return strings.SplitAfter(string(text), "\n") },
		"OUT":   func() []string { return streamed(t, js, "OUT") },
		"BATCH": func() []string { return streamed(t, js, "BATCH") },
	} {
		end := time.Now().Add(opTimeout)
		for {
			got, err := replayed(records())
			if err == nil && strings.Join(got, "\n") == strings.Join(current, "\n") {
				break
			}
			if err != nil || time.Now().After(end) {
				t.Fatalf("%s: %v; it leads to\n%s\nwant\n%s\nTIDEMILL_SEED=%d", name, err, strings.Join(got, "\n"), strings.Join(current, "\n"), seed)
			}
			time.Sleep(200 * time.Millisecond) // reading the streams slows the sinks down
		}
	}
	t.Logf("%d rounds, %d rows", rounds, total)
}

// post sends a row with headers. The error of an answer begins with its status.
func post(ctx context.Context, n *node, source string, id int64, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+n.HTTP+"/v1/sources/"+source, strings.NewReader(fmt.Sprintf(`{"id":%d}`, id)))
	if err != nil {
		return err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s %w", resp.StatusCode, text, err)
	}
	return nil
}

// publisher sends messages that have an ID.
func publisher(n *node) func(context.Context, *node, int64) error {
	var conn *nats.Conn
	return func(ctx context.Context, _ *node, id int64) error {
		var err error
		if conn == nil {
			if conn, err = nats.Connect("nats://"+n.NATS, nats.NoReconnect(), nats.Timeout(opTimeout)); err != nil {
				conn = nil
				return fmt.Errorf("connect: %w", err)
			}
		}
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, edgeRetry)
		defer cancel()
		if _, err = js.Publish(ctx, "named.x", fmt.Appendf(nil, `{"id":%d}`, id), jetstream.WithMsgID(fmt.Sprint("msg-", id)), jetstream.WithRetryAttempts(0)); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	}
}

// streamed returns what a stream holds.
func streamed(t *testing.T, js jetstream.JetStream, name string) (out []string) {
	t.Helper()
	ctx := deadline(t)
	s, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	last := s.CachedInfo().State.LastSeq
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	iter, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer iter.Stop()
	for uint64(len(out)) < last {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m.Data()))
	}
	return out
}

// replayed follows a sink's records and returns the rows they lead to. Records must be
// in order, each there once, and none may be missing within a step.
func replayed(records []string) ([]string, error) {
	count := map[string]int64{}
	step, index := uint64(0), -1
	for _, text := range records {
		if text == "" || !strings.HasSuffix(strings.TrimSuffix(text, "\n"), "}") {
			continue // the line that is being written
		}
		var r struct {
			Step   uint64 `json:"_step"`
			Index  int    `json:"_index"`
			Weight int64  `json:"_weight"`
			Source string
			Third  int64
			N, IDs int64
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		if !(r.Step > step && r.Index == 0 || r.Step == step && r.Index == index+1) {
			return nil, fmt.Errorf("record (%d, %d) comes after (%d, %d)", r.Step, r.Index, step, index)
		}
		step, index = r.Step, r.Index
		count[fmt.Sprintf("%s|%d|%d|%d", r.Source, r.Third, r.N, r.IDs)] += r.Weight
	}
	var out []string
	for row, n := range count {
		if n == 1 {
			out = append(out, row)
		} else if n != 0 {
			return nil, fmt.Errorf("row %s is there %d times", row, n)
		}
	}
	slices.Sort(out)
	return out, nil
}
