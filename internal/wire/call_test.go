package wire

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

func someCalls() []*Call {
	rng := rand.New(rand.NewPCG(1, 2))
	return []*Call{
		{Kind: CallTxs, Txs: [][]Change{{{Table: 7, Rows: randomBatch(rng, 3, true, true, 20)}, {Table: 9, Rows: randomBatch(rng, 1, false, false, 64)}}, nil,
			{{Table: 7, Rows: randomBatch(rng, 2, true, true, 8)}}}},
		{Kind: CallTxs, Epoch: 9, Origin: 1 << 63, Numbers: []uint64{1, 300}, Txs: [][]Change{{{Table: 7, Rows: randomBatch(rng, 3, true, true, 20)}}, nil}},
		{Kind: CallDDL, DDL: &DDLCall{SQL: "CREATE TABLE t (a INT)", User: "u", Database: "d", Path: []string{"s", "public"}, Zone: "Europe/Berlin", PID: -4}},
		{Kind: CallFlush}, {Kind: CallCheckpoint}, {Kind: CallBarrier},
		{Kind: CallRetry, Source: 12, Position: 1 << 40},
		{Kind: CallDelivery, Delivery: &DeliveryCall{Name: "s", Body: []byte("{}\n")}},
		{Kind: CallDelivery, Delivery: &DeliveryCall{Schema: "public", Name: "s", Body: []byte{0, 1}, Sent: &Sent{Producer: "p", Sequence: 3, Digest: 9}}},
	}
}

func someReplies() [][]CallAnswer {
	return [][]CallAnswer{
		nil,
		{{Step: 5, Seq: 300}, {Step: 6, Void: true, Err: &types.Error{Code: "40001", Message: "m", Detail: "d", Hint: "h", Pos: 12}}},
		{{Step: 1, Notices: []catalog.Notice{{Code: "00000", Message: "skipping"}}, Created: []catalog.ID{3, 4}}},
		{{Receipt: &CallReceipt{Rows: 1, Bad: 2, Position: 3, Duplicate: true}}, {Receipt: &CallReceipt{Forgotten: true}}},
	}
}

func TestCallsComeBack(t *testing.T) {
	for _, c := range someCalls() {
		got, err := DecodeCall(c.Encode())
		if err != nil {
			t.Fatalf("kind %d: %v", c.Kind, err)
		}
		if string(got.Encode()) != string(c.Encode()) {
			t.Errorf("kind %d: %+v came back as %+v", c.Kind, c, got)
		}
	}
	for _, a := range someReplies() {
		got, err := DecodeReply(EncodeReply(a))
		if err != nil || len(a) != len(got) || len(a) > 0 && !reflect.DeepEqual(got, a) {
			t.Errorf("%+v came back as %+v, %v", a, got, err)
		}
	}
}

// TestHostileCalls cuts calls and replies off and changes their bytes: that is an error or
// another call, and never a panic.
func TestHostileCalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	try := func(whole []byte, decode func([]byte) error) {
		for n := range whole {
			if decode(whole[:n]) == nil {
				t.Errorf("%d of %d bytes are taken for all", n, len(whole))
			}
		}
		for range 300 {
			b := append([]byte(nil), whole...)
			for range 1 + rng.IntN(4) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			_ = decode(b)
		}
	}
	for _, c := range someCalls() {
		try(c.Encode(), func(b []byte) error { _, err := DecodeCall(b); return err })
	}
	for _, a := range someReplies() {
		try(EncodeReply(a), func(b []byte) error { _, err := DecodeReply(b); return err })
	}
	if _, err := DecodeCall([]byte{99, 1}); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}
