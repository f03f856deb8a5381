package fabric

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/nats-io/nats.go/micro"
)

func lock(t *testing.T, f *Fabric, name, owner string, ttl, wait time.Duration) UserLock {
	t.Helper()
	l, err := f.AcquireLock(within(t), name, owner, ttl, wait)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestUserLock(t *testing.T) {
	ctx, f := within(t), start(t)
	a := lock(t, f, "job/1", "a", time.Minute, 0)
	var held *LeaseHeldError
	for _, owner := range []string{"b", "a"} {
		if _, err := f.AcquireLock(ctx, "job/1", owner, time.Minute, 0); !errors.As(err, &held) || held.Owner != "a" || held.Token != a.Token {
			t.Errorf("acquire by %s: %v", owner, err)
		}
	}
	if l, is, err := f.GetLock(ctx, "job/1"); err != nil || !is || l.Owner != "a" || l.Token != a.Token || time.Until(l.Expires) > time.Minute || time.Until(l.Expires) < 30*time.Second {
		t.Errorf("get: %+v %v %v", l, is, err)
	}
	if _, err := f.RenewLock(ctx, "job/1", a.Token+1, time.Minute); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("renew with a wrong token: %v", err)
	}
	r, err := f.RenewLock(ctx, "job/1", a.Token, time.Hour)
	if err != nil || r.Token != a.Token || r.Owner != "a" || time.Until(r.Expires) < 59*time.Minute {
		t.Fatalf("renew: %+v %v", r, err)
	}
	if err := f.ReleaseLock(ctx, "job/1", a.Token); err != nil {
		t.Fatal(err)
	}
	if _, is, err := f.GetLock(ctx, "job/1"); is || err != nil {
		t.Errorf("get what was released: %v %v", is, err)
	}
	b := lock(t, f, "job/1", "b", time.Minute, 0)
	if b.Token <= a.Token {
		t.Errorf("token %d after %d", b.Token, a.Token)
	}
	var lost *LockLostError
	if _, err := f.RenewLock(ctx, "job/1", a.Token, time.Minute); !errors.As(err, &lost) || lost.Holder == nil || lost.Holder.Owner != "b" {
		t.Errorf("renew with an old token: %v", err)
	}
	if err := f.ReleaseLock(ctx, "job/1", a.Token); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("release with an old token: %v", err)
	}
	if err := f.ReleaseLock(ctx, "never", 7); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("release of what never was: %v", err)
	}
	lock(t, f, "a.b", "x", time.Minute, 0)
	if list, err := f.Locks(ctx); err != nil || len(list) != 2 || list[0].Name != "a.b" || list[1].Token != b.Token {
		t.Errorf("locks: %+v %v", list, err)
	}
	// The nodes' own leases are something else.
	acquire(t, f, "job/1", "node", time.Minute)
	if l, _, _ := f.GetLock(ctx, "job/1"); l.Owner != "b" {
		t.Errorf("lock after a lease of that name: %+v", l)
	}
}

func TestUserLockArguments(t *testing.T) {
	ctx, f := within(t), start(t)
	long := strings.Repeat("x", MaxUserNameBytes+1)
	for _, x := range []struct {
		name, owner string
		ttl, wait   time.Duration
	}{{"", "o", time.Minute, 0}, {"n", "", time.Minute, 0}, {long, "o", time.Minute, 0}, {"n", long, time.Minute, 0}, {"n\x00", "o", time.Minute, 0},
		{"n\xff", "o", time.Minute, 0}, {"n", "o", MinUserTTL - 1, 0}, {"n", "o", MaxUserTTL + 1, 0}, {"n", "o", time.Minute, -1}, {"n", "o", time.Minute, MaxLockWait + 1}} {
		if _, err := f.AcquireLock(ctx, x.name, x.owner, x.ttl, x.wait); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", x, err)
		}
	}
	longest := strings.Repeat("/", MaxUserNameBytes)
	if l := lock(t, f, longest, longest, MaxUserTTL, 0); l.Name != longest || l.Owner != longest {
		t.Errorf("%+v", l)
	}
}

// A lock that is not renewed goes to who waits for it, not before its time; the former holder can no longer renew it.
func TestUserLockExpires(t *testing.T) {
	ctx, f := within(t), start(t)
	began := time.Now()
	a := lock(t, f, "l", "a", time.Second, 0)
	b := lock(t, f, "l", "b", time.Minute, 30*time.Second)
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("it went to b after %v", took)
	}
	if b.Token <= a.Token {
		t.Errorf("token %d after %d", b.Token, a.Token)
	}
	if _, err := f.RenewLock(ctx, "l", a.Token, time.Second); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("renew what has expired: %v", err)
	}
	if list, err := f.Locks(ctx); err != nil || len(list) != 1 || list[0].Owner != "b" {
		t.Errorf("locks: %+v %v", list, err)
	}
}

// Those who wait have the lock one after another, each as soon as it is released.
func TestUserLockWaits(t *testing.T) {
	ctx, f := within(t), start(t)
	first := lock(t, f, "l", "first", time.Hour, 0)
	if _, err := f.AcquireLock(ctx, "l", "impatient", time.Hour, 20*time.Millisecond); !errors.Is(err, ErrLeaseHeld) {
		t.Fatalf("wait that ends: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.AcquireLock(gone, "l", "gone", time.Hour, time.Minute); err == nil {
		t.Fatal("a cancelled call got the lock")
	}
	var mu sync.Mutex
	var tokens []uint64
	var all sync.WaitGroup
	holders := 0
	for i := range 20 {
		all.Go(func() {
			l, err := f.AcquireLock(ctx, "l", fmt.Sprint(i), time.Hour, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if holders++; holders > 1 {
				t.Error("two hold it")
			}
			tokens = append(tokens, l.Token)
			mu.Unlock()
			mu.Lock()
			holders--
			mu.Unlock()
			if err := f.ReleaseLock(ctx, "l", l.Token); err != nil {
				t.Error(err)
			}
		})
	}
	if err := f.ReleaseLock(ctx, "l", first.Token); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	all.Wait()
	if took := time.Since(began); took > 15*time.Second { // none had to wait for lockLook
		t.Errorf("20 turns took %v", took)
	}
	if len(tokens) != 20 || !slices.IsSorted(tokens) {
		t.Errorf("tokens %v", tokens)
	}
	f.users.mu.Lock()
	defer f.users.mu.Unlock()
	if f.users.waiters != 0 || len(f.users.points) != 0 {
		t.Errorf("%d wait, at %d locks", f.users.waiters, len(f.users.points))
	}
}

func TestUserLockTokensRiseOverRestarts(t *testing.T) {
	dir, token := t.TempDir(), uint64(0)
	for i := range 3 {
		f := startIn(t, dir, nil)
		l := lock(t, f, "l", "a", time.Minute, 0)
		if l.Token <= token {
			t.Fatalf("token %d after %d", l.Token, token)
		}
		token = l.Token
		kept := lock(t, f, fmt.Sprint("kept", i), "a", time.Hour, 0)
		if err := f.ReleaseLock(within(t), "l", token); err != nil {
			t.Fatal(err)
		}
		f.Close(context.Background())
		f = startIn(t, dir, nil)
		if _, err := f.RenewLock(within(t), kept.Name, kept.Token, time.Hour); err != nil {
			t.Errorf("renew after a restart: %v", err)
		}
		if list, err := f.Locks(within(t)); err != nil || len(list) != i+1 {
			t.Errorf("locks after a restart: %v %v", list, err)
		}
		f.Close(context.Background())
	}
}

// An answer that is lost does not lose what was done.
func TestUserLockLostAnswer(t *testing.T) {
	f := start(t)
	l := lock(t, f, "l", "a", time.Minute, 0)
	ctx, cancel := context.WithCancel(within(t))
	tries := 0
	_, err := f.change(ctx, lockSubject+"l", func(cur userEntry) (userValue, error) {
		tries++
		cancel() // nobody waits for the answer
		return userValue{Name: "l", Owner: "a", Token: l.Token, TTL: time.Hour}, nil
	})
	if !errors.Is(err, ErrUnknown) || tries != 1 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if _, err := f.RenewLock(within(t), "l", l.Token, time.Hour); err != nil {
		t.Errorf("the lock is lost: %v", err)
	}
}

func TestMembers(t *testing.T) {
	ctx, f := within(t), start(t)
	a, err := f.Heartbeat(ctx, "g.1", "a", time.Hour, []byte(`{"addr":"x:1"}`))
	if err != nil {
		t.Fatal(err)
	}
	w, there, err := f.WatchGroup(ctx, "g.1")
	if err != nil || len(there) != 1 || there[0].Token != a.Token || string(there[0].Data) != `{"addr":"x:1"}` {
		t.Fatalf("watch: %+v %v", there, err)
	}
	defer w.Close()
	beat := func(group, name string, ttl time.Duration, data string) Member {
		t.Helper()
		m, err := f.Heartbeat(ctx, group, name, ttl, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := func(kind, name string) Member {
		t.Helper()
		e, err := w.Next(ctx)
		if err != nil || e.Kind != kind || e.Member.Name != name {
			t.Fatalf("got %+v, %v, want %s %s", e, err, kind, name)
		}
		return e.Member
	}
	beat("g", "other", time.Hour, `1`)
	b := beat("g.1", "b", time.Hour, `{}`)
	want(MemberJoined, "b")
	again := beat("g.1", "b", time.Hour, `{}`) // nothing to tell
	if again.Token != b.Token || again.Since.Sub(b.Since).Abs() > time.Second {
		t.Errorf("joined %+v, then %+v", b, again)
	}
	beat("g.1", "a", time.Second, `{"addr":"x:2"}`)
	if m := want(MemberChanged, "a"); string(m.Data) != `{"addr":"x:2"}` || m.Token != a.Token {
		t.Errorf("changed: %+v", m)
	}
	want(MemberLeft, "a") // by silence
	if err := f.LeaveGroup(ctx, "g.1", "b"); err != nil {
		t.Fatal(err)
	}
	want(MemberLeft, "b")
	if err := f.LeaveGroup(ctx, "g.1", "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("left twice: %v", err)
	}
	if m := beat("g.1", "b", time.Hour, `{}`); m.Token <= b.Token {
		t.Errorf("token %d after %d", m.Token, b.Token)
	}
	want(MemberJoined, "b")
	all, err := f.Members(ctx, "")
	if err != nil || len(all) != 2 || all[0].Name != "other" || all[1].Name != "b" {
		t.Errorf("all: %+v %v", all, err)
	}
	for _, data := range []string{"{", `"` + strings.Repeat("x", MaxMemberBytes) + `"`} {
		if _, err := f.Heartbeat(ctx, "g", "x", time.Minute, []byte(data)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.10s: %v", data, err)
		}
	}
}

func TestSlowWatchOfAGroup(t *testing.T) {
	ctx, f := within(t), start(t)
	w, _, err := f.WatchGroup(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range MaxGroupEvents + 1 {
		f.users.apply(streamRecord{Record: Record{Seq: uint64(i) + 1, Time: time.Now(), Data: fmt.Appendf(nil, `{"group":"g","name":"m","ttl":60000000000,"data":%d}`, i)}, Subject: memberKey("g", "m")})
	}
	n := 0
	for ; err == nil; n++ {
		_, err = w.Next(ctx)
	}
	if !errors.Is(err, ErrSlow) || n != MaxGroupEvents+1 {
		t.Errorf("after %d events: %v", n-1, err)
	}
}

type lockOp struct {
	kind  string // acquire, renew, release, get
	token uint64
}

type lockResult struct {
	ok    bool
	token uint64 // of who holds it
}

// lockState is a lock: who holds it, 0 if nobody does, and the last token that was given.
type lockState struct{ held, last uint64 }

var lockModel = porcupine.Model{
	Init: func() any { return lockState{} },
	Step: func(s, in, out any) (bool, any) {
		st, op, r := s.(lockState), in.(lockOp), out.(lockResult)
		switch op.kind {
		case "acquire":
			if !r.ok {
				return st.held != 0 && r.token == st.held, st
			}
			return st.held == 0 && r.token > st.last, lockState{r.token, r.token}
		case "renew":
			return r.ok == (st.held == op.token), st
		case "release":
			if r.ok != (st.held == op.token) {
				return false, st
			}
			if r.ok {
				st.held = 0
			}
			return true, st
		default:
			return r.token == st.held, st
		}
	},
}

// Whatever clients do with a lock at the same time, it is as if they had done it one after another.
func TestUserLockIsLinearizable(t *testing.T) {
	ctx, f := within(t), start(t)
	const clients, rounds = 6, 60
	began := time.Now()
	var mu sync.Mutex
	var ops []porcupine.Operation
	var seen []uint64 // tokens that anybody got
	var all sync.WaitGroup
	for c := range clients {
		rnd := rand.New(rand.NewPCG(1, uint64(c)))
		all.Go(func() {
			for range rounds {
				op := lockOp{kind: []string{"acquire", "renew", "release", "get"}[rnd.IntN(4)]}
				mu.Lock()
				if n := len(seen); n > 0 { // mostly the last one, sometimes an old one, anybody's
					op.token = seen[max(0, n-1-rnd.IntN(3))]
				}
				mu.Unlock()
				if op.token == 0 && (op.kind == "renew" || op.kind == "release") {
					continue
				}
				call := time.Since(began).Nanoseconds()
				var r lockResult
				var err error
				switch op.kind {
				case "acquire":
					var l UserLock
					var held *LeaseHeldError
					if l, err = f.AcquireLock(ctx, "l", fmt.Sprint(c), time.Hour, 0); errors.As(err, &held) {
						r.token, err = held.Token, nil
					} else if err == nil {
						r = lockResult{true, l.Token}
					}
				case "renew":
					_, err = f.RenewLock(ctx, "l", op.token, time.Hour)
					r.ok = err == nil
				case "release":
					err = f.ReleaseLock(ctx, "l", op.token)
					r.ok = err == nil
				default:
					var l UserLock
					l, r.ok, err = f.GetLock(ctx, "l")
					r.token = l.Token
				}
				end := time.Since(began).Nanoseconds()
				if err != nil && !errors.Is(err, ErrLeaseLost) {
					t.Error(err)
				}
				mu.Lock()
				ops = append(ops, porcupine.Operation{ClientId: c, Input: op, Call: call, Output: r, Return: end})
				if op.kind == "acquire" && r.ok {
					seen = append(seen, r.token)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) < 3 {
		t.Fatalf("it was acquired %d times in %d calls", len(seen), len(ops))
	}
	if res := porcupine.CheckOperationsTimeout(lockModel, ops, 20*time.Second); res != porcupine.Ok {
		t.Fatalf("%d calls, of which %d acquired: %v", len(ops), len(seen), res)
	}
	// The model would notice: one more who gets it at the end, though it is held.
	last := time.Since(began).Nanoseconds()
	bad := append(slices.Clone(ops), porcupine.Operation{ClientId: 0, Input: lockOp{kind: "acquire"}, Call: last, Output: lockResult{true, 1 << 40}, Return: last + 1},
		porcupine.Operation{ClientId: 0, Input: lockOp{kind: "acquire"}, Call: last + 2, Output: lockResult{true, 1 << 41}, Return: last + 3})
	if porcupine.CheckOperationsTimeout(lockModel, bad, 20*time.Second) != porcupine.Illegal {
		t.Error("the model takes two holders")
	}
}

// On three nodes: who waits on one node gets what is released, or expires, on another; lists are the same; members and
// services of one are seen on another; a node that is stopped takes no lock with it.
func TestCoordinationOfACluster(t *testing.T) {
	c := newCluster(t, 3)
	for i := range 3 {
		c.start(i)
	}
	c.ready()
	a, b, d := c.nodes[0], c.nodes[1], c.nodes[2]
	held := lock(t, a, "l", "a", time.Hour, 0)
	got := make(chan UserLock, 1)
	go func() {
		l, err := b.AcquireLock(within(t), "l", "b", 2*time.Second, 30*time.Second)
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	waitFor(t, "b waits", func() bool {
		b.users.mu.Lock()
		defer b.users.mu.Unlock()
		return b.users.waiters > 0
	})
	if _, err := d.RenewLock(within(t), "l", held.Token, time.Hour); err != nil {
		t.Errorf("renew on another node: %v", err)
	}
	if err := d.ReleaseLock(within(t), "l", held.Token); err != nil {
		t.Fatal(err)
	}
	next := <-got
	if next.Token <= held.Token {
		t.Errorf("token %d after %d", next.Token, held.Token)
	}
	last := lock(t, d, "l", "d", time.Hour, 30*time.Second) // when it has expired
	for _, f := range []*Fabric{a, b, d} {
		if list, err := f.Locks(within(t)); err != nil || len(list) != 1 || list[0].Token != last.Token {
			t.Errorf("locks on %s: %+v %v", f.name, list, err)
		}
	}
	if _, err := a.RenewLock(within(t), "l", held.Token, time.Hour); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("an old token: %v", err)
	}
	checkGroupOfACluster(t, a, b)
	checkServiceOfACluster(t, a, b)
	d.Close(context.Background())
	if _, err := b.RenewLock(within(t), "l", last.Token, time.Hour); err != nil {
		t.Errorf("renew with a node less: %v", err)
	}
}

// checkGroupOfACluster has members on one node and watches them on another.
func checkGroupOfACluster(t *testing.T, a, b *Fabric) {
	t.Helper()
	ctx := within(t)
	w, there, err := b.WatchGroup(ctx, "g")
	if err != nil || len(there) != 0 {
		t.Fatal(there, err)
	}
	defer w.Close()
	for _, ttl := range []time.Duration{time.Hour, time.Second} {
		if _, err := a.Heartbeat(ctx, "g", "m", ttl, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{MemberJoined, MemberLeft} {
		if e, err := w.Next(ctx); err != nil || e.Kind != want || e.Member.Name != "m" {
			t.Fatalf("%+v %v, want %s", e, err, want)
		}
	}
}

// checkServiceOfACluster calls a service on another node than it is connected to.
func checkServiceOfACluster(t *testing.T, a, b *Fabric) {
	t.Helper()
	s := addService(t, a.clients, "remote", nil, map[string]micro.HandlerFunc{"remote": func(r micro.Request) { r.Respond(r.Data()) }})
	defer s.Stop()
	waitFor(t, "the other node knows of the service", func() bool {
		m, err := b.CallService(within(t), ServiceCall{Name: "remote", Data: []byte("x")})
		if err != nil && !errors.Is(err, ErrNoService) {
			t.Fatal(err)
		}
		return err == nil && string(m.Data) == "x"
	})
}

// When there are as many as there may be, those there are can still be renewed and given up.
func TestUserLocksAreBounded(t *testing.T) {
	ctx, f := within(t), start(t)
	s, err := f.openUsers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.MaxMsgs != MaxUserLeases {
		t.Errorf("at most %d", cfg.MaxMsgs)
	}
	cfg.MaxMsgs = 3
	if _, err := f.js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	a := lock(t, f, "a", "x", time.Minute, 0)
	lock(t, f, "b", "x", time.Minute, 0)
	if _, err := f.Heartbeat(ctx, "g", "m", time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.AcquireLock(ctx, "c", "x", time.Minute, 0); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrUnknown) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := f.RenewLock(ctx, "a", a.Token, time.Second); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := f.ReleaseLock(ctx, "a", a.Token); err != nil {
		t.Errorf("release: %v", err)
	}
	if again := lock(t, f, "a", "y", time.Minute, 0); again.Token <= a.Token {
		t.Errorf("token %d after %d", again.Token, a.Token)
	}
}

func BenchmarkUserLock(b *testing.B) {
	ctx, f := context.Background(), start(b)
	for b.Loop() {
		l, err := f.AcquireLock(ctx, "l", "o", time.Minute, 0)
		if err == nil {
			err = f.ReleaseLock(ctx, "l", l.Token)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
