package fabric

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// MaxGroupWatches bounds those who watch groups on a node, MaxGroupEvents what waits for one of them.
	MaxGroupWatches = 1024
	MaxGroupEvents  = 1024
)

// ErrSlow: whoever watches did not take events in time; it begins anew with what there is.
var ErrSlow = errors.New("too slow: events were dropped")

// Member is a program that said, not longer ago than its time to live, that it is there.
type Member struct {
	Group, Name string
	Token       uint64    // greater each time it joins, the same until it leaves
	Since       time.Time // when it joined
	Expires     time.Time // about when, unless it says again that it is there
	Data        []byte    // JSON; nil: none
}

func (e *userEntry) member() Member {
	return Member{Group: e.value.Group, Name: e.value.Name, Token: e.token(), Since: e.since(), Expires: e.time.Add(e.value.TTL), Data: e.value.Data}
}

// Kinds of MemberEvent.
const (
	MemberJoined  = "joined"
	MemberChanged = "changed" // its data
	MemberLeft    = "left"    // or it was not heard of for its time to live
)

// MemberEvent is something that happened in a group.
type MemberEvent struct {
	Kind   string
	Member Member // as it is now, or was last
}

func memberKey(group, name string) string {
	return memberSubject + escapeName(group) + "." + escapeName(name)
}

// Heartbeat says that a member of a group is there, for that time to live; the first one joins. data is JSON, or nil.
// Errors as of AcquireLock, but for those of locks that are held.
func (f *Fabric) Heartbeat(ctx context.Context, group, name string, ttl time.Duration, data []byte) (Member, error) {
	err := errors.Join(checkUserName("group", group), checkUserName("member", name), checkUserTTL(ttl))
	switch {
	case err != nil:
	case len(data) > MaxMemberBytes:
		err = fmt.Errorf("%w: data of %d bytes, at most %d", ErrInvalid, len(data), MaxMemberBytes)
	case data != nil && !json.Valid(data):
		err = fmt.Errorf("%w: data is not JSON", ErrInvalid)
	}
	var e userEntry
	if err == nil {
		e, err = f.change(ctx, memberKey(group, name), func(cur userEntry) (userValue, error) {
			v := userValue{Group: group, Name: name, TTL: wholeSeconds(ttl), Data: data}
			if cur.held() {
				v.Token, v.Since = cur.token(), cur.since().UnixMicro()
			}
			return v, nil
		})
	}
	if err != nil {
		return Member{}, fmt.Errorf("heartbeat of %q in group %q: %w", name, group, f.orClosed(err))
	}
	return e.member(), nil
}

// LeaveGroup ends a membership. ErrNotFound if there is none.
func (f *Fabric) LeaveGroup(ctx context.Context, group, name string) error {
	err := errors.Join(checkUserName("group", group), checkUserName("member", name))
	if err == nil {
		_, err = f.change(ctx, memberKey(group, name), func(cur userEntry) (userValue, error) {
			if !cur.held() {
				return userValue{}, ErrNotFound
			}
			return userValue{Group: group, Name: name, Token: cur.token(), TTL: freedTTL, Free: true}, nil
		})
	}
	if err != nil {
		return fmt.Errorf("member %q leaves group %q: %w", name, group, f.orClosed(err))
	}
	return nil
}

// Members lists the members of a group, or of all for "", in the order of groups and names.
func (f *Fabric) Members(ctx context.Context, group string) ([]Member, error) {
	if err := f.users.barrier(ctx); err != nil {
		return nil, fmt.Errorf("list members: %w", f.orClosed(err))
	}
	f.users.mu.Lock()
	defer f.users.mu.Unlock()
	return f.users.members(group), nil
}

// members lists what Members does. t.mu is held.
func (t *userTable) members(group string) []Member {
	prefix := memberSubject
	if group != "" {
		prefix += escapeName(group) + "."
	}
	list := t.list(prefix)
	out := make([]Member, len(list))
	for i := range list {
		out[i] = list[i].member()
	}
	slices.SortFunc(out, func(a, b Member) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// GroupWatch tells what happens in a group. Used by one goroutine at a time; to be closed.
type GroupWatch struct {
	t      *userTable
	group  string
	events chan MemberEvent
	slow   chan struct{} // closed when there was no place for an event
	isSlow bool
}

// WatchGroup returns the members of a group and tells what happens from then on. ErrUnavailable when MaxGroupWatches
// watch already.
func (f *Fabric) WatchGroup(ctx context.Context, group string) (*GroupWatch, []Member, error) {
	t := f.users
	err := checkUserName("group", group)
	if err == nil {
		err = t.barrier(ctx)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watch group %q: %w", group, f.orClosed(err))
	}
	w := &GroupWatch{t: t, group: group, events: make(chan MemberEvent, MaxGroupEvents), slow: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watches >= MaxGroupWatches {
		return nil, nil, fmt.Errorf("watch group %q: %w: %d watch on this node", group, ErrUnavailable, t.watches)
	}
	t.watches++
	if t.watching[group] == nil {
		t.watching[group] = map[*GroupWatch]struct{}{}
	}
	t.watching[group][w] = struct{}{}
	return w, t.members(group), nil
}

// Next waits for the next event. Errors: ctx's own; ErrSlow; ErrClosed.
func (w *GroupWatch) Next(ctx context.Context) (MemberEvent, error) {
	select {
	case e := <-w.events:
		return e, nil
	default:
	}
	select {
	case e := <-w.events:
		return e, nil
	case <-w.slow:
		return MemberEvent{}, fmt.Errorf("watch group %q: %w", w.group, ErrSlow)
	case <-ctx.Done():
		return MemberEvent{}, ctx.Err()
	case <-w.t.f.closed:
		return MemberEvent{}, ErrClosed
	}
}

// Close ends the watch.
func (w *GroupWatch) Close() {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if _, is := w.t.watching[w.group][w]; !is {
		return
	}
	w.t.watches--
	if delete(w.t.watching[w.group], w); len(w.t.watching[w.group]) == 0 {
		delete(w.t.watching, w.group)
	}
}

// tell tells those who watch what became of an entry; either may be nil. t.mu is held.
func (t *userTable) tell(old, now *tableEntry) {
	x := now
	if x == nil {
		x = old
	}
	watches := t.watching[x.value.Group]
	if x.value.Group == "" || len(watches) == 0 {
		return
	}
	var events []MemberEvent
	if old != nil && (now == nil || old.token() != now.token()) {
		events = append(events, MemberEvent{MemberLeft, old.member()})
		old = nil
	}
	switch {
	case now == nil:
	case old == nil:
		events = append(events, MemberEvent{MemberJoined, now.member()})
	case !bytes.Equal(old.value.Data, now.value.Data):
		events = append(events, MemberEvent{MemberChanged, now.member()})
	}
	for w := range watches {
		for _, e := range events {
			select {
			case w.events <- e:
				continue
			default:
			}
			if !w.isSlow {
				w.isSlow = true
				close(w.slow)
			}
		}
	}
}
