package node

import (
	"context"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/syscat"
	"github.com/tidemill/tidemill/internal/types"
)

// locks serves locks and groups from the broker.
type locks struct{ f *fabric.Fabric }

// AcquireLock implements session.Locks.
func (l locks) AcquireLock(ctx context.Context, name, owner string, ttl, wait time.Duration) (session.Lock, bool, error) {
	got, err := l.f.AcquireLock(ctx, name, owner, ttl, wait)
	var held *fabric.LeaseHeldError
	if errors.As(err, &held) {
		return session.Lock{Name: name, Owner: held.Owner, Token: int64(held.Token)}, false, nil
	}
	return lockOf(got), err == nil, coordinationError(err)
}

// RenewLock implements session.Locks.
func (l locks) RenewLock(ctx context.Context, name string, token int64, ttl time.Duration) (session.Lock, bool, error) {
	got, err := l.f.RenewLock(ctx, name, uint64(max(token, 0)), ttl)
	return lostOr(got, err)
}

// ReleaseLock implements session.Locks.
func (l locks) ReleaseLock(ctx context.Context, name string, token int64) (session.Lock, bool, error) {
	return lostOr(fabric.UserLock{}, l.f.ReleaseLock(ctx, name, uint64(max(token, 0))))
}

// GetLock implements session.Locks.
func (l locks) GetLock(ctx context.Context, name string) (session.Lock, bool, error) {
	got, is, err := l.f.GetLock(ctx, name)
	return lockOf(got), is, coordinationError(err)
}

// Locks implements session.Locks.
func (l locks) Locks(ctx context.Context) ([]session.Lock, error) {
	list, err := l.f.Locks(ctx)
	out := make([]session.Lock, len(list))
	for i := range list {
		out[i] = lockOf(list[i])
	}
	return out, coordinationError(err)
}

func lockOf(l fabric.UserLock) session.Lock {
	return session.Lock{Name: l.Name, Owner: l.Owner, Token: int64(l.Token), Expires: l.Expires}
}

// lostOr tells a lock that is lost from other errors.
func lostOr(l fabric.UserLock, err error) (session.Lock, bool, error) {
	var lost *fabric.LockLostError
	if !errors.As(err, &lost) {
		return lockOf(l), err == nil, coordinationError(err)
	}
	if lost.Holder != nil {
		return lockOf(*lost.Holder), false, nil
	}
	return session.Lock{Name: lost.Name}, false, nil
}

// Heartbeat implements httpapi.Groups.
func (l locks) Heartbeat(ctx context.Context, group, name string, ttl time.Duration, data []byte) (httpapi.Member, error) {
	m, err := l.f.Heartbeat(ctx, group, name, ttl, data)
	return memberOf(m), coordinationError(err)
}

// Leave implements httpapi.Groups.
func (l locks) Leave(ctx context.Context, group, name string) (bool, error) {
	err := l.f.LeaveGroup(ctx, group, name)
	if errors.Is(err, fabric.ErrNotFound) {
		return false, nil
	}
	return err == nil, coordinationError(err)
}

// Members implements httpapi.Groups.
func (l locks) Members(ctx context.Context, group string) ([]httpapi.Member, error) {
	list, err := l.f.Members(ctx, group)
	return membersOf(list), coordinationError(err)
}

// Watch implements httpapi.Groups.
func (l locks) Watch(ctx context.Context, group string) (httpapi.GroupWatch, []httpapi.Member, error) {
	w, there, err := l.f.WatchGroup(ctx, group)
	if err != nil {
		return nil, nil, coordinationError(err)
	}
	return groupWatch{w}, membersOf(there), nil
}

type groupWatch struct{ w *fabric.GroupWatch }

// Next implements httpapi.GroupWatch.
func (g groupWatch) Next(ctx context.Context) (string, httpapi.Member, error) {
	e, err := g.w.Next(ctx)
	if err != nil && ctx.Err() != nil {
		return "", httpapi.Member{}, err // the end of a wait
	}
	return e.Kind, memberOf(e.Member), coordinationError(err)
}

// Close implements httpapi.GroupWatch.
func (g groupWatch) Close() { g.w.Close() }

func memberOf(m fabric.Member) httpapi.Member {
	return httpapi.Member{Group: m.Group, Name: m.Name, Token: int64(m.Token), Since: m.Since.UTC(), Expires: m.Expires.UTC(), Data: m.Data}
}

func membersOf(list []fabric.Member) []httpapi.Member {
	out := make([]httpapi.Member, len(list))
	for i := range list {
		out[i] = memberOf(list[i])
	}
	return out
}

// coordinationError gives the errors of locks, groups and services their SQLSTATE.
func coordinationError(err error) error {
	if err == nil {
		return nil
	}
	e := &types.Error{Code: "XX000", Message: err.Error()}
	switch {
	case errors.Is(err, fabric.ErrInvalid), errors.Is(err, fabric.ErrTooLarge):
		e.Code = types.CodeInvalidParameter
	case errors.Is(err, fabric.ErrUnknown):
		e.Code, e.Hint = "08007", "It may have been done, or may be yet: look before trying again."
	case errors.Is(err, fabric.ErrNoSpace):
		e.Code, e.Hint = "53000", "There are too many, or the disk is full."
	case errors.Is(err, fabric.ErrClosed):
		e.Code = "57P01"
	case errors.Is(err, fabric.ErrSlow):
		e.Code, e.Hint = "54000", "Watch again: it begins with those who are there."
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = types.CodeQueryCanceled
	case errors.Is(err, fabric.ErrUnavailable):
		e.Code, e.Hint = "57P03", "Try again in a moment. If it stays so, fewer nodes are up or reached than make a majority."
	}
	return e
}

// lockRows fills tidemill.locks.
func lockRows(ctx context.Context, env *syscat.Env, f *fabric.Fabric) error {
	list, err := locks{f}.Locks(ctx)
	for _, l := range list {
		env.Locks = append(env.Locks, syscat.LockInfo{Name: l.Name, Owner: l.Owner, Token: l.Token, Expires: instant(l.Expires)})
	}
	return err
}

// memberRows fills tidemill.members.
func memberRows(ctx context.Context, env *syscat.Env, f *fabric.Fabric) error {
	list, err := f.Members(ctx, "")
	for _, m := range list {
		env.Members = append(env.Members, syscat.MemberInfo{Group: m.Group, Name: m.Name, Token: int64(m.Token), Since: instant(m.Since), Expires: instant(m.Expires), Data: string(m.Data)})
	}
	return coordinationError(err)
}
