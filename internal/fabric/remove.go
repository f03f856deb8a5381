package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	apiServerRemove = "$JS.API.SERVER.REMOVE"
	codeNotMember   = 10044
)

// RemoveNode takes a node that is gone for good out of the cluster, so that it counts no longer for a quorum; others
// take over its copies, if there are any that have none. A node with its name must not come back within five minutes.
// It is refused while the node is online, if no quorum of the others is, or if a log, the leases or the blobs have no
// other copy.
func (f *Fabric) RemoveNode(ctx context.Context, node string) error {
	if err := f.removeNode(ctx, node); err != nil {
		return fmt.Errorf("remove node %q: %w", node, f.orClosed(err))
	}
	return nil
}

func (f *Fabric) removeNode(ctx context.Context, node string) error {
	if f.cluster == nil {
		return errors.New("this node is in no cluster")
	}
	if f.MetaLeader() == "" {
		return fmt.Errorf("%w: the cluster has no leader", ErrUnavailable)
	}
	var gone *Peer
	var online, absent []string
	for _, p := range f.Peers() {
		switch {
		case p.Name == node || p.ID == node:
			gone = &p
		case p.Online:
			online = append(online, p.Name)
		default:
			absent = append(absent, p.Name)
		}
	}
	switch {
	case gone == nil:
		return fmt.Errorf("%w: it is not in the cluster; %s are", ErrNotFound, strings.Join(append(online, absent...), ", "))
	case gone.Online:
		return errors.New("it is online: stop it first")
	case len(online) <= (len(online)+len(absent))/2:
		return fmt.Errorf("of the others only %s are online and %s are not: without it they would be no quorum", strings.Join(online, ", "), strings.Join(absent, ", "))
	}
	streams, err := f.ownStreams(ctx)
	if err != nil {
		return err
	}
	for _, stream := range streams {
		if err := f.keptElsewhere(ctx, stream, gone.Name); err != nil {
			return err
		}
	}
	err = f.settle(ctx, func(ctx context.Context) error {
		err := f.api(ctx, f.system, apiServerRemove, map[string]string{"peer_id": gone.ID})
		var refused *ackError
		if errors.As(err, &refused) && refused.ErrCode == codeNotMember {
			return nil // by the try before
		}
		if errors.As(err, &refused) && refused.ErrCode == codeMemberChange {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	for f.isMember(gone.ID) {
		if pause(ctx, readyPoll); ctx.Err() != nil {
			return unknown(ctx.Err())
		}
	}
	return nil
}

func (f *Fabric) isMember(id string) bool {
	for _, p := range f.Peers() {
		if p.ID == id {
			return true
		}
	}
	return false
}

// keptElsewhere makes sure that a stream can do without its copy on a node, if it has one there.
func (f *Fabric) keptElsewhere(ctx context.Context, stream, node string) error {
	info, err := f.streamInfo(ctx, stream)
	if errors.Is(err, ErrNotFound) {
		return nil // it was removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("stream %s: nobody leads it, so it may have no other copy: %w", stream, err)
	}
	if at := clusterInfo(info); at.Leader == "" || at.Leader == node {
		return fmt.Errorf("stream %s: it is led by %q: its only copy may be there", stream, at.Leader)
	}
	return nil
}
