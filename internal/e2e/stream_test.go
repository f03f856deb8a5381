package e2e

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func (n *node) broker(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect("nats://"+n.NATS, nats.NoReconnect(), nats.Timeout(opTimeout))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestNATSSource(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, `CREATE SOURCE bids (auction BIGINT, price BIGINT) WITH (connector = 'nats', subject = 'bids.>') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW hot AS SELECT auction, count(*) AS n, max(price) AS most FROM bids GROUP BY auction`)
	nc, js := n.broker(t)
	ctx := deadline(t)

	var last uint64
	for i := range 100 {
		ack, err := js.Publish(ctx, "bids.eu.1", fmt.Appendf(nil, `{"auction":%d,"price":%d}`, i%3, i))
		if err != nil {
			t.Fatal(err)
		}
		if ack.Sequence < last || ack.Stream == "" {
			t.Fatalf("acknowledgement %+v after sequence %d", ack, last)
		}
		last = ack.Sequence
	}
	// Acknowledged means durable and in the order of the log: FLUSH waits for it.
	exe(t, c, "FLUSH")
	want(t, c, "SELECT * FROM hot ORDER BY auction", "0|34|99", "1|33|97", "2|33|98")

	// Many in flight share blocks.
	var futures []jetstream.PubAckFuture
	for i := range 2000 {
		f, err := js.PublishAsync("bids.us", fmt.Appendf(nil, `{"auction":7,"price":%d}`, i))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no acknowledgement")
		}
	}
	exe(t, c, "FLUSH")
	want(t, c, "SELECT n, most FROM hot WHERE auction = 7", "2000|1999")

	// Without an acknowledgement, and a bad record among them.
	for i := range 50 {
		if err := nc.Publish("bids.x", fmt.Appendf(nil, `{"auction":9,"price":%d}`, i)); err != nil {
			t.Fatal(err)
		}
		if i == 25 {
			if err := nc.Publish("bids.x", []byte(`{"auction":`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, c, "SELECT n, most FROM hot WHERE auction = 9", "50|49")
	want(t, c, "SELECT count(*), min(source) FROM tidemill.quarantine", "1|bids")

	// What a source cannot promise it refuses.
	_, err := js.Publish(ctx, "bids.x", []byte(`{"auction":1,"price":1}`), jetstream.WithExpectLastSequence(1))
	var je *jetstream.APIError
	if !errors.As(err, &je) {
		t.Errorf("a publish on condition: %v", err)
	}
	if msg, err := nc.Request("bids.x", []byte(`{"auction":11,"price":1}`), opTimeout); err != nil || !strings.Contains(string(msg.Data), `"seq"`) {
		t.Errorf("a request is answered %v, %v", msg, err)
	}
	if _, err := nc.Request("elsewhere", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a subject that nobody takes: %v", err)
	}
}

func TestNATSStreamAndSink(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	nc, js := n.broker(t)
	ctx := deadline(t)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"out.totals"}}); err != nil {
		t.Fatal(err)
	}
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := js.Publish(ctx, "orders.new", fmt.Appendf(nil, `{"id":%d,"amount":%d}`, i, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(0, 10) // before the source
	exe(t, c, `CREATE SOURCE orders (id BIGINT, amount BIGINT) WITH (connector = 'nats', stream = 'ORDERS') FORMAT PLAIN ENCODE JSON`,
		`CREATE MATERIALIZED VIEW totals AS SELECT id % 2 AS odd, sum(amount) AS total FROM orders GROUP BY 1`,
		`CREATE SINK alerts FROM totals WITH (connector = 'nats', subject = 'out.totals')`)
	publish(10, 20)
	eventually(t, c, "SELECT * FROM totals ORDER BY odd", "0|90", "1|100")

	// The node stops, messages cannot come, it goes on where it was.
	nc.Close()
	n.term(t)
	n = dev(t, n.dir)
	c = n.connect(t)
	nc, js = n.broker(t)
	publish(20, 30)
	eventually(t, c, "SELECT * FROM totals ORDER BY odd", "0|210", "1|225")
	want(t, c, "SELECT count(*), count(DISTINCT id) FROM orders", "30|30")

	cons, err := js.OrderedConsumer(ctx, "OUT", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sum := newChanges()
	for {
		msg, err := cons.Next(jetstream.FetchMaxWait(opTimeout))
		if err != nil {
			t.Fatalf("the sink's messages lead to %v, then %v", sum.list(), err)
		}
		var r struct {
			Step       int64 `json:"_step"`
			Weight     int64 `json:"_weight"`
			Odd, Total json.Number
		}
		if err := json.Unmarshal(msg.Data(), &r); err != nil {
			t.Fatal(err)
		}
		if err := sum.add([]string{fmt.Sprint(r.Step), fmt.Sprint(r.Weight), r.Odd.String(), r.Total.String()}); err != nil {
			t.Fatal(err)
		}
		now := newChanges()
		now.rows = map[string]int64{}
		for k, v := range sum.rows {
			now.rows[k] = v
		}
		now.last = sum.last
		_ = now.settle() // between two changes of a step a weight may be negative
		if strings.Join(now.list(), " ") == "0|210 1|225" {
			break
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	csv := write("a.csv", "id,name\n1,\"one, first\"\n2,two\nx,bad\n3,three\n")
	lines := write("b.ndjson", `{"id":1,"v":1.5}`+"\n"+`{"id":2,"v":2.5}`+"\n")
	packed := filepath.Join(dir, "c.ndjson.gz")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	for i := range 10000 {
		fmt.Fprintf(z, "{\"id\":%d,\"v\":%d}\n", i, i%10)
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.ndjson")
	outCSV := filepath.Join(dir, "out.csv")

	n := dev(t, filepath.Join(dir, "data"))
	c := n.connect(t)
	exe(t, c, fmt.Sprintf(`CREATE SOURCE a (id BIGINT, name TEXT) WITH (connector = 'file', path = '%s') FORMAT PLAIN ENCODE CSV`, csv),
		fmt.Sprintf(`CREATE SOURCE b (id BIGINT, v DOUBLE PRECISION) WITH (connector = 'file', path = '%s', follow = 'true', poll_interval = '20ms') FORMAT PLAIN ENCODE JSON`, lines),
		fmt.Sprintf(`CREATE SOURCE c (id BIGINT, v BIGINT) WITH (connector = 'file', path = '%s') FORMAT PLAIN ENCODE JSON`, packed),
		`CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, sum(v) AS v FROM b`,
		fmt.Sprintf(`CREATE SINK sj FROM m WITH (connector = 'file', path = '%s')`, out),
		fmt.Sprintf(`CREATE SINK sc FROM m WITH (connector = 'file', path = '%s', format = 'csv')`, outCSV))
	eventually(t, c, "SELECT id, name FROM a ORDER BY id", "1|one, first", "2|two", "3|three")
	eventually(t, c, "SELECT count(*), sum(v), count(DISTINCT id) FROM c", "10000|45000|10000")
	eventually(t, c, "SELECT * FROM m", "2|4")
	want(t, c, "SELECT source, convert_from(data, 'UTF8') FROM tidemill.quarantine", "a|x,bad")

	grow := func(text string) {
		f, err := os.OpenFile(lines, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	grow(`{"id":3,"v":0.5}` + "\n" + `{"id":4,`) // the last line is not complete
	eventually(t, c, "SELECT * FROM m", "3|4.5")
	grow(`"v":0.25}` + "\n")
	eventually(t, c, "SELECT * FROM m", "4|4.75")

	n.term(t)
	grow(`{"id":5,"v":1}` + "\n")
	n = dev(t, n.dir)
	c = n.connect(t)
	eventually(t, c, "SELECT * FROM m", "5|5.75")
	want(t, c, "SELECT count(*) FROM a", "3")
	want(t, c, "SELECT count(*) FROM c", "10000")
	for path, last := range map[string]string{out: `"_weight":1,"n":5,"v":5.75}`, outCSV: "1,5,5.75"} {
		end := time.Now().Add(opTimeout)
		for {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), last+"\n") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s:\n%s\nwithout a line that ends %q", path, data, last)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	// Dropped and made anew, a source reads again from the start.
	exe(t, c, "DROP SOURCE a", fmt.Sprintf(`CREATE SOURCE a (id BIGINT, name TEXT) WITH (connector = 'file', path = '%s') FORMAT PLAIN ENCODE CSV`, csv))
	eventually(t, c, "SELECT count(*) FROM a", "3")
}

func TestDatagen(t *testing.T) {
	var first []string
	for range 2 {
		n := dev(t, t.TempDir())
		c := n.connect(t)
		exe(t, c, `CREATE SOURCE g (id BIGINT, v DOUBLE PRECISION, s TEXT) WITH (connector = 'datagen', rate = '20000', rows = '5000', seed = '7')`,
			`CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(v) AS v, min(s) AS s FROM g`)
		eventually(t, c, "SELECT n FROM m", "5000")
		got := rows(t, c, "SELECT * FROM m")
		if first == nil {
			first = got
		} else if strings.Join(first, "") != strings.Join(got, "") {
			t.Errorf("the same seed gave %v, then %v", first, got)
		}
		if !strings.HasPrefix(got[0], "5000|") {
			t.Error(got)
		}
		n.term(t)
		n = dev(t, n.dir)
		want(t, n.connect(t), "SELECT * FROM m", got...)
	}
}
