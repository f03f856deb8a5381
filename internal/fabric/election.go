package fabric

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// electedSubject is where the server tells that a stream has a new leader.
	electedSubject = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."
	// electedGrace is for how long after that an answer of the leader before may still come.
	electedGrace = 250 * time.Millisecond
)

var errElected = errors.New("another node leads the log since it was sent")

// A record that is on its way to a leader when another takes its place is never answered. Whoever waits for the answer
// is told of the election, so that it need not wait for the request time-out.

// watchElections follows the elections of our streams.
func (f *Fabric) watchElections() error {
	sub, err := f.internal.Subscribe(electedSubject+"*", func(msg *nats.Msg) {
		f.elected(strings.TrimPrefix(msg.Subject, electedSubject))
	})
	if err != nil {
		return err
	}
	return sub.SetPendingLimits(MaxListenQueue, MaxQueueBytes)
}

func (f *Fabric) elected(stream string) {
	f.mu.Lock()
	old := f.terms[stream]
	if old != nil {
		f.terms[stream] = newLink(f.life)
	}
	f.mu.Unlock()
	if old != nil {
		time.AfterFunc(electedGrace, old.end)
		f.log(slog.LevelDebug, "stream "+stream+" has a new leader")
	}
}

// term is the time of a stream's leader: done soon after another has been elected. Alone it never ends.
func (f *Fabric) term(stream string) context.Context {
	if f.cluster == nil {
		return context.WithoutCancel(f.life)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.terms[stream]
	if t == nil {
		t = newLink(f.life)
		f.terms[stream] = t
	}
	return t
}
