package fabric

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxUnverified is after what time without a word of something it is looked whether it is still there.
	maxUnverified = time.Minute
	// expiryPause is between looks at something that should have expired, and followPause between tries to follow the
	// stream again that cannot be read.
	expiryPause = 20 * time.Millisecond
	followPause = time.Second
	// barrierTry is how long a list waits for this node to have seen what there is before it asks again what that is.
	barrierTry = time.Second
)

// userTable is what this node knows of users' leases: it follows their stream from when it is first asked, and looks
// itself when one should have expired, which the stream does not tell.
type userTable struct {
	f      *Fabric
	stream atomic.Pointer[jetstream.Stream] // once it is open

	mu       sync.Mutex
	follows  bool
	applied  uint64
	moved    chan struct{} // closed when applied rises; nil: nobody waits
	entries  map[string]*tableEntry
	order    expiryHeap
	nudge    chan struct{} // one token: the first of order has changed
	points   map[string]*lockPoint
	waiters  int
	watching map[string]map[*GroupWatch]struct{} // by group
	watches  int
}

// tableEntry is one lease that is held.
type tableEntry struct {
	userEntry
	subject string
	until   time.Time // when it should have expired, by our own clock
	check   time.Time // when to look
	at      int       // in the heap
}

// lockPoint is where those wait who want a lock.
type lockPoint struct {
	subject string
	turn    chan struct{} // has a place for the one whose turn it is
	free    chan struct{} // closed when the lock may be free
	refs    int
}

func newUserTable(f *Fabric) *userTable {
	return &userTable{f: f, entries: map[string]*tableEntry{}, nudge: make(chan struct{}, 1),
		points: map[string]*lockPoint{}, watching: map[string]map[*GroupWatch]struct{}{}}
}

// begin follows the stream, if that is not done already.
func (t *userTable) begin(ctx context.Context) error {
	t.mu.Lock()
	follows := t.follows
	t.mu.Unlock()
	if follows {
		return nil
	}
	if err := t.f.settle(ctx, func(ctx context.Context) error {
		_, err := t.f.openUsers(ctx)
		return err
	}); err != nil {
		return err
	}
	t.mu.Lock()
	follows, t.follows = t.follows, true
	t.mu.Unlock()
	if !follows && (!t.f.goRun(t.follow) || !t.f.goRun(t.expire)) {
		return ErrClosed
	}
	return nil
}

// follow keeps the table up to date until the Fabric closes.
func (t *userTable) follow() {
	f := t.f
	for !f.closing.Load() {
		cur, err := openCursor(f.life, f, f.internal, userStream, 1, "")
		for err == nil {
			var rec streamRecord
			if rec, err = cur.next(f.life); err == nil {
				t.apply(rec)
			}
		}
		if cur != nil {
			cur.stop()
		}
		if f.closing.Load() || f.life.Err() != nil {
			return
		}
		f.log(slog.LevelWarn, fmt.Sprintf("follow locks and members: %v", err))
		if errors.Is(notFound(err), ErrNotFound) {
			t.stream.Store(nil)
		}
		pause(f.life, followPause)
	}
}

// apply takes a message of the stream.
func (t *userTable) apply(rec streamRecord) {
	e := userEntry{seq: rec.Seq, time: rec.Time}
	err := json.Unmarshal(rec.Data, &e.value)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.applied = max(t.applied, rec.Seq); t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
	old := t.entries[rec.Subject]
	if old != nil && old.seq >= e.seq {
		return // it is read again, from a copy that is behind
	}
	if err != nil || e.value.Free {
		t.remove(rec.Subject)
		return
	}
	now := time.Now()
	x := &tableEntry{userEntry: e, subject: rec.Subject, until: now.Add(e.value.TTL - min(max(now.Sub(e.time), 0), e.value.TTL))}
	x.check = earlier(x.until, now.Add(maxUnverified))
	if old != nil {
		x.at = old.at
		t.order[x.at] = x
		heap.Fix(&t.order, x.at)
	} else {
		heap.Push(&t.order, x)
	}
	t.entries[rec.Subject] = x
	t.wake()
	t.tell(old, x)
}

// wake tells expire that the first to look at has changed.
func (t *userTable) wake() {
	select {
	case t.nudge <- struct{}{}:
	default:
	}
}

// remove forgets what there is under a subject, and tells whoever waits for that. t.mu is held.
func (t *userTable) remove(subject string) {
	if x := t.entries[subject]; x != nil {
		delete(t.entries, subject)
		heap.Remove(&t.order, x.at)
		t.tell(x, nil)
	}
	if p := t.points[subject]; p != nil {
		close(p.free)
		p.free = make(chan struct{})
	}
}

// expire looks at what should have expired until the Fabric closes.
func (t *userTable) expire() {
	timer := time.NewTimer(maxUnverified)
	defer timer.Stop()
	for {
		t.mu.Lock()
		wait, subject, seq := maxUnverified, "", uint64(0)
		if len(t.order) > 0 {
			x := t.order[0]
			wait, subject, seq = time.Until(x.check), x.subject, x.seq
		}
		t.mu.Unlock()
		if subject != "" && wait <= 0 {
			t.verify(subject, seq)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-t.nudge:
		case <-t.f.closed:
			return
		}
	}
}

// verify asks the stream's leader whether something is still there.
func (t *userTable) verify(subject string, seq uint64) {
	ctx, cancel := context.WithTimeout(t.f.life, tryTimeout)
	e, err := t.f.userLast(ctx, subject)
	cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.entries[subject]
	if x == nil || x.seq != seq {
		return // it has changed meanwhile
	}
	now := time.Now()
	switch {
	case err == nil && (e.seq == 0 || e.seq > seq && !e.held()):
		t.remove(subject)
		return
	case err != nil || e.seq != seq: // or a newer one that the stream is about to tell
		x.check = now.Add(followPause)
	case now.Before(x.until):
		x.check = earlier(x.until, now.Add(maxUnverified))
	default:
		x.check = now.Add(expiryPause)
	}
	heap.Fix(&t.order, x.at)
}

// join counts among those who wait for a lock.
func (t *userTable) join(ctx context.Context, subject string) (*lockPoint, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiters >= MaxLockWaiters {
		return nil, fmt.Errorf("%w: %d wait for locks on this node", ErrUnavailable, t.waiters)
	}
	t.waiters++
	p := t.points[subject]
	if p == nil {
		p = &lockPoint{subject: subject, turn: make(chan struct{}, 1), free: make(chan struct{})}
		t.points[subject] = p
	}
	p.refs++
	return p, nil
}

func (t *userTable) leave(p *lockPoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiters--
	if p.refs--; p.refs == 0 {
		delete(t.points, p.subject)
	}
}

// freed is closed when the lock is given up or expires.
func (t *userTable) freed(p *lockPoint) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.free
}

// barrier waits until the table has all that was written before.
func (t *userTable) barrier(ctx context.Context) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	return t.f.ask(ctx, func(ctx context.Context) error {
		for {
			s, err := t.f.openUsers(ctx)
			if err != nil {
				return err
			}
			msg, err := s.GetLastMsgForSubject(ctx, userSubject+">")
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			try, end := context.WithTimeout(ctx, barrierTry)
			err = t.reach(try, msg.Sequence)
			end()
			if err == nil || ctx.Err() != nil {
				return err
			}
		}
	})
}

// reach waits until the message of that sequence, or a later one, was applied.
func (t *userTable) reach(ctx context.Context, seq uint64) error {
	for {
		t.mu.Lock()
		if t.applied >= seq {
			t.mu.Unlock()
			return nil
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.f.closed:
			return ErrClosed
		}
	}
}

// list returns what is held under subjects with that prefix, in the order of the subjects.
func (t *userTable) list(prefix string) []userEntry {
	var subjects []string
	for s := range t.entries {
		if strings.HasPrefix(s, prefix) {
			subjects = append(subjects, s)
		}
	}
	slices.Sort(subjects)
	out := make([]userEntry, len(subjects))
	for i, s := range subjects {
		out[i] = t.entries[s].userEntry
	}
	return out
}

// Locks lists the locks that are held, in the order of their names.
func (f *Fabric) Locks(ctx context.Context) ([]UserLock, error) {
	if err := f.users.barrier(ctx); err != nil {
		return nil, fmt.Errorf("list locks: %w", f.orClosed(err))
	}
	f.users.mu.Lock()
	list := f.users.list(lockSubject)
	f.users.mu.Unlock()
	locks := make([]UserLock, len(list))
	for i := range list {
		locks[i] = list[i].lock()
	}
	slices.SortFunc(locks, func(a, b UserLock) int { return strings.Compare(a.Name, b.Name) })
	return locks, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// expiryHeap has the entry first that is to be looked at first.
type expiryHeap []*tableEntry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].check.Before(h[j].check) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }
func (h *expiryHeap) Push(x any)        { e := x.(*tableEntry); e.at = len(*h); *h = append(*h, e) }
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}
