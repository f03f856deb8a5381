package fabric

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// zonesWait bounds the wait for the nodes' answers about their zones.
	zonesWait = 500 * time.Millisecond
	// nodeTag is a label that every node has, with its name: so copies can be kept off a node.
	nodeTag = "tidemill-node:"

	codeMoveInProgress = 10124

	systemPing = "$SYS.REQ.SERVER.PING.STATSZ"
)

// The server places copies anywhere, or, told so, only on nodes whose zones differ; then it refuses to make a stream while
// a zone is missing. We want as many zones as there are, and the copies all the same. So we choose the nodes and name those
// that are not to have a copy.

// zones asks the nodes for their zones; "" is one that has none.
func (f *Fabric) zones(ctx context.Context) (map[string]string, error) {
	want := f.online()
	ctx, cancel := context.WithTimeout(ctx, zonesWait)
	defer cancel()
	inbox := f.system.NewInbox()
	answers := make(chan *nats.Msg, 2*MaxRoutes)
	sub, err := f.system.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	if err := f.system.PublishRequest(systemPing, inbox, nil); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for len(out) < want {
		select {
		case msg := <-answers:
			var id struct {
				Server struct {
					Name string   `json:"name"`
					Tags []string `json:"tags"`
				} `json:"server"`
			}
			if err := json.Unmarshal(msg.Data, &id); err != nil || id.Server.Name == "" {
				continue
			}
			out[id.Server.Name] = ""
			for _, tag := range id.Server.Tags {
				if zone, ok := strings.CutPrefix(strings.ToLower(tag), zoneTag); ok {
					out[id.Server.Name] = zone
				}
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %d of %d nodes tell their zone", ErrUnavailable, len(out), want)
		}
	}
	return out, nil
}

// hasZone reports whether this node has a zone: else nobody asks the others for theirs.
func (f *Fabric) hasZone() bool {
	return f.cluster != nil && slices.ContainsFunc(f.cluster.Tags, func(tag string) bool { return strings.HasPrefix(strings.ToLower(tag), zoneTag) })
}

// placement says where n copies of a stream should be, of which some nodes have one now, the leader first: nil if it
// does not matter, or if they are well where they are.
func (f *Fabric) placement(ctx context.Context, stream string, n int, now []string) *jetstream.Placement {
	if !f.hasZone() {
		return nil
	}
	zones, err := f.zones(ctx)
	if err != nil {
		f.log(slog.LevelWarn, fmt.Sprintf("spread the copies of stream %s over zones: %v", stream, err))
		return nil
	}
	nodes := chooseNodes(stream, zones, n, now)
	if nodes == nil || len(now) > 0 && !slices.ContainsFunc(nodes, func(node string) bool { return !slices.Contains(now, node) }) {
		return nil
	}
	out := &jetstream.Placement{}
	for node := range zones {
		if !slices.Contains(nodes, node) {
			out.Tags = append(out.Tags, "!"+nodeTag+strings.ToLower(node))
		}
	}
	slices.Sort(out.Tags)
	return out
}

// chooseNodes chooses n nodes in as many zones as possible; it keeps those that have a copy now, the first of them
// above all, and takes others in an order that differs from stream to stream. Nil: some node has no zone, or there are
// not more than n.
func chooseNodes(stream string, zones map[string]string, n int, now []string) []string {
	var order []string
	for node, zone := range zones {
		if zone == "" {
			return nil
		}
		if !slices.Contains(now, node) {
			order = append(order, node)
		}
	}
	if len(zones) <= n {
		return nil
	}
	rank := func(node string) uint32 { return crc32.ChecksumIEEE([]byte(stream + " " + node)) }
	slices.SortFunc(order, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	order = append(slices.Clone(now), order...)
	var out []string
	taken := map[string]bool{}
	for _, again := range []bool{false, true} {
		for _, node := range order {
			zone, there := zones[node]
			if len(out) == n || !there || slices.Contains(out, node) || !again && taken[zone] {
				continue
			}
			out = append(out, node)
			taken[zone] = true
		}
	}
	return out
}

// spread moves copies of a stream of ours that share a zone while another zone has none; the server makes the new ones
// before it gives up the old. It does not wait for that: the next call ends the move. That copies are not spread is told,
// and is no error: they are there.
func (f *Fabric) spread(ctx context.Context, stream string) {
	if !f.hasZone() {
		return
	}
	err := f.settle(ctx, func(ctx context.Context) error {
		s, err := f.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		info := s.CachedInfo()
		cfg, members := info.Config, membersOf(info)
		want := f.placement(ctx, stream, cfg.Replicas, members)
		if want == nil && cfg.Placement == nil || len(members) != cfg.Replicas {
			return nil // it is as it should be, or under way
		}
		cfg.Placement = want // none when the copies are where they should be: it was for the way there
		_, err = f.js.UpdateStream(ctx, cfg)
		return err
	})
	var refused *jetstream.APIError
	if err != nil && !(errors.As(err, &refused) && refused.ErrorCode == codeMoveInProgress) {
		f.log(slog.LevelWarn, fmt.Sprintf("spread the copies of stream %s over zones: %v", stream, err))
	}
}

// membersOf returns the nodes that have a copy of a stream, the leader first.
func membersOf(info *jetstream.StreamInfo) []string {
	at := clusterInfo(info)
	var out []string
	if at.Leader != "" {
		out = append(out, at.Leader)
	}
	for _, r := range at.Replicas {
		if r.Name != at.Leader {
			out = append(out, r.Name)
		}
	}
	return out
}

// createStream makes a stream of ours with its copies in different zones, if it can be told now which.
func (f *Fabric) createStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	if cfg.Placement = f.placement(ctx, cfg.Name, cfg.Replicas, nil); cfg.Placement == nil {
		return f.js.CreateStream(ctx, cfg)
	}
	_, err := f.js.CreateStream(ctx, cfg)
	cfg.Placement = nil // it was for the beginning
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeClusterNoPeers {
		return f.js.CreateStream(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	return f.js.UpdateStream(ctx, cfg)
}
