package session

import (
	"context"
	"time"
)

// Lock is a lock of a user's program: a lease with a fencing token.
type Lock struct {
	Name, Owner string
	Token       int64     // greater than that of every earlier holder
	Expires     time.Time // about when
}

// Locks keeps locks. It is safe for concurrent use. All errors but the end of ctx are a *types.Error.
type Locks interface {
	// AcquireLock takes a lock that nobody holds, or waits for it. ok false: it is held, by l.
	AcquireLock(ctx context.Context, name, owner string, ttl, wait time.Duration) (l Lock, ok bool, err error)
	// RenewLock holds a lock for another time to live. ok false: it is not held with that token, but by l, or by
	// nobody if l has no token.
	RenewLock(ctx context.Context, name string, token int64, ttl time.Duration) (l Lock, ok bool, err error)
	// ReleaseLock gives a lock up; ok as of RenewLock.
	ReleaseLock(ctx context.Context, name string, token int64) (l Lock, ok bool, err error)
	// GetLock returns a lock; ok false: nobody holds it.
	GetLock(ctx context.Context, name string) (l Lock, ok bool, err error)
	// Locks lists the locks that are held, in the order of their names.
	Locks(ctx context.Context) ([]Lock, error)
}
