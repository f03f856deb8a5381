package fabric

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// heartbeatSilence is for how long the leader of the cluster's own log may not hear of a node that counts as online. It
// hears of every node each second.
const heartbeatSilence = 5 * time.Second

// Peer is a node of the cluster as this node sees it.
type Peer struct {
	Name string
	ID   string // in Raft groups; follows from the name
	// Online: this node is connected with it, and heard of it within the last seconds as far as it can know. A
	// connection that went silent is given up after 10 seconds. Self: this node.
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
		near := f.connected()
		leads := meta.Leader == f.name
		for _, p := range meta.Replicas {
			if p.Peer == self.ID {
				peers[0].Lag = p.Lag
				continue
			}
			peer := Peer{Name: p.Name, ID: p.Peer, Online: near[p.Name], Lag: p.Lag}
			switch {
			case leads && p.Active > heartbeatSilence:
				peer.Online, peer.LastSeen = false, now.Add(-p.Active)
			case peer.Online && !leads:
				peer.LastSeen = now
			case p.Active > 0:
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

// connected returns the names of the nodes that this one has a connection with.
func (f *Fabric) connected() map[string]bool {
	out := map[string]bool{}
	routes, err := f.server().Routez(&server.RoutezOptions{})
	if err != nil {
		return out
	}
	for _, r := range routes.Routes {
		out[r.RemoteName] = true
	}
	return out
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
