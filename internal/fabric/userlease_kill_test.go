package fabric

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// openLock is a lock whose token may not be known: that of an acquire whose answer never came.
type openLock struct {
	held, last uint64
	unseen     bool // it is held with a token that nobody has seen
}

type openResult struct {
	lockResult
	unknown bool // it may have happened or not
}

// openLockModel is lockModel with operations of which nobody knows whether they happened.
var openLockModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{openLock{}} },
	Step: func(s, in, out any) []any {
		st, op, r := s.(openLock), in.(lockOp), out.(openResult)
		if st.unseen && !r.unknown && !r.ok && r.token > st.last { // now it is seen
			st = openLock{held: r.token, last: r.token}
		}
		free := openLock{last: st.last}
		switch {
		case r.unknown && op.kind == "acquire" && st.held == 0 && !st.unseen:
			return []any{st, openLock{last: st.last, unseen: true}}
		case r.unknown && op.kind == "release" && st.held == op.token:
			return []any{st, free}
		case r.unknown:
			return []any{st}
		case op.kind == "acquire" && r.ok:
			if st.held == 0 && !st.unseen && r.token > st.last {
				return []any{openLock{held: r.token, last: r.token}}
			}
			return nil
		case op.kind == "acquire" || op.kind == "get":
			if st.unseen || r.token != st.held || op.kind == "acquire" && r.token == 0 {
				return nil
			}
			return []any{st}
		case r.ok != (st.held == op.token):
			return nil
		case op.kind == "release" && r.ok:
			return []any{free}
		}
		return []any{st}
	},
}).ToModel()

// The leader of the locks' stream is killed while clients on the other nodes use a lock: what they are told stays
// linearizable, and they go on.
func TestUserLockIsLinearizableWhenItsLeaderIsKilled(t *testing.T) {
	c := newCluster(t, 3)
	victim := c.startChild(0)
	c.start(1)
	c.start(2)
	c.ready()
	lock(t, c.nodes[1], "warm up", "x", time.Hour, 0)
	move, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := c.nodes[1].moveStream(move, userStream, "a"); err != nil {
		t.Fatal(err)
	}
	h := &lockHistory{t: t, began: time.Now()}
	ctx, stop := context.WithTimeout(context.Background(), clusterWait)
	defer stop()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() { h.use(ctx, c.nodes[1+i%2], i) })
	}
	waitFor(t, "the lock is used", func() bool { return h.acquired.Load() >= 5 })
	victim.Process.Kill()
	victim.Wait()
	killed, before := time.Now(), h.acquired.Load()
	waitFor(t, "the lock is used again", func() bool { return h.acquired.Load() >= before+5 })
	t.Logf("used again after %v", time.Since(killed))
	h.over.Store(true)
	all.Wait()
	t.Logf("%d calls, %d acquired, %d with unknown outcome", len(h.ops), h.acquired.Load(), h.unknown)
	if res := porcupine.CheckOperationsTimeout(openLockModel, h.ops, 20*time.Second); res != porcupine.Ok {
		t.Errorf("%d calls: %v", len(h.ops), res)
	}
}

// lockHistory is what clients did with a lock.
type lockHistory struct {
	t        *testing.T
	began    time.Time
	over     atomic.Bool
	acquired atomic.Int64

	mu      sync.Mutex
	ops     []porcupine.Operation
	seen    []uint64
	unknown int
}

// maxLockCalls bounds the calls of a client, so that the checker comes to an end.
const maxLockCalls = 400

func (h *lockHistory) use(ctx context.Context, f *Fabric, client int) {
	rnd := rand.New(rand.NewPCG(7, uint64(client)))
	for range maxLockCalls {
		if h.over.Load() || ctx.Err() != nil {
			return
		}
		op := lockOp{kind: []string{"acquire", "renew", "release", "get"}[rnd.IntN(4)]}
		h.mu.Lock()
		if n := len(h.seen); n > 0 {
			op.token = h.seen[max(0, n-1-rnd.IntN(2))]
		}
		h.mu.Unlock()
		if op.token == 0 && (op.kind == "renew" || op.kind == "release") {
			continue
		}
		time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // so that the calls last until after the kill
		call := time.Since(h.began).Nanoseconds()
		r, err := lockCall(ctx, f, op, client)
		end := time.Since(h.began).Nanoseconds()
		switch {
		case errors.Is(err, ErrUnknown):
			r.unknown, end = true, math.MaxInt64
		case errors.Is(err, ErrUnavailable): // nothing happened
			continue
		case err != nil:
			h.t.Errorf("%s: %v", op.kind, err)
			return
		}
		h.mu.Lock()
		if r.unknown {
			h.unknown++
		}
		h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: r, Return: end})
		if r.token != 0 {
			h.seen = append(h.seen, r.token)
		}
		h.mu.Unlock()
		if r.ok && op.kind == "acquire" {
			h.acquired.Add(1)
		}
		if r.unknown {
			client += 100 // whose call has not ended calls no more
		}
	}
}

// lockCall carries out op.
func lockCall(ctx context.Context, f *Fabric, op lockOp, client int) (r openResult, err error) {
	switch op.kind {
	case "acquire":
		var l UserLock
		var held *LeaseHeldError
		if l, err = f.AcquireLock(ctx, "l", fmt.Sprint(client), time.Hour, 0); errors.As(err, &held) {
			r.token, err = held.Token, nil
		} else if err == nil {
			r.ok, r.token = true, l.Token
		}
	case "renew":
		_, err = f.RenewLock(ctx, "l", op.token, time.Hour)
		r.ok = err == nil
	case "release":
		err = f.ReleaseLock(ctx, "l", op.token)
		r.ok = err == nil
	default:
		var l UserLock
		l, _, err = f.GetLock(ctx, "l")
		r.token = l.Token
	}
	if errors.Is(err, ErrLeaseLost) {
		err = nil
	}
	return r, err
}
