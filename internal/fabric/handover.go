package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// handOverWait bounds how long Close waits for others to lead what this node led.
	handOverWait = 2 * time.Second
	// moveWait bounds how long MoveLeader waits for the node to lead.
	moveWait = 10 * time.Second

	apiStreamStepDown = "$JS.API.STREAM.LEADER.STEPDOWN."
	apiMetaStepDown   = "$JS.API.META.LEADER.STEPDOWN"
)

// stepDownRequest names who should lead.
type stepDownRequest struct {
	Placement *stepDownPlacement `json:"placement,omitempty"`
}

type stepDownPlacement struct {
	Preferred string `json:"preferred"`
}

// apiAnswer is what all answers of the server's interface have in common.
type apiAnswer struct {
	Error *ackError `json:"error"`
}

// api sends a request of the server's interface on a connection and waits for the answer.
func (f *Fabric) api(ctx context.Context, conn *nats.Conn, subject string, request any) error {
	var data []byte
	if request != nil {
		var err error
		if data, err = json.Marshal(request); err != nil {
			return err
		}
	}
	reply, err := conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return err
	}
	var answer apiAnswer
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("decode answer %q: %w", reply.Data[:min(len(reply.Data), 100)], err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// ReplicaInfo is one copy of a log as the log's leader sees it.
type ReplicaInfo struct {
	Name string
	// Current: it has everything, and was heard of lately. Offline: it was not.
	Current, Offline bool
	// Lag is how many records it lacks; 0 of a copy that was not heard of says nothing.
	Lag uint64
	// Active is for how long it has not been heard of.
	Active time.Duration
}

// LogInfo says where a log is.
type LogInfo struct {
	Leader   string        // the node that leads it, "" if none does now
	Replicas []ReplicaInfo // the others, in order of name
}

// Info returns who leads the log and how far the others are, by the word of the leader. Without a cluster the log is
// led by this node and has no others.
func (l *Log) Info(ctx context.Context) (LogInfo, error) {
	info, err := l.info(ctx)
	if err != nil {
		return LogInfo{}, fmt.Errorf("info of log %q: %w", l.name, err)
	}
	out := clusterInfo(info)
	if l.f.cluster == nil {
		out.Leader = l.f.server().Name()
	}
	return out, nil
}

func clusterInfo(info *jetstream.StreamInfo) LogInfo {
	var out LogInfo
	if info.Cluster == nil {
		return out
	}
	out.Leader = info.Cluster.Leader
	for _, r := range info.Cluster.Replicas {
		out.Replicas = append(out.Replicas, ReplicaInfo{Name: r.Name, Current: r.Current, Offline: r.Offline, Lag: r.Lag, Active: r.Active})
	}
	return out
}

// MoveLeader makes another node lead the log, which must have a copy of it, and waits until it does. Writers meet
// refusals meanwhile, for some milliseconds.
func (l *Log) MoveLeader(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, moveWait)
	defer cancel()
	if err := l.f.moveStream(ctx, l.stream, node); err != nil {
		return fmt.Errorf("move log %q to node %q: %w", l.name, node, l.f.orClosed(err))
	}
	return nil
}

// moveStream moves a stream of ours until ctx ends.
func (f *Fabric) moveStream(ctx context.Context, stream, node string) error {
	var last error
	for {
		info, err := f.streamInfo(ctx, stream)
		if err != nil {
			return errors.Join(last, err)
		}
		at := clusterInfo(info)
		if at.Leader == node {
			return nil
		}
		var to *ReplicaInfo
		for i := range at.Replicas {
			if at.Replicas[i].Name == node {
				to = &at.Replicas[i]
			}
		}
		switch {
		case to == nil:
			return fmt.Errorf("%w: it has no copy; led by %q", ErrNotFound, at.Leader)
		case at.Leader != "" && to.Current && !to.Offline: // else nobody may lead, or nobody can catch it up
			try, cancel := context.WithTimeout(ctx, tryTimeout)
			last = f.api(try, f.internal, apiStreamStepDown+stream, stepDownRequest{&stepDownPlacement{Preferred: node}})
			cancel()
		default:
			last = fmt.Errorf("%w: it is not up to date: current %v, offline %v, %d behind", ErrUnavailable, to.Current, to.Offline, to.Lag)
		}
		pause(ctx, readyPoll)
		if ctx.Err() != nil {
			return errors.Join(last, ctx.Err())
		}
	}
}

// handOver gives away what this node leads and waits a moment for others to lead it, so that nobody has to find out
// that it is gone.
func (f *Fabric) handOver(ctx context.Context) {
	if f.cluster == nil || f.online() < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWait)
	defer cancel()
	for {
		led := f.led()
		for _, s := range led {
			f.server().JetStreamStepdownStream(s.account, s.stream) // an error means that it is not there any more
		}
		meta := f.server().JetStreamIsLeader()
		if meta {
			try, cancel := context.WithTimeout(ctx, tryTimeout)
			f.api(try, f.system, apiMetaStepDown, nil) // tried again below
			cancel()
		}
		if len(led) == 0 && !meta || ctx.Err() != nil {
			return
		}
		pause(ctx, readyPoll)
	}
}

// ledStream is a stream that this node leads.
type ledStream struct{ account, stream string }

// led returns the replicated streams that this node leads.
func (f *Fabric) led() []ledStream {
	var out []ledStream
	info, err := f.server().Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil
	}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			if s.Cluster != nil && len(s.Cluster.Replicas) > 0 && s.Cluster.Leader == f.name {
				out = append(out, ledStream{a.Name, s.Name})
			}
		}
	}
	return out
}
