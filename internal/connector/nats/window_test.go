package nats

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector/conntest"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

// manyRows is a step of n changes.
func manyRows(n int) *batch.Batch {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8), types.T(types.Text)})
	for i := range n {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(i)), types.TextValue("x")}, 1)
	}
	return bu.Seal()
}

// stored returns the positions of the sink's changes in a stream, and checks their headers.
func stored(ctx context.Context, t *testing.T, js jetstream.JetStream, name string) (got []string) {
	t.Helper()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Header.Get("Nats-Msg-Id"); id != "" {
			at := m.Header.Get(headerStep) + "/" + m.Header.Get(headerIndex)
			if id != "bids/7/"+at || m.Header.Get(headerSink) != "bids/7" || m.Header.Get(headerWeight) != "1" {
				t.Fatalf("headers %v", m.Header)
			}
			got = append(got, at)
		}
	}
	return got
}

// TestSinkWindowUnderLostAnswers lets answers come too late at random, so that the
// sink does not know what became of many at once, while others write to its stream and
// to its subject. Every change is stored once and in order.
func TestSinkWindowUnderLostAnswers(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic=", atomic), func(t *testing.T) { lostAnswers(t, atomic) })
	}
}

func lostAnswers(t *testing.T, atomic bool) {
	ctx, cancel := context.WithTimeout(t.Context(), conntest.Timeout)
	defer cancel()
	f, err := fabric.Start(ctx, fabric.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", RequestTimeout: 25 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	conn, err := natsgo.Connect("nats://" + f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"alerts.>"}, AllowAtomicPublish: atomic}); err != nil {
		t.Fatal(err)
	}
	out := &conntest.Outlet{}
	var want []string
	const steps, rows = 6, 300
	for n := uint64(1); n <= steps; n++ {
		out.Add(n, manyRows(rows))
		for k := range rows {
			want = append(want, strconv.FormatUint(n, 10)+"/"+strconv.Itoa(k))
		}
	}
	var others sync.WaitGroup
	quiet := make(chan struct{})
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-quiet:
				return
			case <-ctx.Done():
				return
			default:
			}
			subject := "alerts.cold"
			if i%40 == 0 {
				subject = "alerts.hot"
			}
			js.Publish(ctx, subject, []byte("not ours"))
			time.Sleep(time.Millisecond) // leave it some room
		}
	})
	runs := 0
	s, err := NewSink(config(f, &logs{}, map[string]string{"subject": "alerts.hot"}))
	if err != nil {
		t.Fatal(err)
	}
	stop, _ := run(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			runs++
			s.Run(ctx, out)
		}
		return nil
	})
	if err := out.Wait(steps); err != nil {
		t.Fatal(err)
	}
	close(quiet)
	others.Wait()
	stop()
	got := stored(ctx, t, js, "OUT")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d changes stored, want %d\n%v", len(got), len(want), got)
	}
	t.Logf("%d runs", runs)
}

// BenchmarkSinkStep delivers steps of 1000 changes to a stream.
func BenchmarkSinkStep(b *testing.B) {
	for _, atomic := range []bool{false, true} {
		b.Run(fmt.Sprint("atomic=", atomic), func(b *testing.B) { sinkStep(b, atomic) })
	}
}

func sinkStep(b *testing.B, atomic bool) {
	ctx := b.Context()
	f, err := fabric.Start(ctx, fabric.Config{Dir: b.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close(context.Background())
	conn, err := natsgo.Connect("nats://" + f.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"alerts.>"}, AllowAtomicPublish: atomic}); err != nil {
		b.Fatal(err)
	}
	s, err := NewSink(config(f, &logs{}, map[string]string{"subject": "alerts.hot"}))
	if err != nil {
		b.Fatal(err)
	}
	t, err := s.find(ctx)
	if err != nil {
		b.Fatal(err)
	}
	rows := manyRows(1000)
	step := uint64(0)
	for b.Loop() {
		step++
		if err := s.publish(ctx, &t, step, rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(step*1000), "ns/change")
}
