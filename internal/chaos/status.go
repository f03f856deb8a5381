package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"
)

const (
	// statusEvery is how often nodes are asked how they are, and statusTimeout bounds an answer.
	statusEvery   = time.Second
	statusTimeout = 2 * time.Second
	// maxStatusBytes bounds one answer, and maxProblems how many different problems are kept.
	maxStatusBytes = 4 << 20
	maxProblems    = 50
)

// status is the answer of GET /v1/cluster, as far as it is needed here.
type status struct {
	Nodes []struct {
		Name      string   `json:"name"`
		Online    bool     `json:"online"`
		Problems  []string `json:"problems"`
		Pipelines []struct {
			Name   string `json:"name"`
			Role   string `json:"role"`
			Epoch  uint64 `json:"epoch"`
			Reason string `json:"reason"`
		} `json:"pipelines"`
	} `json:"nodes"`
	Problems []string `json:"problems"`
}

// leader is the node that says it leads, with its epoch; "" if none does.
func (s status) leader() (name string, epoch uint64) {
	for _, n := range s.Nodes {
		for _, p := range n.Pipelines {
			if p.Role == "leader" && p.Epoch >= epoch && n.Online {
				name, epoch = n.Name, p.Epoch
			}
		}
	}
	return name, epoch
}

// doors are clients for the nodes' HTTP doors.
type doors struct {
	r       *chaos
	clients []*http.Client

	mu       sync.Mutex
	problems map[string]bool
}

func newDoors(r *chaos) *doors {
	d := &doors{r: r, problems: map[string]bool{}}
	for i := range r.cluster.Nodes() {
		d.clients = append(d.clients, &http.Client{Timeout: statusTimeout, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return r.net.dial(ctx, i, addr) },
		}})
	}
	return d
}

// transport carries requests to a node.
func (d *doors) transport(node int) http.RoundTripper { return d.clients[node].Transport }

func (d *doors) get(ctx context.Context, node int, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.r.cluster.Node(node).HTTP()+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.clients[node].Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatusBytes))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("node %s: GET %s: %s: %.300s", d.r.cluster.Node(node).Name(), path, resp.Status, body)
	}
	return body, err
}

// all asks every node that runs, at the same time. Those that do not answer have no status.
func (d *doors) all(ctx context.Context) map[int]status {
	out := map[int]status{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range d.r.cluster.Nodes() {
		if n := d.r.cluster.Node(i); !n.Alive() || n.Paused() {
			continue
		}
		wg.Go(func() {
			body, err := d.get(ctx, i, "/v1/cluster")
			var s status
			if err == nil && json.Unmarshal(body, &s) == nil {
				mu.Lock()
				defer mu.Unlock()
				out[i] = s
			}
		})
	}
	wg.Wait()
	return out
}

// leader is the node that leads: of those that say so, the one with the newest epoch. -1 if none.
func (d *doors) leader(ctx context.Context) int {
	if d.r.cluster.Nodes() == 1 {
		return 0
	}
	best, newest := -1, uint64(0)
	for _, s := range d.all(ctx) {
		if name, epoch := s.leader(); name != "" && (best < 0 || epoch > newest) {
			best, newest = d.r.cluster.Index(name), epoch
		}
	}
	return best
}

// look gathers what nodes say is wrong, until ctx ends.
func (d *doors) look(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, statusEvery) {
		for _, s := range d.all(ctx) {
			for _, p := range s.Problems {
				d.problem(p)
			}
			for _, n := range s.Nodes {
				for _, p := range n.Problems {
					d.problem("node " + n.Name + ": " + p)
				}
				for _, p := range n.Pipelines {
					if p.Reason != "" {
						d.problem(fmt.Sprintf("node %s: pipeline %s: %s", n.Name, p.Name, p.Reason))
					}
				}
			}
		}
	}
}

// figures in problems change while they last, and one is told of once: durations, and numbers
// that are large.
var figures = regexp.MustCompile(`\b(\d+(\.\d+)?(ms|s|m)|\d{4,})\b`)

func (d *doors) problem(text string) {
	text = figures.ReplaceAllString(text, "N$3")
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.problems) < maxProblems {
		d.problems[text] = true
	}
}

func (d *doors) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return sortedKeys(d.problems)
}

func (d *doors) close() {
	for _, c := range d.clients {
		c.CloseIdleConnections()
	}
}
