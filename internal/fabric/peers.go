package fabric

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Peer is a node of the cluster as this node sees it.
type Peer struct {
	Name string
	ID   string // in Raft groups; follows from the name
	// Online: heard of within the last seconds. Self: this node.
	Online, Self bool
	// Lag is how many entries of the cluster's own log it lacks; only the leader of that log knows.
	Lag uint64
	// LastSeen is when it was last heard of; zero: never.
	LastSeen time.Time
}

// Peers returns the nodes of the cluster, this one among them, in order of name. It asks nobody. Without a cluster
// there is none.
func (f *Fabric) Peers() []Peer {
	if f.cluster == nil {
		return nil
	}
	now := time.Now()
	self := Peer{Name: f.name, ID: f.server().Node(), Online: true, Self: true, LastSeen: now}
	peers := []Peer{self}
	if meta := f.meta(); meta != nil {
		for _, p := range meta.Replicas {
			if p.Peer == self.ID {
				peers[0].Lag = p.Lag
				continue
			}
			peer := Peer{Name: p.Name, ID: p.Peer, Online: !p.Offline, Lag: p.Lag}
			if p.Active > 0 {
				peer.LastSeen = now.Add(-p.Active)
			}
			peers = append(peers, peer)
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return peers
}

// MetaLeader returns the name of the node that leads the cluster's own log, as far as this node knows, or "".
func (f *Fabric) MetaLeader() string {
	if f.cluster == nil {
		return ""
	}
	if meta := f.meta(); meta != nil {
		return meta.Leader
	}
	return ""
}

func (f *Fabric) meta() *server.MetaClusterInfo {
	info, err := f.server().Jsz(&server.JSzOptions{})
	if err != nil {
		return nil // the store is closed
	}
	return info.Meta
}

// online is how many nodes are there now, this one among them.
func (f *Fabric) online() int {
	n := 0
	for _, p := range f.Peers() {
		if p.Online {
			n++
		}
	}
	return n
}
