package node

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// heard is a set of members whose clock the test sets.
type heard struct {
	*members
	at time.Time
}

func newHeard() *heard {
	h := &heard{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.members = newMembers(func() time.Time { return h.at })
	return h
}

func (h *heard) say(t *testing.T, node, role string, epoch, floor uint64) {
	t.Helper()
	data, err := json.Marshal(Beat{Name: node, Pipelines: []PipelineBeat{{Name: "p", Role: role, Epoch: epoch, Floor: floor}}})
	if err != nil {
		t.Fatal(err)
	}
	h.hear(data)
}

func TestMembersTellWhoLeads(t *testing.T) {
	h := newHeard()
	if _, _, ok := h.leader("p"); ok {
		t.Fatal("somebody leads though nobody was heard of")
	}
	h.say(t, "a", roleLeader, 3, 0)
	h.say(t, "b", roleStandby, 3, 0)
	if name, epoch, ok := h.leader("p"); !ok || name != "a" || epoch != 3 {
		t.Fatal(name, epoch, ok)
	}
	if _, _, ok := h.leader("other"); ok {
		t.Fatal("a pipeline that nobody has is led")
	}
	h.say(t, "b", roleLeader, 4, 0) // a does not know yet that it was replaced
	if name, _, _ := h.leader("p"); name != "b" {
		t.Fatalf("%s leads, of two the one of the earlier epoch", name)
	}
	h.at = h.at.Add(silentAfter)
	h.say(t, "a", roleLeader, 3, 0)
	if name, _, _ := h.leader("p"); name != "a" {
		t.Fatalf("%q leads, which is silent", name)
	}
	h.hear([]byte(`{"name":`))
	h.hear([]byte(`{}`))
	if n := len(h.list()); n != 2 {
		t.Fatalf("%d members", n)
	}
}

func TestMembersAgreeOnTheNextLeader(t *testing.T) {
	h := newHeard()
	h.say(t, "a", roleLeader, 3, 0)
	h.say(t, "b", roleStandby, 3, 0)
	h.say(t, "c", roleStandby, 3, 0)
	if h.first("p", "a") || !h.first("p", "b") || h.first("p", "c") {
		t.Fatal("of two that are as far the first by name is next")
	}
	h.note(Beat{Name: "c", Pipelines: []PipelineBeat{{Name: "p", Role: roleStandby, LogPosition: 9}}})
	if h.first("p", "b") || !h.first("p", "c") {
		t.Fatal("the one that is furthest is next")
	}
	h.note(Beat{Name: "c", Draining: true, Pipelines: []PipelineBeat{{Name: "p", Role: roleStandby, LogPosition: 9}}})
	if !h.first("p", "b") || h.first("p", "c") {
		t.Fatal("one that is drained is not next")
	}
}

func TestMembersKnowWhetherTheyAreMost(t *testing.T) {
	h := newHeard()
	for _, name := range []string{"a", "b", "c"} {
		h.say(t, name, roleStandby, 1, 0)
	}
	if !h.most() {
		t.Fatal("all are heard of")
	}
	h.at = h.at.Add(silentAfter)
	h.say(t, "a", roleStandby, 1, 0)
	if h.most() {
		t.Fatal("one of three is not most")
	}
	h.say(t, "b", roleStandby, 1, 0)
	if !h.most() {
		t.Fatal("two of three are")
	}
}

func TestMembersKeepWhatOthersNeed(t *testing.T) {
	h := newHeard()
	h.say(t, "a", roleLeader, 1, 5) // itself
	if got := h.floor("p", "a"); got != 0 {
		t.Fatal(got)
	}
	h.say(t, "b", roleStandby, 1, 30)
	h.say(t, "c", roleStandby, 1, 20)
	h.say(t, "d", roleStarting, 0, 0) // says nothing yet
	if got := h.floor("p", "a"); got != 20 {
		t.Fatal(got)
	}
	h.at = h.at.Add(forgetAfter - time.Second)
	h.say(t, "b", roleStandby, 1, 40)
	if got := h.floor("p", "a"); got != 20 {
		t.Fatalf("%d: what a silent node needs goes too early", got)
	}
	h.at = h.at.Add(2 * time.Second)
	if got := h.floor("p", "a"); got != 40 {
		t.Fatalf("%d: a node that is gone holds the log", got)
	}
}

func TestStatusSaysWhatIsWrong(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	node := func(name, role string, online bool) NodeStatus {
		return NodeStatus{Beat: Beat{Name: name, Version: "1", Pipelines: []PipelineBeat{{Name: "p", Role: role, LagMillis: 5}}}, Online: online, Seen: now.Add(-30 * time.Second)}
	}
	for _, cs := range []struct {
		name   string
		change func(*ClusterStatus)
		want   []string
	}{
		{"all is well", func(*ClusterStatus) {}, nil},
		{"a node is away", func(s *ClusterStatus) { s.Nodes[2].Online = false }, []string{"node c has not been heard of for 30s"}},
		{"never heard of", func(s *ClusterStatus) { s.Nodes[2] = NodeStatus{Beat: Beat{Name: "c"}} }, []string{"node c has not been heard of since this node started"}},
		{"no quorum", func(s *ClusterStatus) { s.Nodes[1].Online, s.Nodes[2].Online = false, false },
			[]string{"node b has not", "node c has not", "1 of 3 nodes are there: nothing can be written"}},
		{"no leader", func(s *ClusterStatus) { s.Nodes[0].Pipelines[0].Role = roleStandby }, []string{"pipeline p has no leader: writes wait"}},
		{"behind", func(s *ClusterStatus) { s.Nodes[1].Pipelines[0].LagMillis = 20_000 }, []string{"node b has not been at the end of the log of pipeline p for 20s"}},
		{"another answer", func(s *ClusterStatus) { s.Nodes[1].Pipelines[0].Reason = "step 7 came out differently" }, []string{"node b, pipeline p: step 7 came out differently"}},
		{"full", func(s *ClusterStatus) { s.Nodes[1].Problems = []string{"no room on the disk"} }, []string{"node b: no room on the disk"}},
		{"versions", func(s *ClusterStatus) { s.Nodes[1].Version = "2" }, []string{"nodes run different versions: [1 2]"}},
		{"drained", func(s *ClusterStatus) { s.Nodes[1].Draining = true }, []string{"node b is drained: it leads nothing"}},
		{"no meta leader", func(s *ClusterStatus) { s.MetaLeader = "" }, []string{"nothing can be created"}},
	} {
		s := ClusterStatus{Cluster: "x", Node: "a", MetaLeader: "a", Nodes: []NodeStatus{node("a", roleLeader, true), node("b", roleStandby, true), node("c", roleStandby, true)}}
		cs.change(&s)
		s.judge(now)
		if len(s.Problems) != len(cs.want) {
			t.Errorf("%s: %q", cs.name, s.Problems)
			continue
		}
		for i, want := range cs.want {
			if !strings.Contains(s.Problems[i], want) {
				t.Errorf("%s: %q, want %q", cs.name, s.Problems[i], want)
			}
		}
	}
}
