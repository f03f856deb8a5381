package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// posted is a source that is fed by requests: a body holds numbers; what is none is
// a bad record.
type posted struct{}

func (posted) Decode(body []byte) (connector.Block, error) {
	bu := batch.NewBuilder([]types.Type{types.T(types.Int8)})
	var b connector.Block
	for _, w := range bytes.Fields(body) {
		n, err := strconv.ParseInt(string(w), 10, 64)
		if err != nil {
			b.Bad = append(b.Bad, connector.Bad{Data: w, Reason: "no number"})
			continue
		}
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, n)}, 1)
	}
	b.Rows = bu.Seal()
	return b, nil
}

func withPosted(cfg *Config) {
	cfg.Connectors = connector.NewRegistry(connector.System{Name: "posted", Source: func(connector.Config) (any, error) { return posted{}, nil }})
}

const createPosted = `CREATE SOURCE s (n BIGINT) WITH (connector = 'posted');
	CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS times FROM s GROUP BY n`

func (b *bench) post(body string, sent *connector.Sent) (Receipt, error) {
	return b.e.Receive(b.Context(), Delivery{Name: "s", Body: []byte(body), Sent: sent})
}

func (b *bench) mustPost(body string, sent *connector.Sent, want Receipt) {
	b.Helper()
	got, err := b.post(body, sent)
	if err != nil || got != want {
		b.Fatalf("%s: %+v, %v; want %+v", body, got, err, want)
	}
}

func (b *bench) refuses(body string, sent *connector.Sent, code, message string) {
	b.Helper()
	_, err := b.post(body, sent)
	var te *types.Error
	if !errors.As(err, &te) || te.Code != code || !strings.Contains(te.Message, message) {
		b.Fatalf("%s: %v, want %s %s", body, err, code, message)
	}
}

func key(k string, digest uint64) *connector.Sent { return &connector.Sent{Key: k, Digest: digest} }

func producer(name string, n, digest uint64) *connector.Sent {
	return &connector.Sent{Producer: name, Sequence: n, Digest: digest}
}

// TestNamedRequests checks that a request with a name is taken once, also by the
// engine that comes after.
func TestNamedRequests(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs, withPosted)
	b.client().exec(createPosted)
	b.mustPost("1 2 x", key("a", 7), Receipt{Rows: 2, Bad: 1, Position: 1})
	b.mustPost("9", nil, Receipt{Rows: 1, Position: 2})
	for range 2 {
		b.mustPost("1 2 x", key("a", 7), Receipt{Rows: 2, Bad: 1, Position: 1, Duplicate: true})
		b.refuses("1 2 3", key("a", 8), types.CodeKeyReused, `idempotency key "a" came before with other content`)
		b.refuses("5", producer("p", 3, 1), types.CodeSequenceGap, `producer "p": sequence`)
		b.stop()
		b = start(t, logs, withPosted)
	}
	b.mustPost("10", producer("p", 1, 1), Receipt{Rows: 1, Position: 3})
	b.mustPost("11", producer("p", 2, 2), Receipt{Rows: 1, Position: 4})
	b.stop()
	b = start(t, logs, withPosted)
	b.mustPost("11", producer("p", 2, 2), Receipt{Rows: 1, Position: 4, Duplicate: true})
	b.mustPost("10", producer("p", 1, 1), Receipt{Position: 4, Duplicate: true, Forgotten: true})
	b.refuses("11", producer("p", 2, 3), types.CodeKeyReused, `sequence 2 came before with other content`)
	b.refuses("13", producer("p", 4, 4), types.CodeSequenceGap, `sequence 3 is expected, 4 came`)
	b.refuses("13", producer("q", 2, 4), types.CodeSequenceGap, `sequence 1 is expected, 2 came`)
	b.mustPost("1", producer("q", 1, 4), Receipt{Rows: 1, Position: 5})
	c := b.client()
	c.exec("FLUSH")
	c.want("SELECT n, times FROM v ORDER BY n", "1, 2", "2, 1", "9, 1", "10, 1", "11, 1")
}

// TestRetriesNeverDouble sends requests again and again through appends whose answers
// are lost and engines that crash, until each was answered: every row is there once.
func TestRetriesNeverDouble(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		logs := newMemLogs()
		b := start(t, logs, withPosted)
		b.client().exec(createPosted)
		logs.mu.Lock()
		logs.fault = func(log string, _ int) fault {
			if !strings.HasPrefix(log, "SRC_") {
				return fine
			}
			return []fault{fine, fine, lostBefore, lostAfter, crash, crashEarly}[rng.IntN(6)]
		}
		logs.mu.Unlock()
		var want []string
		const requests = 12
		for n := range uint64(requests) {
			sent := producer("p", n+1, n)
			if n%2 == 1 {
				sent = key(fmt.Sprint("k", n), n)
			} else {
				sent.Sequence = n/2 + 1
			}
			want = append(want, fmt.Sprintf("%d, 1", n))
			for tries := 0; ; tries++ {
				got, err := b.post(fmt.Sprint(n), sent)
				if err == nil && got.Rows == 1 {
					if again, err := b.post(fmt.Sprint(n), sent); err != nil || !again.Duplicate || again.Rows != 1 || again.Position != got.Position {
						t.Fatalf("seed %d, request %d: %+v, then %+v, %v", seed, n, got, again, err)
					}
					break
				}
				if tries == 200 {
					t.Fatalf("seed %d, request %d: %+v, %v", seed, n, got, err)
				}
				if rng.IntN(2) == 0 { // the client does not wait for the node to mend
					b.stop()
					b = start(t, logs, withPosted)
				}
			}
		}
		logs.mu.Lock()
		logs.fault = nil
		logs.mu.Unlock()
		b.stop()
		b = start(t, logs, withPosted)
		c := b.client()
		c.exec("FLUSH")
		c.want("SELECT n, times FROM v ORDER BY n", want...)
		b.stop()
	}
}

// TestSentBookBounds checks what is forgotten when there is too much: the oldest.
func TestSentBookBounds(t *testing.T) {
	b := newSentBook()
	b.maxKeys, b.maxProducers = 3, 2
	for i := range uint64(5) {
		b.add(i+1, []wire.Sent{{Key: fmt.Sprint("k", i), Digest: i}})
	}
	for i := range uint64(5) {
		if k, ok := b.key(fmt.Sprint("k", i)); ok != (i >= 2) || ok && k.Position != i+1 {
			t.Errorf("key %d: %+v, %v", i, k, ok)
		}
	}
	b.add(6, []wire.Sent{{Key: "k0"}}) // forgotten, so it may come again
	if k, ok := b.key("k0"); !ok || k.Position != 6 || len(b.keys) != 3 {
		t.Errorf("k0: %+v, %v; %d keys", k, ok, len(b.keys))
	}
	b.add(7, []wire.Sent{{Producer: "p", Sequence: 1}})
	b.add(8, []wire.Sent{{Producer: "q", Sequence: 1}})
	b.add(9, []wire.Sent{{Producer: "p", Sequence: 2}})
	b.add(10, []wire.Sent{{Producer: "r", Sequence: 1}}) // displaces q
	if _, _, _, err := b.check(connector.Sent{Producer: "q", Sequence: 2}); err == nil {
		t.Error("q is still known")
	}
	if _, known, _, err := b.check(connector.Sent{Producer: "p", Sequence: 3}); err != nil || known {
		t.Errorf("p: %v, %v", known, err)
	}
	var got []string
	for _, k := range slices.Concat(b.below(10)...) {
		got = append(got, fmt.Sprint(k.Key, k.Producer, k.Position))
	}
	if want := []string{"k34", "k45", "k06", "p9"}; !slices.Equal(got, want) {
		t.Errorf("below 10: %v, want %v", got, want)
	}
}

// TestSentBookOfManyPieces adds keys far beyond the bound, and looks at what is there
// and what is written down after each: the same as a plain list has.
func TestSentBookOfManyPieces(t *testing.T) {
	b := newSentBook()
	b.maxKeys = 2*sentPiece + 100
	var all []wire.Known
	var early [][]wire.Known // as it was at some moment
	for n := range uint64(5 * sentPiece) {
		k := wire.Known{Sent: wire.Sent{Key: fmt.Sprint("k", n)}, Position: n / 3}
		b.add(k.Position, []wire.Sent{k.Sent})
		all = append(all, k)
		if n == 3*sentPiece {
			early = b.below(1 << 40)
		}
		if n%97 != 0 {
			continue
		}
		low := max(0, len(all)-b.maxKeys)
		for _, i := range []int{0, low - 1, low, len(all) - 1} {
			if i >= 0 {
				if got, ok := b.key(all[i].Key); ok != (i >= low) || ok && got != all[i] {
					t.Fatalf("after %d, key %d: %+v, %v", n, i, got, ok)
				}
			}
		}
		position := n/3 - min(n/3, 500)
		want := slices.DeleteFunc(slices.Clone(all[low:]), func(k wire.Known) bool { return k.Position >= position })
		if got := slices.Concat(b.below(position)...); !slices.Equal(got, want) {
			t.Fatalf("after %d: %d are written down, want %d", n, len(got), len(want))
		}
		if len(b.keys) > b.maxKeys || len(b.list) > b.maxKeys/sentPiece+2 {
			t.Fatalf("after %d: %d keys in %d pieces", n, len(b.keys), len(b.list))
		}
	}
	if got, want := slices.Concat(early...), all[3*sentPiece+1-b.maxKeys:3*sentPiece+1]; !slices.Equal(got, want) {
		t.Error("what was to be written down has changed")
	}
}

// TestSourceStateTakesTheStreamsPlace saves a source's state at a step, and goes on
// from it as if the stream before had been read.
func TestSourceStateTakesTheStreamsPlace(t *testing.T) {
	logs := newMemLogs()
	b := start(t, logs, withPosted)
	b.client().exec(createPosted)
	b.mustPost("1 x", key("a", 7), Receipt{Rows: 1, Bad: 1, Position: 1})
	b.mustPost("2", producer("p", 1, 1), Receipt{Rows: 1, Position: 2})
	b.client().exec("FLUSH")
	s := b.e.sourceList()[0]
	saved, next := inLoop(b, s.save).Encode(), inLoop(b, func() uint64 { return b.e.lead.positions[s.id] })
	b.mustPost("3", key("b", 1), Receipt{Rows: 1, Position: 3})
	b.mustPost("4", producer("p", 2, 2), Receipt{Rows: 1, Position: 4})

	// Another source over what is left of the stream.
	log := logs.logs["SRC_tidemill_"+fmt.Sprint(s.id)]
	log.mu.Lock()
	for i := range next - 1 {
		log.recs[i] = []byte("trimmed")
	}
	log.mu.Unlock()
	again, err := b.e.newSource(t.Context(), s.def, 0)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := again.restore(saved); err != nil || at != next || at != 3 {
		t.Fatalf("restored to %d, %v; the next step takes from %d", at, err, next)
	}
	tk, err := again.replayRange(t.Context(), 3, 4)
	if err != nil || len(tk.rows) != 1 || tk.rows[0].Len() != 1 {
		t.Fatalf("%+v, %v", tk, err)
	}
	again.committed()
	if err := again.readTail(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	if again.lastSeq != s.lastSeq || again.lastHash != s.lastHash || again.records != s.records || again.done.seq != 3 {
		t.Errorf("at %d, %d records; want %d, %d", again.lastSeq, again.records, s.lastSeq, s.records)
	}
	if got, want := slices.Concat(again.sent.below(100)...), slices.Concat(s.sent.below(100)...); !slices.Equal(got, want) || len(got) != 3 {
		t.Errorf("known: %+v, want %+v", got, want)
	}
	s.mu.Unlock()
	if _, err := again.restore(saved[:len(saved)-1]); !errors.Is(err, wire.ErrDamaged) {
		t.Errorf("a state that was cut: %v", err)
	}
	again.replay.Stop()
}

// inLoop calls fn in the leader's loop.
func inLoop[T any](b *bench, fn func() T) T {
	out := make(chan T, 1)
	b.e.look <- func(*leader) { out <- fn() }
	return <-out
}

// TestNamedRequestsOutliveTheirBlocks trims the blocks that named requests came in:
// what the checkpoint says of them is enough to know them again.
func TestNamedRequestsOutliveTheirBlocks(t *testing.T) {
	logs, disk := newMemLogs(), newDisk()
	b := start(t, logs, withPosted, on(disk))
	c := b.client()
	c.exec(`CREATE SOURCE s (n BIGINT) WITH (connector = 'posted', retention = '1 MB');
		CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS times FROM s GROUP BY n`)
	const rows = 4001
	body := func(n uint64) string { // of numbers that take room in a block
		rng, out := rand.New(rand.NewPCG(n, 1)), fmt.Append(nil, n)
		for range rows - 1 {
			out = fmt.Append(out, " ", 1000+rng.Int64N(1<<50))
		}
		return string(out)
	}
	var want []string
	for i := range uint64(40) {
		b.mustPost(body(i), key(fmt.Sprint("k", i), i), Receipt{Rows: rows, Position: 2*i + 1})
		b.mustPost(body(100+i), producer("p", i+1, i), Receipt{Rows: rows, Position: 2*i + 2})
		want = append(want, fmt.Sprintf("%d, 1", i))
	}
	c.exec("FLUSH; CHECKPOINT")
	b.mustPost("40", key("late", 1), Receipt{Rows: 1, Position: 81})
	want = append(want, "40, 1")
	b = b.restart(logs, withPosted, on(disk)) // it needs only one checkpoint now
	c = b.client()
	c.exec("FLUSH; CHECKPOINT")
	b.tidied()
	b = b.restart(logs, withPosted, on(disk))
	if first, _ := logs.bounds(fmt.Sprint("SRC_tidemill_", b.e.sourceList()[0].id)); first < 20 {
		t.Fatalf("the stream begins at %d: the test shows nothing", first)
	}
	for i := range uint64(40) {
		b.mustPost(body(i), key(fmt.Sprint("k", i), i), Receipt{Rows: rows, Position: 2*i + 1, Duplicate: true})
	}
	b.mustPost(body(139), producer("p", 40, 39), Receipt{Rows: rows, Position: 80, Duplicate: true})
	b.mustPost("40", key("late", 1), Receipt{Rows: 1, Position: 81, Duplicate: true})
	b.refuses("1", producer("p", 42, 1), types.CodeSequenceGap, "sequence 41 is expected, 42 came")
	c = b.client()
	c.want("SELECT n, times FROM v WHERE n < 100 ORDER BY n", want...)
}
