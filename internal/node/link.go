package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
)

// link carries what a standby cannot do itself to the node that leads. It implements
// engine.Leader.
type link struct {
	c        *cluster
	pipeline string
}

// The first byte of an answer.
const (
	answered  = 0 // what follows is the engine's answer
	notLeader = 1 // nothing happened: it does not lead
)

// pipelineSubject is where a node's engine takes what others send it.
func pipelineSubject(node, pipeline string) string { return nodeSubject(node, "pipeline."+pipeline) }

// Call implements engine.Leader.
func (l link) Call(ctx context.Context, req []byte) ([]byte, error) {
	node, _, ok := l.c.members.leader(l.pipeline)
	if !ok || node == l.c.cfg.Node {
		return nil, engine.ErrNoLeader
	}
	resp, err := l.c.n.fabric.Request(ctx, pipelineSubject(node, l.pipeline), req)
	switch {
	case errors.Is(err, fabric.ErrNoResponders):
		return nil, fmt.Errorf("%w: node %s is not reached", engine.ErrNoLeader, node)
	case errors.Is(err, fabric.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: node %s: %w", engine.ErrOutcome, node, err)
	case len(resp) == 0:
		return nil, fmt.Errorf("%w: node %s gave an empty answer", engine.ErrOutcome, node)
	case resp[0] == notLeader:
		return nil, fmt.Errorf("%w: node %s does not lead any more", engine.ErrNoLeader, node)
	}
	return resp[1:], nil
}

// answerCall is the other end of Call.
func answerCall(ctx context.Context, e *engine.Engine, req []byte) ([]byte, error) {
	resp, err := e.Serve(ctx, req)
	if errors.Is(err, engine.ErrNotLeader) {
		return []byte{notLeader}, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{answered}, resp...), nil
}
