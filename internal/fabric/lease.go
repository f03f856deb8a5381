package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MinLeaseTTL is the shortest lease; the server counts in whole seconds.
	MinLeaseTTL = time.Second

	leaseStream  = streamPrefix + "=leases" // no log's name is escaped to this
	leaseSubject = "_tm.lease."
	// leaseTry bounds one try at a lease in a cluster, leaseWait all of them: an election takes up to 9 seconds.
	leaseTry  = time.Second
	leaseWait = 12 * time.Second
	ttlHeader = "Nats-TTL"
)

// Lease says that its owner should act for a name, until its deadline. It is for liveness only: a process may be
// stopped between looking at its lease and acting, so what it does must be fenced by an append.
type Lease struct {
	f     *Fabric
	name  string
	owner string
	token uint64
	ttl   time.Duration
	nonce string // tells that a message is of this very lease

	mu       sync.Mutex
	revision uint64
	deadline time.Time // by our clock, counted from before the request that got it
	asked    time.Time // the first of the requests whose outcome is not known; zero: there is none
}

// LeaseHeldError says who holds a lease.
type LeaseHeldError struct {
	Name, Owner string
	Token       uint64
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("%v: %q by %q (token %d)", ErrLeaseHeld, e.Name, e.Owner, e.Token)
}

// Is reports whether target is ErrLeaseHeld.
func (e *LeaseHeldError) Is(target error) bool { return target == ErrLeaseHeld }

type leaseValue struct {
	Owner string `json:"owner"`
	Token uint64 `json:"token"` // 0: the sequence of the message itself
	Nonce string `json:"nonce,omitempty"`
}

// AcquireLease takes the lease of that name for owner if nobody holds it; a holder is refused too, even with the same
// owner, so that two processes that call themselves the same cannot both hold it. ttl is rounded up to whole seconds,
// at least MinLeaseTTL. The token is greater than that of every earlier holder. In a cluster that is electing it waits
// for some seconds. Errors: ErrLeaseHeld; ErrUnknown, after which the lease may be held until it expires;
// ErrUnavailable, ErrClosed.
func (f *Fabric) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (*Lease, error) {
	l := &Lease{f: f, name: name, owner: owner, ttl: wholeSeconds(ttl), nonce: f.nextID()}
	fail := func(err error) (*Lease, error) {
		return nil, fmt.Errorf("acquire lease %q for %q: %w", name, owner, f.orClosed(err))
	}
	if name == "" || len(name) > MaxLogNameBytes {
		return fail(fmt.Errorf("name has %d bytes, want 1 to %d", len(name), MaxLogNameBytes))
	}
	if err := f.openLeases(ctx); err != nil {
		return fail(notFound(err))
	}
	err := l.insist(ctx, time.Now().Add(leaseWait))
	if !errors.Is(err, ErrLeaseLost) {
		if err != nil {
			return fail(err)
		}
		return l, nil
	}
	held := &LeaseHeldError{Name: name}
	if seq, value, err := l.last(ctx); err == nil {
		held.Owner, held.Token = value.Owner, value.Token
		if held.Token == 0 {
			held.Token = seq
		}
	}
	return fail(held)
}

// openLeases opens the stream that holds all leases, one message each, creating it if it is not there.
func (f *Fabric) openLeases(ctx context.Context) error {
	return f.settle(ctx, func(ctx context.Context) error {
		_, err := f.js.Stream(ctx, leaseStream)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		_, err = f.createStream(ctx, jetstream.StreamConfig{
			Name: leaseStream, Subjects: []string{leaseSubject + "*"}, Storage: jetstream.FileStorage, Replicas: f.copies(),
			MaxMsgsPerSubject: 1, AllowMsgTTL: true, MaxMsgs: -1, MaxBytes: -1,
		})
		return err
	})
}

// insist writes the lease until it is known what became of it. Alone it tries once; in a cluster, where a leader may
// have died or be being elected, until the given time.
func (l *Lease) insist(ctx context.Context, until time.Time) error {
	if l.f.cluster == nil {
		ctx, cancel := l.f.withTimeout(ctx)
		defer cancel()
		err := l.write(ctx)
		if errors.Is(err, ErrLeaseLost) && l.Token() != 0 {
			if _, ours := l.adopt(ctx); ours {
				err = l.write(ctx)
			}
		}
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var unsure error
	for {
		try, end := context.WithTimeout(ctx, leaseTry)
		err := l.write(try)
		if errors.Is(err, ErrLeaseLost) && (unsure != nil || l.Token() != 0) {
			later, ours := l.adopt(try)
			switch {
			case ours && !later: // a write of ours is still being replicated, or its refusal has crossed it
				err = fmt.Errorf("%w: %w", ErrUnavailable, errWriteUnderWay)
			case ours && l.Valid():
				err = nil
			case ours:
				err = l.write(try)
			}
		}
		end()
		if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) || l.f.closing.Load() {
			return err
		}
		if errors.Is(err, ErrUnknown) {
			unsure = err
		}
		if pause(ctx, tryPause); ctx.Err() != nil {
			return errors.Join(err, unsure) // unknown if any try was
		}
	}
}

var errWriteUnderWay = errors.New("an earlier write is under way")

// last reads the lease's message.
func (l *Lease) last(ctx context.Context) (seq uint64, value leaseValue, err error) {
	var msg *jetstream.RawStreamMsg
	err = l.f.ask(ctx, func(ctx context.Context) error {
		stream, err := l.f.js.Stream(ctx, leaseStream)
		if err == nil {
			msg, err = stream.GetLastMsgForSubject(ctx, l.subject())
		}
		return err
	})
	if err == nil {
		err = json.Unmarshal(msg.Data, &value)
	}
	if err != nil {
		return 0, leaseValue{}, err
	}
	return msg.Sequence, value, nil
}

func wholeSeconds(ttl time.Duration) time.Duration {
	return max((ttl + time.Second - 1).Truncate(time.Second), MinLeaseTTL)
}

func (l *Lease) subject() string { return leaseSubject + escapeName(l.name) }

// write puts the lease in place if the last message of its subject is our revision. ErrLeaseLost if it is not.
func (l *Lease) write(ctx context.Context) error {
	l.mu.Lock()
	revision := l.revision
	if l.asked.IsZero() {
		l.asked = time.Now()
	}
	l.mu.Unlock()
	value, err := json.Marshal(leaseValue{Owner: l.owner, Token: l.token, Nonce: l.nonce})
	if err != nil {
		return err
	}
	asked := time.Now()
	reply, err := l.f.internal.RequestMsgWithContext(ctx, &nats.Msg{Subject: l.subject(), Data: value, Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: []string{formatUint(revision)},
		ttlHeader:                           []string{l.ttl.String()},
	}})
	if err = l.f.sendError(err); err != nil {
		return err
	}
	ack, err := parseAck(reply.Data)
	if err != nil {
		return unknown(err)
	}
	if ack.Error != nil {
		if isWrongSequence(ack.Error) {
			return ErrLeaseLost
		}
		return writeRefusal(ack.Error)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision, l.deadline, l.asked = ack.Seq, asked.Add(l.ttl), time.Time{}
	if l.token == 0 {
		l.token = ack.Seq
	}
	return nil
}

// Renew holds the lease for another time to live. Not for concurrent use. In a cluster that is electing it waits, at
// most until the deadline. Errors: ErrLeaseLost: it expired or somebody else has it; ErrUnknown: it may have been
// renewed, try again before the deadline.
func (l *Lease) Renew(ctx context.Context) error {
	until := l.Deadline()
	if least := time.Now().Add(leaseTry); until.Before(least) {
		until = least
	}
	if err := l.insist(ctx, until); err != nil {
		return fmt.Errorf("renew lease %q of %q: %w", l.name, l.owner, l.f.orClosed(err))
	}
	return nil
}

// adopt learns the revision of a write whose answer was lost: the nonce tells that it is ours. later reports whether
// it is another than the one we knew.
func (l *Lease) adopt(ctx context.Context) (later, ours bool) {
	seq, value, err := l.last(ctx)
	if err != nil || value.Nonce != l.nonce || value.Owner != l.owner {
		return false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token == 0 {
		l.token = seq
		if value.Token != 0 {
			l.token = value.Token
		}
	}
	later = seq != l.revision
	if l.revision = seq; later && !l.asked.IsZero() {
		l.deadline = l.asked.Add(l.ttl)
	}
	return later, true
}

// Release gives the lease up at once. ErrLeaseLost if it is no longer ours. The lease must not be used afterwards.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	revision := l.revision
	l.deadline = time.Time{}
	l.mu.Unlock()
	tries := 0
	err := l.f.settle(ctx, func(ctx context.Context) error {
		stream, err := l.f.js.Stream(ctx, leaseStream)
		if err == nil {
			err = stream.DeleteMsg(ctx, revision) // exactly our message, or none
		}
		if tries++; tries > 1 && errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return nil // by the try before, whose answer was lost
		}
		return err
	})
	if err != nil {
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
		return fmt.Errorf("release lease %q of %q: %w", l.name, l.owner, l.f.orClosed(err))
	}
	return nil
}

// Token returns the fencing token: the same through all renewals, greater for every later holder.
func (l *Lease) Token() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

// Owner returns who acquired the lease.
func (l *Lease) Owner() string { return l.owner }

// Deadline returns until when the lease is held by our own clock, if it is not renewed.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline
}

// Valid reports whether the deadline lies ahead.
func (l *Lease) Valid() bool { return time.Now().Before(l.Deadline()) }
