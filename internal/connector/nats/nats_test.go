package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

func start(t *testing.T) (context.Context, *fabric.Fabric, *natsgo.Conn, jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), conntest.Timeout)
	t.Cleanup(cancel)
	f, err := fabric.Start(ctx, fabric.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	conn, err := natsgo.Connect("nats://" + f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, f, conn, js
}

// logs collects what a connector says.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logf(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(msg, args...))
}

func (l *logs) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), part)
}

func config(f *fabric.Fabric, l *logs, options map[string]string) connector.Config {
	return connector.Config{ID: 7, Name: "bids", Fabric: f, Logf: l.logf, Options: options,
		Columns: []connector.Column{{Name: "a", Type: types.T(types.Int8)}, {Name: "b", Type: types.T(types.Text)}}}
}

func source(t *testing.T, cfg connector.Config) connector.Runner {
	t.Helper()
	s, err := NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs r and returns how to stop it, which gives its error.
func run(ctx context.Context, fn func(context.Context) error) (stop func() error, done <-chan error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- fn(ctx) }()
	return func() error { cancel(); return <-ended }, ended
}

// probe asks until somebody answers.
func probe(ctx context.Context, conn *natsgo.Conn, subject string) error {
	for ctx.Err() == nil {
		if _, err := conn.RequestWithContext(ctx, subject, []byte(`{"a":-1}`)); !errors.Is(err, natsgo.ErrNoResponders) {
			return err
		}
	}
	return ctx.Err()
}

// listening waits until a publisher of subject gets an answer.
func listening(ctx context.Context, t *testing.T, conn *natsgo.Conn, subject string) {
	t.Helper()
	if err := probe(ctx, conn, subject); err != nil {
		t.Fatal(err)
	}
}

func TestSubjectAnswersPublishersLikeJetStream(t *testing.T) {
	ctx, f, conn, js := start(t)
	in, l := &conntest.Intake{}, &logs{}
	s := source(t, config(f, l, map[string]string{"subject": "bids.>"}))
	stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
	listening(ctx, t, conn, "bids.probe")

	ack, err := js.Publish(ctx, "bids.eu", []byte(`{"a":1,"b":"x"}`))
	if err != nil || ack.Stream != "bids" || ack.Sequence == 0 {
		t.Fatalf("ack %+v, %v", ack, err)
	}
	if rows := in.Rows(); rows[len(rows)-1] != "1|x" {
		t.Errorf("acknowledged and not there: %q", rows)
	}
	if _, err := js.Publish(ctx, "bids.us.east", []byte(`[{"a":2},{"a":"bad"},{"a":3}]`)); err != nil {
		t.Error(err)
	}
	if _, err := js.Publish(ctx, "bids.x", []byte(`nonsense`)); err != nil {
		t.Errorf("a bad message is durable in quarantine, got %v", err)
	}
	if _, err := js.Publish(ctx, "bids.x", nil); err != nil {
		t.Error(err)
	}
	conn.Publish("bids.core", []byte("{\n\"a\": 4\n}"))
	if err := in.Wait(1 + 1 + 3 + 2 + 1); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(in.Rows(), " "); got != `-1|\N 1|x 2|\N 3|\N 4|\N` {
		t.Errorf("rows %q", got)
	}
	var bad []string
	for _, b := range in.Bad() {
		bad = append(bad, string(b.Data))
	}
	if strings.Join(bad, ";") != `{"a":"bad"};nonsense;` {
		t.Errorf("bad %q", bad)
	}
	// What JetStream would only store on condition is refused, unless the condition holds.
	if _, err := js.Publish(ctx, "bids.x", []byte(`{"a":9}`), jetstream.WithExpectLastSequence(3)); err == nil || !strings.Contains(err.Error(), "condition") {
		t.Errorf("conditional publish: %v", err)
	}
	if _, err := js.Publish(ctx, "bids.x", []byte(`{"a":5}`), jetstream.WithExpectStream("bids")); err != nil {
		t.Errorf("publish to the right stream: %v", err)
	}
	if _, err := js.Publish(ctx, "bids.x", []byte(`{"a":9}`), jetstream.WithExpectStream("asks")); err == nil {
		t.Error("publish to the wrong stream was taken")
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestSubjectPacksManyIntoABlock(t *testing.T) {
	ctx, f, conn, js := start(t)
	in := &conntest.Intake{}
	gate, reached := make(chan struct{}), make(chan struct{}, 100)
	var first atomic.Bool
	in.Before = func(connector.Block) error {
		if first.CompareAndSwap(false, true) {
			reached <- struct{}{}
			<-gate
		}
		return nil
	}
	s := source(t, config(f, &logs{}, map[string]string{"subject": "bids.*"}))
	stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
	probed := make(chan error, 1)
	go func() { probed <- probe(ctx, conn, "bids.probe") }()
	<-reached
	const n = 3000
	var acks []jetstream.PubAckFuture
	for i := range n {
		a, err := js.PublishAsync("bids.x", fmt.Appendf(nil, `{"a":%d}`, i))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, a)
	}
	conn.Flush()
	close(gate)
	if err := <-probed; err != nil {
		t.Fatal(err)
	}
	for i, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			t.Fatalf("message %d: %v", i, err)
		case <-ctx.Done():
			t.Fatalf("message %d has no answer", i)
		}
	}
	rows := in.Rows()
	if len(rows) != n+1 || rows[1] != `0|\N` || rows[n] != fmt.Sprintf(`%d|\N`, n-1) {
		t.Errorf("%d rows", len(rows))
	}
	if blocks := in.Blocks(); blocks > n/10 {
		t.Errorf("%d blocks for %d messages: they do not share appends", blocks, n)
	}
	stop()
}

func TestSubjectRefusesWhatDoesNotFitTheQueue(t *testing.T) {
	ctx, f, conn, js := start(t)
	in, l := &conntest.Intake{}, &logs{}
	gate, reached := make(chan struct{}), make(chan struct{}, 1)
	in.Before = func(connector.Block) error {
		select {
		case reached <- struct{}{}:
		default:
		}
		<-gate
		return nil
	}
	s := source(t, config(f, l, map[string]string{"subject": "bids.*"}))
	stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
	go probe(ctx, conn, "bids.probe")
	<-reached
	big := []byte(`{"b":"` + strings.Repeat("x", 1<<20) + `"}`)
	var acks []jetstream.PubAckFuture
	for range queueBytes>>20 + 8 { // what waits, and what is being packed, is bounded
		a, err := js.PublishAsync("bids.x", big)
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, a)
	}
	refused := 0
	select { // the last finds the queue full
	case err := <-acks[len(acks)-1].Err():
		if !strings.Contains(err.Error(), "too many messages wait") {
			t.Fatal(err)
		}
		refused++
	case <-ctx.Done():
		t.Fatal("a publisher got no answer")
	}
	close(gate)
	stored := 0
	for _, a := range acks[:len(acks)-1] {
		select {
		case <-a.Ok():
			stored++
		case <-a.Err():
			refused++
		case <-ctx.Done():
			t.Fatal("a publisher got no answer")
		}
	}
	if stored < queueBytes>>20-2 || stored+refused != len(acks) || len(in.Rows()) != stored+1 {
		t.Errorf("%d stored, %d refused, %d rows", stored, refused, len(in.Rows()))
	}
	if !l.has("the queue is full") {
		t.Errorf("not logged: %q", l.lines)
	}
	stop()
}

func TestSubjectAppendFails(t *testing.T) {
	ctx, f, conn, js := start(t)
	in := &conntest.Intake{}
	var fail atomic.Bool
	in.Before = func(connector.Block) error {
		if fail.Load() {
			return errors.New("disk on fire")
		}
		return nil
	}
	s := source(t, config(f, &logs{}, map[string]string{"subject": "bids.*"}))
	_, done := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
	listening(ctx, t, conn, "bids.probe")
	fail.Store(true)
	if _, err := js.Publish(ctx, "bids.x", []byte(`{"a":1}`)); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("publisher got %v", err)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "disk on fire") {
			t.Errorf("Run returned %v", err)
		}
	case <-ctx.Done():
		t.Fatal("Run goes on")
	}
	if len(in.Rows()) != 1 {
		t.Errorf("rows %q", in.Rows())
	}
}

// TestStreamResumes kills the reader at random places, before and after an append.
func TestStreamResumes(t *testing.T) {
	ctx, f, _, js := start(t)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "BIDS", Subjects: []string{"b.>"}}); err != nil {
		t.Fatal(err)
	}
	const n = 3000
	var want []string
	for i := range n {
		subject := []string{"b.eu", "b.us"}[i%2]
		if _, err := js.PublishAsync(subject, fmt.Appendf(nil, `{"a":%d}`, i)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			want = append(want, fmt.Sprintf(`%d|\N`, i))
		}
	}
	<-js.PublishAsyncComplete()
	in := &conntest.Intake{}
	rnd := rand.New(rand.NewPCG(3, 4))
	kills := 0
	in.Before = func(b connector.Block) error {
		if rnd.IntN(3) == 0 {
			kills++
			return errors.New("killed before")
		}
		return nil
	}
	in.After = func() error {
		if rnd.IntN(3) == 0 {
			kills++
			return errors.New("killed after")
		}
		return nil
	}
	for len(in.Rows()) < len(want) && ctx.Err() == nil {
		s := source(t, config(f, &logs{}, map[string]string{"stream": "BIDS", "subject": "b.eu"}))
		stop, done := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
		rows := make(chan error, 1)
		go func() { rows <- in.Wait(len(want)) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatal(err)
			}
		case <-rows:
			stop()
		}
	}
	if got := in.Rows(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	// A stream made anew is read from its start, and what was removed is told.
	in.Before, in.After = nil, nil
	if err := js.DeleteStream(ctx, "BIDS"); err != nil {
		t.Fatal(err)
	}
	js.CreateStream(ctx, jetstream.StreamConfig{Name: "BIDS", Subjects: []string{"b.>"}})
	js.Publish(ctx, "b.eu", []byte(`{"a":77}`))
	l := &logs{}
	s := source(t, config(f, l, map[string]string{"stream": "BIDS"}))
	stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
	if err := in.Wait(len(want) + 1); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !l.has("made anew") {
		t.Errorf("logs %q", l.lines)
	}
	if err := source(t, config(f, l, map[string]string{"stream": "NONE"})).Run(ctx, in); !errors.Is(err, fabric.ErrNotFound) {
		t.Errorf("no stream: %v", err)
	}
}

func step(rows ...string) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	for i, r := range rows {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(i)), types.TextValue(r)}, int64(1-2*(i%2)))
	}
	return bu.Seal()
}

// TestSinkStoresEachChangeOnce kills the sink between deliveries; somebody else writes to the subject too.
func TestSinkStoresEachChangeOnce(t *testing.T) {
	ctx, f, _, js := start(t)
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"alerts.>"}})
	if err != nil {
		t.Fatal(err)
	}
	out := &conntest.Outlet{}
	var want []string
	const steps = 30
	for n := uint64(2); n <= steps*2; n += 2 {
		var rows []string
		for k := range n % 7 {
			rows = append(rows, fmt.Sprintf("r%d.%d", n, k))
			want = append(want, fmt.Sprintf(`{"_step":%d,"_index":%d,"_weight":%d,"a":%d,"b":"r%d.%d"}`, n, k, 1-2*int64(k%2), k, n, k))
		}
		out.Add(n, step(rows...))
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	out.OnDone = func(uint64) error {
		if rnd.IntN(3) == 0 {
			return errors.New("killed before Done")
		}
		return nil
	}
	kills := 0
	for out.Position() < steps*2 && ctx.Err() == nil {
		s, err := NewSink(config(f, &logs{}, map[string]string{"subject": "alerts.hot"}))
		if err != nil {
			t.Fatal(err)
		}
		stop, done := run(ctx, func(ctx context.Context) error { return s.Run(ctx, &cutOutlet{out, s, rnd}) })
		all := make(chan error, 1)
		go func() { all <- out.Wait(steps * 2) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatal(err)
			}
		case <-all:
			stop()
		}
		if kills++; kills%4 == 0 {
			js.Publish(ctx, "alerts.hot", []byte("from somebody else"))
			js.Publish(ctx, "alerts.cold", []byte("no business of ours"))
		}
	}
	if kills < 5 {
		t.Errorf("killed %d times: the test shows nothing", kills)
	}
	var got []string
	info, _ := stream.Info(ctx)
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get(headerSink) != "" {
			got = append(got, string(m.Data))
			if !json.Valid(m.Data) {
				t.Errorf("no JSON: %s", m.Data)
			}
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d changes stored, want %d\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

// cutOutlet lets the sink deliver only a part of some steps before it is killed.
type cutOutlet struct {
	*conntest.Outlet
	sink *Sink
	rnd  *rand.Rand
}

func (c *cutOutlet) Next(ctx context.Context, after uint64) (uint64, *batch.Batch, error) {
	step, b, err := c.Outlet.Next(ctx, after)
	if err != nil || c.rnd.IntN(3) > 0 {
		return step, b, err
	}
	part := *b
	part.Sel = []uint32{}
	for i := range b.Len() / 2 {
		part.Sel = append(part.Sel, uint32(i))
	}
	t, err := c.sink.find(ctx)
	if err == nil {
		err = c.sink.publish(ctx, &t, step, &part)
	}
	if err == nil {
		err = errors.New("killed in the middle of a step")
	}
	return 0, nil, err
}

func TestSinkWithoutStreamPublishes(t *testing.T) {
	ctx, f, conn, js := start(t)
	sub, err := conn.SubscribeSync("alerts.hot")
	if err != nil {
		t.Fatal(err)
	}
	conn.Flush()
	out := &conntest.Outlet{}
	out.Add(3, step("x", "y"))
	s, err := NewSink(config(f, &logs{}, map[string]string{"subject": "alerts.hot", "envelope": "changes"}))
	if err != nil {
		t.Fatal(err)
	}
	stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, out) })
	for _, want := range []string{`{"_step":3,"_index":0,"_weight":1,"a":0,"b":"x"}`, `{"_step":3,"_index":1,"_weight":-1,"a":1,"b":"y"}`} {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil || string(m.Data) != want {
			t.Fatalf("got %v, %v", m, err)
		}
	}
	if err := out.Wait(3); err != nil {
		t.Fatal(err)
	}
	// A stream that is made later gets what comes from then on.
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LATE", Subjects: []string{"alerts.>"}})
	if err != nil {
		t.Fatal(err)
	}
	out.Add(4, step("z"))
	if err := out.Wait(4); err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, "alerts.hot")
	if err != nil || m.Header.Get(headerStep) != "4" || m.Header.Get(headerIndex) != "0" {
		t.Errorf("stored %+v, %v", m, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestSinkEnvelopes(t *testing.T) {
	ctx, f, conn, _ := start(t)
	added := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	added.AppendRow([]types.Value{types.IntValue(types.Int8, 5), types.TextValue("x")}, 2)
	for i, c := range []struct {
		options map[string]string
		b       *batch.Batch
		want    []string
	}{
		{map[string]string{"envelope": "plain"}, added.Seal(), []string{`{"a":5,"b":"x"}`, `{"a":5,"b":"x"}`}},
		{map[string]string{"envelope": "upsert", "key": "b"}, step("x", "y"),
			[]string{`{"_step":3,"_index":0,"_op":"upsert","a":0,"b":"x"}`, `{"_step":3,"_index":1,"_op":"delete","b":"y"}`}},
		{map[string]string{"envelope": "debezium", "key": "b"}, step("x", "y"),
			[]string{`{"_step":3,"_index":0,"op":"c","key":{"b":"x"},"before":null,"after":{"a":0,"b":"x"}}`,
				`{"_step":3,"_index":1,"op":"d","key":{"b":"y"},"before":{"a":1,"b":"y"},"after":null}`}},
	} {
		subject := fmt.Sprint("envelope.", i)
		sub, err := conn.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		conn.Flush()
		out := &conntest.Outlet{}
		out.Add(3, c.b)
		c.options["subject"] = subject
		cfg := config(f, &logs{}, c.options)
		cfg.AppendOnly = true
		s, err := NewSink(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, out) })
		for k, want := range c.want {
			m, err := sub.NextMsgWithContext(ctx)
			if err != nil || string(m.Data) != want || m.Header.Get(headerIndex) != fmt.Sprint(k) {
				t.Fatalf("%v: got %s %v, %v\nwant %s", c.options, m.Data, m.Header, err, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		sink    bool
		want    string
	}{
		{nil, false, `needs option "subject" or "stream"`}, {map[string]string{"subject": "a..b"}, false, `"a..b"`}, {map[string]string{"subject": "$JS.>"}, false, "$JS"},
		{map[string]string{"subject": "a.>.b"}, false, `"a.>.b"`}, {map[string]string{"subject": "a b"}, false, `"a b"`}, {map[string]string{"subject": "a*"}, false, `"a*"`},
		{map[string]string{"subject": ""}, false, `""`}, {map[string]string{"stream": "a.b"}, false, `"a.b"`}, {map[string]string{"subject": "a", "topic": "x"}, false, `unknown option "topic" of nats source`},
		{nil, true, `needs option "subject"`}, {map[string]string{"subject": "a.>"}, true, "without wildcards"}, {map[string]string{"subject": "a", "envelope": "rows"}, true, `"rows"`},
		{map[string]string{"subject": "a", "stream": "S"}, true, `unknown option "stream" of nats sink`},
	} {
		cfg := config(nil, &logs{}, c.options)
		var err error
		if c.sink {
			_, err = NewSink(cfg)
		} else {
			_, err = NewSource(cfg)
		}
		var sql *types.Error
		if !errors.As(err, &sql) || sql.Code != types.CodeInvalidParameter || !strings.Contains(sql.Message, c.want) {
			t.Errorf("%v: %v", c.options, err)
		}
	}
	cfg := config(nil, &logs{}, map[string]string{"subject": "a"})
	cfg.Columns[0].Name = "_step"
	if _, err := NewSink(cfg); err == nil || !strings.Contains(err.Error(), "_step") {
		t.Errorf("column _step: %v", err)
	}
}

// TestSubjectsArePartitions: with partition_by each row says which subject it is of,
// from messages and from a stream alike.
func TestSubjectsArePartitions(t *testing.T) {
	ctx, f, conn, js := start(t)
	want := map[string]uint32{"1": connector.PartitionOf("t.eu"), "2": connector.PartitionOf("t.us"), "3": connector.PartitionOf("t.us"), "4": connector.PartitionOf("t.eu")}
	for _, stream := range []bool{false, true} {
		var mu sync.Mutex
		got := map[string]uint32{}
		in := &conntest.Intake{Before: func(b connector.Block) error {
			mu.Lock()
			defer mu.Unlock()
			if len(b.Parts) != b.Rows.Len() {
				return fmt.Errorf("%d partitions for %d rows", len(b.Parts), b.Rows.Len())
			}
			for i, row := range conntest.Text(b.Rows) {
				if k, _, _ := strings.Cut(row, "|"); k != "-1" {
					got[k] = b.Parts[i]
				}
			}
			return nil
		}}
		opts := map[string]string{"subject": "t.>", "partition_by": "subject"}
		if stream {
			if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "T", Subjects: []string{"t.>"}}); err != nil {
				t.Fatal(err)
			}
			opts["stream"] = "T"
		}
		cfg := config(f, &logs{}, opts)
		cfg.Watermark = true
		s := source(t, cfg)
		stop, _ := run(ctx, func(ctx context.Context) error { return s.Run(ctx, in) })
		rows := 4
		if !stream {
			listening(ctx, t, conn, "t.probe")
			rows++
		}
		for subject, body := range map[string]string{"t.eu": "[{\"a\":1},{\"a\":4}]", "t.us": "[{\"a\":2},{\"a\":3}]"} {
			if err := conn.Publish(subject, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Wait(rows); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			t.Errorf("stream %v: %v, want %v", stream, got, want)
		}
	}
	if _, err := NewSource(config(f, &logs{}, map[string]string{"subject": "t.>", "partition_by": "subject"})); err == nil ||
		!strings.Contains(err.Error(), "partition_by without a watermark") {
		t.Errorf("without a watermark: %v", err)
	}
}
