package node

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// beatEvery is how often a node tells the others of itself.
	beatEvery = time.Second
	// silentAfter is when a node that is not heard of counts as away.
	silentAfter = 3 * time.Second
	// forgetAfter is when nothing is kept any more for a node that is not heard of.
	forgetAfter = time.Hour
	// maxMembers bounds the nodes that are remembered.
	maxMembers = 1024

	beatSubject = "beat"
)

// Beat is what a node tells the others of itself. Nothing is decided by it but who is
// asked first.
type Beat struct {
	Name        string         `json:"name"`
	Run         string         `json:"run"` // of the process: another one after a restart
	Version     string         `json:"version"`
	PG          string         `json:"pg"`
	HTTP        string         `json:"http"`
	NATS        string         `json:"nats"`
	Routes      string         `json:"routes"`
	Zone        string         `json:"zone,omitempty"`
	Started     time.Time      `json:"started"`
	Draining    bool           `json:"draining"`
	Connections int64          `json:"connections"`
	DiskFree    int64          `json:"disk_free"`
	DiskReserve int64          `json:"disk_reserve"`
	Problems    []string       `json:"problems"`
	Pipelines   []PipelineBeat `json:"pipelines"`
}

// PipelineBeat is how a pipeline stands on a node.
type PipelineBeat struct {
	Name        string `json:"name"`
	Role        string `json:"role"` // leader, claiming, standby, starting, ended
	Epoch       uint64 `json:"epoch"`
	Step        uint64 `json:"step"`
	LogPosition uint64 `json:"log_position"`
	// Floor is the oldest record of the log that the node's own checkpoints need.
	Floor uint64 `json:"floor"`
	// LagMillis is how long ago the node last knew itself at the log's end; -1: never.
	LagMillis int64  `json:"lag_ms"`
	Reason    string `json:"reason,omitempty"` // why it is not up to date
}

// member is a node that was heard of.
type member struct {
	beat Beat
	seen time.Time // by our clock
}

// members are the nodes that were heard of. It is safe for concurrent use.
type members struct {
	now func() time.Time

	mu   sync.Mutex
	byID map[string]member
}

func newMembers(now func() time.Time) *members {
	return &members{now: now, byID: map[string]member{}}
}

// hear takes the words of a node. What cannot be read is left out: it is of another version.
func (m *members) hear(data []byte) {
	var b Beat
	if json.Unmarshal(data, &b) != nil || b.Name == "" {
		return
	}
	m.note(b)
}

func (m *members) note(b Beat) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.byID[b.Name]; !known && len(m.byID) >= maxMembers {
		return
	}
	m.byID[b.Name] = member{b, m.now()}
}

// forget drops a node that was removed from the cluster.
func (m *members) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byID, name)
}

// list returns all nodes that were heard of, by name.
func (m *members) list() []member {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]member, 0, len(m.byID))
	for _, x := range m.byID {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.beat.Name, b.beat.Name) })
	return out
}

// here reports whether a node was heard of lately.
func (m *members) here(x member) bool { return m.now().Sub(x.seen) < silentAfter }

// leader returns the node that says that it leads a pipeline and is heard of; of two the
// one of the later epoch. ok is false if there is none.
func (m *members) leader(pipeline string) (name string, epoch uint64, ok bool) {
	for _, x := range m.list() {
		if !m.here(x) {
			continue
		}
		for _, p := range x.beat.Pipelines {
			if p.Name == pipeline && p.Role == roleLeader && (!ok || p.Epoch > epoch) {
				name, epoch, ok = x.beat.Name, p.Epoch, true
			}
		}
	}
	return name, epoch, ok
}

// most reports whether more than half of the nodes are heard of, this one among them.
func (m *members) most() bool {
	all, here := 0, 0
	for _, x := range m.list() {
		if all++; m.here(x) {
			here++
		}
	}
	return 2*here > all
}

// first reports whether of the standbys of a pipeline that are heard of this one is to
// lead if no lease says who: that which is furthest, of several the first by name.
func (m *members) first(pipeline, self string) bool {
	best, at := "", uint64(0)
	for _, x := range m.list() {
		if !m.here(x) || x.beat.Draining {
			continue
		}
		for _, p := range x.beat.Pipelines {
			if p.Name == pipeline && p.Role == roleStandby && (best == "" || p.LogPosition > at) {
				best, at = x.beat.Name, p.LogPosition
			}
		}
	}
	return best == self
}

// floor is the oldest record of a pipeline's log that another node needs, 0 if none does.
func (m *members) floor(pipeline, self string) uint64 {
	least := uint64(0)
	for _, x := range m.list() {
		if x.beat.Name == self || m.now().Sub(x.seen) > forgetAfter {
			continue
		}
		for _, p := range x.beat.Pipelines {
			if p.Name == pipeline && p.Floor > 0 && (least == 0 || p.Floor < least) {
				least = p.Floor
			}
		}
	}
	return least
}
