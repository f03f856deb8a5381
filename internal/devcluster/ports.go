package devcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

// portsFile holds the ports of a cluster, so that a later start has the same.
const portsFile = "cluster.json"

// Ports are taken from below those that systems use for outgoing connections: one of
// those could be in use by somebody else while a node is down.
const (
	firstPort = 20000
	lastPort  = 31999
	portTries = 2000
)

// ports of one node.
type ports struct{ pg, http, nats, routes int }

// saved is the content of portsFile.
type saved struct {
	Nodes []savedNode `json:"nodes"`
}

type savedNode struct {
	Name   string `json:"name"`
	PG     int    `json:"pg"`
	HTTP   int    `json:"http"`
	NATS   int    `json:"nats"`
	Routes int    `json:"routes"`
}

// addresses returns the ports in the file, and picks free ones for nodes it does not have.
func addresses(path string, nodes int) ([]ports, error) {
	var s saved
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	var out []ports
	taken := map[int]bool{}
	for _, n := range s.Nodes {
		for _, p := range []int{n.PG, n.HTTP, n.NATS, n.Routes} {
			if p < 1 || p > 65535 || taken[p] {
				return nil, fmt.Errorf("%s: port %d of node %q is no port, or there twice", path, p, n.Name)
			}
			taken[p] = true
		}
		out = append(out, ports{n.PG, n.HTTP, n.NATS, n.Routes})
	}
	if len(out) > nodes {
		return nil, fmt.Errorf("%s: the cluster was made with %d nodes, not %d: its data needs them", path, len(out), nodes)
	}
	if len(out) == nodes {
		return out, nil
	}
	for len(out) < nodes {
		var p [4]int
		for i := range p {
			if p[i], err = freePort(taken); err != nil {
				return nil, err
			}
		}
		s.Nodes = append(s.Nodes, savedNode{Name(len(out)), p[0], p[1], p[2], p[3]})
		out = append(out, ports{p[0], p[1], p[2], p[3]})
	}
	text, err = json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(path, append(text, '\n'), 0o644)
}

// FreePort picks a port that nobody listens on now.
func FreePort() (int, error) { return freePort(map[int]bool{}) }

// freePort picks one that is not in taken, and adds it.
func freePort(taken map[int]bool) (int, error) {
	for range portTries {
		p := firstPort + rand.IntN(lastPort-firstPort+1)
		if taken[p] {
			continue
		}
		l, err := net.Listen("tcp", hostPort("127.0.0.1", p))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		taken[p] = true
		return p, nil
	}
	return 0, fmt.Errorf("no free port among %d to %d after %d tries", firstPort, lastPort, portTries)
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
