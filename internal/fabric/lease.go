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
	ttlHeader    = "Nats-TTL"
)

// Lease says that its owner should act for a name, until its deadline. It is for liveness only: a process may be
// stopped between looking at its lease and acting, so what it does must be fenced by an append.
type Lease struct {
	f     *Fabric
	name  string
	owner string
	token uint64
	ttl   time.Duration

	mu       sync.Mutex
	revision uint64
	deadline time.Time // by our clock, counted from before the request that got it
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
}

// AcquireLease takes the lease of that name for owner if nobody holds it; a holder is refused too, even with the same
// owner, so that two processes that call themselves the same cannot both hold it. ttl is rounded up to whole seconds,
// at least MinLeaseTTL. The token is greater than that of every earlier holder. Errors: ErrLeaseHeld; ErrUnknown, after
// which the lease may be held until it expires; ErrUnavailable, ErrClosed.
func (f *Fabric) AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (*Lease, error) {
	l := &Lease{f: f, name: name, owner: owner, ttl: wholeSeconds(ttl)}
	fail := func(err error) (*Lease, error) {
		return nil, fmt.Errorf("acquire lease %q for %q: %w", name, owner, f.orClosed(err))
	}
	if name == "" || len(name) > MaxLogNameBytes {
		return fail(fmt.Errorf("name has %d bytes, want 1 to %d", len(name), MaxLogNameBytes))
	}
	ctx, cancel := f.withTimeout(ctx)
	defer cancel()
	stream, err := f.openLeases(ctx)
	if err != nil {
		return fail(err)
	}
	err = l.write(ctx)
	if !errors.Is(err, ErrLeaseLost) {
		if err != nil {
			return fail(err)
		}
		return l, nil
	}
	held := &LeaseHeldError{Name: name}
	if msg, err := stream.GetLastMsgForSubject(ctx, l.subject()); err == nil {
		var value leaseValue
		if json.Unmarshal(msg.Data, &value) == nil {
			held.Owner, held.Token = value.Owner, value.Token
			if held.Token == 0 {
				held.Token = msg.Sequence
			}
		}
	}
	return fail(held)
}

// openLeases opens the stream that holds all leases, one message each, creating it if it is not there.
func (f *Fabric) openLeases(ctx context.Context) (jetstream.Stream, error) {
	stream, err := f.js.Stream(ctx, leaseStream)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	return f.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: leaseStream, Subjects: []string{leaseSubject + "*"}, Storage: jetstream.FileStorage,
		MaxMsgsPerSubject: 1, AllowMsgTTL: true, MaxMsgs: -1, MaxBytes: -1,
	})
}

func wholeSeconds(ttl time.Duration) time.Duration {
	return max((ttl + time.Second - 1).Truncate(time.Second), MinLeaseTTL)
}

func (l *Lease) subject() string { return leaseSubject + escapeName(l.name) }

// write puts the lease in place if the last message of its subject is our revision. ErrLeaseLost if it is not.
func (l *Lease) write(ctx context.Context) error {
	l.mu.Lock()
	revision := l.revision
	l.mu.Unlock()
	value, err := json.Marshal(leaseValue{Owner: l.owner, Token: l.token})
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
	l.revision, l.deadline = ack.Seq, asked.Add(l.ttl)
	if l.token == 0 {
		l.token = ack.Seq
	}
	return nil
}

// Renew holds the lease for another time to live. Not for concurrent use. Errors: ErrLeaseLost: it expired or somebody
// else has it; ErrUnknown: it may have been renewed, try again before the deadline.
func (l *Lease) Renew(ctx context.Context) error {
	ctx, cancel := l.f.withTimeout(ctx)
	defer cancel()
	err := l.write(ctx)
	if errors.Is(err, ErrLeaseLost) && l.adopt(ctx) {
		err = l.write(ctx)
	}
	if err != nil {
		return fmt.Errorf("renew lease %q of %q: %w", l.name, l.owner, l.f.orClosed(err))
	}
	return nil
}

// adopt learns the revision of a renewal whose answer was lost: the token tells that it is ours.
func (l *Lease) adopt(ctx context.Context) bool {
	stream, err := l.f.js.Stream(ctx, leaseStream)
	if err != nil {
		return false
	}
	msg, err := stream.GetLastMsgForSubject(ctx, l.subject())
	if err != nil {
		return false
	}
	var value leaseValue
	if json.Unmarshal(msg.Data, &value) != nil || value.Token != l.token || value.Owner != l.owner {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision = msg.Sequence
	return true
}

// Release gives the lease up at once. ErrLeaseLost if it is no longer ours. The lease must not be used afterwards.
func (l *Lease) Release(ctx context.Context) error {
	ctx, cancel := l.f.withTimeout(ctx)
	defer cancel()
	l.mu.Lock()
	revision := l.revision
	l.deadline = time.Time{}
	l.mu.Unlock()
	stream, err := l.f.js.Stream(ctx, leaseStream)
	if err == nil {
		err = stream.DeleteMsg(ctx, revision) // exactly our message, or none
	}
	if err != nil {
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
		return fmt.Errorf("release lease %q of %q: %w", l.name, l.owner, l.f.orClosed(err))
	}
	return nil
}

// Token returns the fencing token: the same through all renewals, greater for every later holder.
func (l *Lease) Token() uint64 { return l.token }

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
