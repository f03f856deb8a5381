package fabric

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// A node is lost for good: it is removed, a new one takes its place and has copies of everything.
func TestNodeIsReplaced(t *testing.T) {
	c := newCluster(t, 4)
	c.change = func(i int, cfg *Config) {
		cfg.Cluster.Routes = c.routes[:3]
		cfg.Cluster.Join = i == 3
	}
	for i := range 3 {
		c.start(i)
	}
	c.ready()
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	appendAll(t, log, 0, 20)
	a := c.nodes[0]
	if err := a.RemoveNode(within(t), "b"); err == nil {
		t.Fatal("a node that is online was removed")
	}
	if err := a.RemoveNode(within(t), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("nobody: %v", err)
	}
	c.nodes[2].Close(context.Background())
	c.nodes[2] = nil
	waitFor(t, "it is gone", func() bool { return a.online() == 2 })
	if err := a.RemoveNode(within(t), "c"); err != nil {
		t.Fatal(err)
	}
	if peers := a.Peers(); len(peers) != 2 {
		t.Errorf("peers %+v", peers)
	}
	appendAll(t, log, 20, 30)
	c.start(3)
	c.ready()
	waitFor(t, "the new node has a copy", func() bool {
		if err := a.RaiseReplicas(within(t)); err != nil {
			t.Logf("raise: %v", err)
		}
		info, err := log.Info(within(t))
		if err != nil {
			return false
		}
		i := slices.IndexFunc(info.Replicas, func(r ReplicaInfo) bool { return r.Name == "d" })
		return len(info.Replicas) == 2 && (info.Leader == "d" || i >= 0 && info.Replicas[i].Current)
	})
	// The two that are left of the old ones are no quorum of three without the new one: nothing can be removed then.
	c.nodes[3].Close(context.Background())
	c.nodes[3] = nil
	waitFor(t, "it is gone", func() bool { return a.online() == 2 })
	appendAll(t, log, 30, 40)
	checkNumbers(t, c.log(1, "l"), 40)
	c.nodes[1].Close(context.Background())
	c.nodes[1] = nil
	waitFor(t, "it is gone", func() bool { return a.online() == 1 })
	if err := a.RemoveNode(within(t), "d"); err == nil {
		t.Error("removed without a quorum")
	}
}
