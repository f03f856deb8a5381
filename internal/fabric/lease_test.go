package fabric

import (
	"context"
	"errors"
	"testing"
	"time"
)

func acquire(t *testing.T, f *Fabric, name, owner string, ttl time.Duration) *Lease {
	t.Helper()
	lease, err := f.AcquireLease(context.Background(), name, owner, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func TestLeaseIsExclusive(t *testing.T) {
	ctx, f := context.Background(), start(t)
	a := acquire(t, f, "p.1", "node a", time.Minute)
	var held *LeaseHeldError
	if _, err := f.AcquireLease(ctx, "p.1", "node b", time.Minute); !errors.Is(err, ErrLeaseHeld) ||
		!errors.As(err, &held) || held.Owner != "node a" || held.Token != a.Token() {
		t.Errorf("second owner: %v", err)
	}
	if err := a.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.AcquireLease(ctx, "p.1", "node a", time.Minute); !errors.As(err, &held) || held.Token != a.Token() {
		t.Errorf("same owner again: %v", err)
	}
	other := acquire(t, f, "p_1", "node b", time.Minute)
	if err := a.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if a.Valid() {
		t.Error("valid after release")
	}
	b := acquire(t, f, "p.1", "node b", time.Minute)
	if b.Token() <= a.Token() || b.Token() <= other.Token() {
		t.Errorf("tokens %d, %d, then %d", a.Token(), other.Token(), b.Token())
	}
	if err := a.Renew(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("renewing a lost lease: %v", err)
	}
	if err := a.Release(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("releasing a lost lease: %v", err)
	}
	if !b.Valid() || b.Owner() != "node b" {
		t.Error("the new lease suffered")
	}
}

func TestLeaseExpires(t *testing.T) {
	ctx, f := context.Background(), start(t)
	a := acquire(t, f, "l", "a", 1)
	token := a.Token()
	began := time.Now()
	var b *Lease
	for b == nil {
		var err error
		b, err = f.AcquireLease(ctx, "l", "b", time.Minute)
		if err != nil && !errors.Is(err, ErrLeaseHeld) {
			t.Fatal(err)
		}
		if err != nil && time.Since(began) > 10*time.Second {
			t.Fatal("a lease of one second has not expired")
		}
		if err == nil && a.Valid() {
			t.Fatal("two hold the lease")
		}
	}
	if b.Token() <= token {
		t.Errorf("token %d after %d", b.Token(), token)
	}
	if err := a.Renew(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("renewing an expired lease: %v", err)
	}
}

func TestLeaseRenewalAfterLostAnswer(t *testing.T) {
	ctx, f := context.Background(), start(t)
	a := acquire(t, f, "l", "a", time.Minute)
	stale := a.revision
	for range 2 {
		if err := a.Renew(ctx); err != nil {
			t.Fatal(err)
		}
		a.revision = stale // as if the answer had not come
	}
	if err := a.Release(ctx); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("a stale revision must not release: %v", err)
	}
}

func TestLeaseTokensRiseOverRestarts(t *testing.T) {
	dir, token := t.TempDir(), uint64(0)
	for range 3 {
		f := startIn(t, dir, nil)
		lease := acquire(t, f, "l", "a", time.Minute)
		if lease.Token() <= token {
			t.Fatalf("token %d after %d", lease.Token(), token)
		}
		token = lease.Token()
		if err := lease.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		f.Close(context.Background())
	}
}
