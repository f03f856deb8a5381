package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The bounds of locks and members, which are leases of users' programs.
const (
	// MinUserTTL and MaxUserTTL bound for how long a lock or a membership holds. It is rounded up to whole seconds.
	MinUserTTL = MinLeaseTTL
	MaxUserTTL = 24 * time.Hour
	// MaxUserNameBytes bounds the names of locks, owners, groups and members.
	MaxUserNameBytes = 128
	// MaxMemberBytes bounds what a member says of itself, as JSON.
	MaxMemberBytes = 4 << 10
	// MaxUserLeases bounds the locks and memberships there are, with those that were given up within freedTTL.
	MaxUserLeases = 65536
	// MaxLockWait bounds how long one acquires.
	MaxLockWait = 5 * time.Minute
	// MaxLockWaiters bounds the waits for locks on a node.
	MaxLockWaiters = 1024

	userStream    = streamPrefix + "=users" // no log's name is escaped to this
	userSubject   = "_tm.user."
	lockSubject   = userSubject + "lock."
	memberSubject = userSubject + "member."
	// freedTTL is for how long it is kept that something was given up, so that every node hears of it.
	freedTTL = time.Minute
	// maxRaces bounds how often a change is tried that others come before, each time racePause later.
	maxRaces  = 50
	racePause = time.Millisecond
	// lockLook is how often who waits for a lock looks for itself, should nobody tell.
	lockLook = 2 * time.Second
)

// ErrInvalid: an argument is out of its bounds; nothing happened.
var ErrInvalid = errors.New("invalid argument")

// errStaleRead: what was read is older than what the caller has seen.
var errStaleRead = fmt.Errorf("%w: the state that was read is older than the token", ErrUnavailable)

// UserLock is a lock that a user's program holds: a lease with a fencing token, kept apart from the nodes' own.
type UserLock struct {
	Name, Owner string
	Token       uint64    // greater than that of every earlier holder, the same through all renewals
	Expires     time.Time // about when, by this node's clock
}

// LockLostError says that a lock is not held with that token.
type LockLostError struct {
	Name   string
	Token  uint64
	Holder *UserLock // who holds it instead; nil: nobody
}

func (e *LockLostError) Error() string {
	if e.Holder != nil {
		return fmt.Sprintf("%v: %q with token %d: %q holds it with token %d", ErrLeaseLost, e.Name, e.Token, e.Holder.Owner, e.Holder.Token)
	}
	return fmt.Sprintf("%v: %q with token %d: it was released or has expired", ErrLeaseLost, e.Name, e.Token)
}

// Is reports whether target is ErrLeaseLost.
func (e *LockLostError) Is(target error) bool { return target == ErrLeaseLost }

// userValue is a message of the stream of users' leases.
type userValue struct {
	Group string          `json:"group,omitempty"` // of a member
	Name  string          `json:"name"`
	Owner string          `json:"owner,omitempty"` // of a lock
	Token uint64          `json:"token,omitempty"` // 0: the sequence of the message itself
	Nonce string          `json:"nonce"`           // of the call that wrote it
	TTL   time.Duration   `json:"ttl"`
	Since int64           `json:"since,omitempty"` // Unix microseconds; 0: the time of the message itself
	Free  bool            `json:"free,omitempty"`  // it was given up
	Data  json.RawMessage `json:"data,omitempty"`
}

// userEntry is what there is under a subject.
type userEntry struct {
	seq   uint64 // 0: nothing
	time  time.Time
	value userValue
}

func (e *userEntry) held() bool { return e.seq != 0 && !e.value.Free }

func (e *userEntry) token() uint64 {
	if e.value.Token != 0 {
		return e.value.Token
	}
	return e.seq
}

func (e *userEntry) since() time.Time {
	if e.value.Since != 0 {
		return time.UnixMicro(e.value.Since)
	}
	return e.time
}

func (e *userEntry) lock() UserLock {
	return UserLock{Name: e.value.Name, Owner: e.value.Owner, Token: e.token(), Expires: e.time.Add(e.value.TTL)}
}

// AcquireLock takes the lock of that name for owner if nobody holds it; a holder is refused too, even with the same
// owner. When it is held it waits for so long; those who wait on a node have it one after another. Errors:
// *LeaseHeldError; ErrInvalid; ErrNoSpace: there are MaxUserLeases; ErrUnknown, after which it may be held until it
// expires; ErrUnavailable, also when MaxLockWaiters wait; ErrClosed.
func (f *Fabric) AcquireLock(ctx context.Context, name, owner string, ttl, wait time.Duration) (UserLock, error) {
	fail := func(err error) (UserLock, error) {
		return UserLock{}, fmt.Errorf("acquire lock %q for %q: %w", name, owner, f.orClosed(err))
	}
	err := errors.Join(checkUserName("lock", name), checkUserName("owner", owner), checkUserTTL(ttl))
	if err == nil && (wait < 0 || wait > MaxLockWait) {
		err = fmt.Errorf("%w: wait of %v, want 0 to %v", ErrInvalid, wait, MaxLockWait)
	}
	if err != nil {
		return fail(err)
	}
	lock, err := f.tryLock(ctx, name, owner, ttl)
	if wait > 0 && errors.Is(err, ErrLeaseHeld) {
		lock, err = f.waitLock(ctx, name, owner, ttl, wait, err)
	}
	if err != nil {
		return fail(err)
	}
	return lock, nil
}

func (f *Fabric) tryLock(ctx context.Context, name, owner string, ttl time.Duration) (UserLock, error) {
	e, err := f.change(ctx, lockSubject+escapeName(name), func(cur userEntry) (userValue, error) {
		if cur.held() {
			return userValue{}, &LeaseHeldError{Name: name, Owner: cur.value.Owner, Token: cur.token()}
		}
		return userValue{Name: name, Owner: owner, TTL: wholeSeconds(ttl)}, nil
	})
	return e.lock(), err
}

// waitLock waits for a lock that is held, as held says.
func (f *Fabric) waitLock(ctx context.Context, name, owner string, ttl, wait time.Duration, held error) (UserLock, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	p, err := f.users.join(ctx, lockSubject+escapeName(name))
	if err != nil {
		return UserLock{}, err
	}
	defer f.users.leave(p)
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-end.C:
		return UserLock{}, held
	case <-ctx.Done():
		return UserLock{}, ctx.Err()
	case <-f.closed:
		return UserLock{}, ErrClosed
	}
	look := time.NewTimer(lockLook)
	defer look.Stop()
	for {
		freed := f.users.freed(p) // before the lock is looked at: what happens after it is heard
		lock, err := f.tryLock(ctx, name, owner, ttl)
		if !errors.Is(err, ErrLeaseHeld) {
			return lock, err
		}
		look.Reset(lockLook)
		select {
		case <-freed:
		case <-look.C:
		case <-end.C:
			return UserLock{}, err
		case <-ctx.Done():
			return UserLock{}, ctx.Err()
		case <-f.closed:
			return UserLock{}, ErrClosed
		}
	}
}

// RenewLock holds a lock for another time to live, from now on. Errors: *LockLostError, which is ErrLeaseLost, and
// those of AcquireLock.
func (f *Fabric) RenewLock(ctx context.Context, name string, token uint64, ttl time.Duration) (UserLock, error) {
	err := errors.Join(checkUserName("lock", name), checkUserTTL(ttl))
	var e userEntry
	if err == nil {
		e, err = f.change(ctx, lockSubject+escapeName(name), func(cur userEntry) (userValue, error) {
			if err := f.holds(ctx, cur, name, token); err != nil {
				return userValue{}, err
			}
			return userValue{Name: name, Owner: cur.value.Owner, Token: token, TTL: wholeSeconds(ttl)}, nil
		})
	}
	if err != nil {
		return UserLock{}, fmt.Errorf("renew lock %q: %w", name, f.orClosed(err))
	}
	return e.lock(), nil
}

// ReleaseLock gives a lock up. Errors as of RenewLock; ErrUnknown also when it is no longer held but it is not known
// whether that was this call's doing.
func (f *Fabric) ReleaseLock(ctx context.Context, name string, token uint64) error {
	err := checkUserName("lock", name)
	if err == nil {
		_, err = f.change(ctx, lockSubject+escapeName(name), func(cur userEntry) (userValue, error) {
			if err := f.holds(ctx, cur, name, token); err != nil {
				return userValue{}, err
			}
			return userValue{Name: name, Token: token, TTL: freedTTL, Free: true}, nil
		})
	}
	if err != nil {
		return fmt.Errorf("release lock %q: %w", name, f.orClosed(err))
	}
	return nil
}

// holds tells whether cur, which was read, is held with token. A leader that was cut off may give what was before.
func (f *Fabric) holds(ctx context.Context, cur userEntry, name string, token uint64) error {
	if cur.held() && cur.token() == token {
		return nil
	}
	if f.cluster != nil && cur.seq < token {
		if cur.seq > 0 {
			return errStaleRead
		}
		if last, err := f.streamInfo(ctx, userStream); err != nil || last.State.LastSeq < token {
			return errors.Join(errStaleRead, err)
		}
	}
	lost := &LockLostError{Name: name, Token: token}
	if cur.held() {
		l := cur.lock()
		lost.Holder = &l
	}
	return lost
}

// GetLock returns the lock of that name; false if nobody holds it.
func (f *Fabric) GetLock(ctx context.Context, name string) (UserLock, bool, error) {
	err := checkUserName("lock", name)
	var e userEntry
	if err == nil {
		err = f.ask(ctx, func(ctx context.Context) (err error) {
			e, err = f.userLast(ctx, lockSubject+escapeName(name))
			return err
		})
	}
	if err != nil {
		return UserLock{}, false, fmt.Errorf("lock %q: %w", name, f.orClosed(err))
	}
	if !e.held() {
		return UserLock{}, false, nil
	}
	return e.lock(), true, nil
}

// openUsers opens the stream of users' leases, creating it if it is not there.
func (f *Fabric) openUsers(ctx context.Context) (jetstream.Stream, error) {
	if s := f.users.stream.Load(); s != nil {
		return *s, nil
	}
	s, err := f.js.Stream(ctx, userStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = f.createStream(ctx, jetstream.StreamConfig{
			Name: userStream, Subjects: []string{userSubject + ">"}, Storage: jetstream.FileStorage, Replicas: f.copies(),
			MaxMsgsPerSubject: 1, AllowMsgTTL: true, MaxMsgs: MaxUserLeases, MaxBytes: -1, Discard: jetstream.DiscardNew,
		})
	}
	if err != nil {
		return nil, err
	}
	f.users.stream.Store(&s)
	return s, nil
}

// userLast reads what there is under a subject, by the word of the stream's leader.
func (f *Fabric) userLast(ctx context.Context, subject string) (userEntry, error) {
	s, err := f.openUsers(ctx)
	if err != nil {
		return userEntry{}, err
	}
	msg, err := s.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return userEntry{}, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		f.users.stream.Store(nil)
		return userEntry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return userEntry{}, err
	}
	e := userEntry{seq: msg.Sequence, time: msg.Time}
	if err := json.Unmarshal(msg.Data, &e.value); err != nil {
		return userEntry{}, fmt.Errorf("%w: message %d of %s: %w", ErrDamaged, msg.Sequence, userStream, err)
	}
	return e, nil
}

// change reads what there is under a subject and writes what decide makes of it if nothing came between, again and
// again until it is known what became of it. Alone it gives up after one time-out, in a cluster after leaseWait. An
// error of decide ends it.
func (f *Fabric) change(ctx context.Context, subject string, decide func(cur userEntry) (userValue, error)) (userEntry, error) {
	wait, tryFor := f.timeout, f.timeout
	if f.cluster != nil {
		wait, tryFor = leaseWait, leaseTry
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var unsure error    // what was sent may have been written, or be yet
	var sent userValue  // with its nonce
	var expected uint64 // what sent comes after
	for races := 0; ; {
		try, end := context.WithTimeout(ctx, tryFor)
		cur, err := f.userLast(try, subject)
		if err == nil && unsure != nil && cur.value.Nonce == sent.Nonce {
			end()
			return cur, nil
		}
		if err == nil && (unsure == nil || cur.seq != expected) {
			var next userValue
			if next, err = decide(cur); err == nil {
				sent, expected = next, cur.seq
				sent.Nonce = f.nextID()
			} else if !errors.Is(err, ErrUnavailable) {
				end()
				if unsure != nil && sent.Free {
					err = unsure // whether it was given up by us is not known
				}
				return userEntry{}, err
			}
		}
		if err == nil {
			var e userEntry
			if e, err = f.putUser(try, subject, sent, expected); err == nil {
				end()
				return e, nil
			}
		}
		end()
		switch {
		case errors.Is(err, ErrWrongSequence):
			if races++; races > maxRaces {
				return userEntry{}, errors.Join(fmt.Errorf("%w: others came before %d times", ErrUnavailable, races), unsure)
			}
			pause(ctx, time.Duration(races)*racePause)
			continue
		case errors.Is(err, ErrUnknown):
			unsure = err
		case !temporary(err):
			return userEntry{}, err
		}
		if f.cluster == nil || f.closing.Load() || ctx.Err() != nil {
			if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			return userEntry{}, errors.Join(err, unsure) // unknown if any try was
		}
		pause(ctx, tryPause)
	}
}

// putUser writes a value if the last message of its subject is the expected one. ErrWrongSequence if it is not.
func (f *Fabric) putUser(ctx context.Context, subject string, value userValue, expected uint64) (userEntry, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return userEntry{}, err
	}
	asked := time.Now()
	reply, err := f.internal.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: []string{formatUint(expected)},
		ttlHeader:                           []string{value.TTL.String()},
	}})
	if err = f.sendError(err); err != nil {
		return userEntry{}, err
	}
	ack, err := parseAck(reply.Data)
	if err != nil {
		return userEntry{}, unknown(err)
	}
	if ack.Error != nil {
		if isWrongSequence(ack.Error) {
			return userEntry{}, ErrWrongSequence
		}
		return userEntry{}, writeRefusal(ack.Error)
	}
	return userEntry{seq: ack.Seq, time: asked, value: value}, nil
}

func checkUserName(what, name string) error {
	if name == "" || len(name) > MaxUserNameBytes || !utf8.ValidString(name) {
		return fmt.Errorf("%w: name of the %s has %d bytes, want 1 to %d of UTF-8", ErrInvalid, what, len(name), MaxUserNameBytes)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("%w: name of the %s, %q, has control characters", ErrInvalid, what, name)
		}
	}
	return nil
}

func checkUserTTL(ttl time.Duration) error {
	if ttl < MinUserTTL || ttl > MaxUserTTL {
		return fmt.Errorf("%w: time to live of %v, want %v to %v", ErrInvalid, ttl, MinUserTTL, MaxUserTTL)
	}
	return nil
}
