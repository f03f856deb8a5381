package devcluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// maxLine bounds a line of a node's standard output.
const maxLine = 1 << 20

// Node is one node, running or not. Its methods may be called by many.
type Node struct {
	c                      *Cluster
	index                  int
	name, dir, log         string
	pg, http, nats, listen string
	routes                 []string

	mu     sync.Mutex
	proc   *process // nil: it does not run
	starts int
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when the node said that it serves
	done  chan struct{} // closed when the process has ended
	state string        // how it ended; to be read once done is closed

	mu     sync.Mutex
	asked  bool // somebody wants it to end
	paused bool
}

// readyLine is what a node prints when it serves.
type readyLine struct {
	Ready bool   `json:"ready"`
	PG    string `json:"pg"`
	HTTP  string `json:"http"`
}

// Name of the node.
func (n *Node) Name() string { return n.name }

// Index of the node, from 0.
func (n *Node) Index() int { return n.index }

// Dir is where its data is.
func (n *Node) Dir() string { return n.dir }

// LogFile is where its log is.
func (n *Node) LogFile() string { return n.log }

// PG is the address of its PostgreSQL protocol, the same in every run.
func (n *Node) PG() string { return n.pg }

// HTTP is the address of its HTTP door.
func (n *Node) HTTP() string { return n.http }

// NATS is the address for NATS clients.
func (n *Node) NATS() string { return n.nats }

// Listen is the address where it listens for other nodes.
func (n *Node) Listen() string { return n.listen }

// Alive reports whether a process runs, paused or not.
func (n *Node) Alive() bool { return n.current() != nil }

// Paused reports whether the process is stopped by Pause.
func (n *Node) Paused() bool {
	p := n.current()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

// Starts is how often the node was started.
func (n *Node) Starts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.starts
}

// PID of the process; 0 if none runs.
func (n *Node) PID() int {
	if p := n.current(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// current is the run under way, if there is one.
func (n *Node) current() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
}

// ErrStopped is part of the error of a Start whose process was stopped or killed by this
// program before it served.
var ErrStopped = errors.New("it was stopped before it was ready")

// Start starts the node, unless it runs, and waits until it serves. One that does not, or
// that ends, is an error that shows the end of its log; if it is too slow it is left running.
func (n *Node) Start(ctx context.Context) error {
	p, err := n.launch()
	if err != nil {
		return fmt.Errorf("start node %s: %w", n.name, err)
	}
	timeout := time.NewTimer(n.c.cfg.ReadyTimeout)
	defer timeout.Stop()
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		if p.wanted() {
			return fmt.Errorf("start node %s: %w", n.name, ErrStopped)
		}
		return fmt.Errorf("start node %s: it ended before it was ready: %s\n%s", n.name, p.state, n.Tail())
	case <-timeout.C:
		return fmt.Errorf("start node %s: not ready after %v\n%s", n.name, n.c.cfg.ReadyTimeout, n.Tail())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// args of the process. A node without others runs alone.
func (n *Node) args() []string {
	var out []string
	if len(n.c.nodes) == 1 {
		out = []string{"dev"}
	} else {
		out = []string{"start", "--name", n.name, "--cluster", n.c.cfg.Cluster, "--routes", strings.Join(n.routes, ","), "--listen-routes", n.listen}
	}
	out = append(out, "--data", n.dir, "--pg", n.pg, "--http", n.http, "--nats", n.nats, "-o", "json")
	out = append(out, n.c.cfg.Args...)
	if n.c.cfg.NodeArgs != nil {
		out = append(out, n.c.cfg.NodeArgs(n.index)...)
	}
	return out
}

// launch starts a process, unless one runs.
func (n *Node) launch() (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return n.proc, nil
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(n.c.cfg.Binary, n.args()...)
	cmd.Env = environment()
	if n.c.cfg.Env != nil {
		cmd.Env = append(cmd.Env, n.c.cfg.Env(n.index)...)
	}
	cmd.Stdout, cmd.Stderr = in, log
	contain(cmd)
	err = n.c.cfg.Launcher.Launch(n.index, cmd)
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	p := &process{cmd: cmd, ready: make(chan struct{}), done: make(chan struct{})}
	n.proc = p
	n.starts++
	go n.watch(p, out)
	return p, nil
}

// environment is that of this program without settings of Tidemill's commands, which are
// meant for this one and not for the nodes. What Go itself reads stays.
func environment() []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TIDEMILL_") {
			out = append(out, kv)
		}
	}
	return out
}

// watch reads what the process prints and waits for its end.
func (n *Node) watch(p *process, out *os.File) {
	s := bufio.NewScanner(out)
	s.Buffer(nil, maxLine)
	for told := false; s.Scan(); {
		var line readyLine
		if !told && json.Unmarshal(s.Bytes(), &line) == nil && line.Ready {
			told = true
			close(p.ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // of a line that was too long
	_ = out.Close()
	err := p.cmd.Wait()
	asked := p.wanted()
	p.state = "exit status 0"
	if err != nil {
		p.state = err.Error()
	}
	n.mu.Lock()
	n.proc = nil
	n.mu.Unlock()
	close(p.done)
	if !asked && n.c.cfg.Exited != nil {
		n.c.cfg.Exited(n, p.state)
	}
}

// Kill ends the process with SIGKILL and waits for it. Nothing happens if none runs.
func (n *Node) Kill() {
	if p := n.current(); p != nil {
		p.want()
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// wanted reports whether somebody wants the process to end.
func (p *process) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *process) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = true
}

// Stop ends the process with SIGTERM and waits for it. It is an error if it has to be
// killed, or does not end with status 0.
func (n *Node) Stop() error {
	p := n.current()
	if p == nil {
		return nil
	}
	p.want()
	if n.Paused() {
		_ = n.Resume() // or it would not see the signal
	}
	if err := terminate(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop node %s: %w", n.name, err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("stop node %s: it did not end within %v and was killed\n%s", n.name, stopTimeout, n.Tail())
	}
	if p.state != "exit status 0" {
		return fmt.Errorf("stop node %s: %s\n%s", n.name, p.state, n.Tail())
	}
	return nil
}

// Pause stops the process with SIGSTOP, which it cannot notice.
func (n *Node) Pause() error { return n.signal(true) }

// Resume lets a paused process go on.
func (n *Node) Resume() error { return n.signal(false) }

func (n *Node) signal(pause bool) error {
	p := n.current()
	if p == nil {
		return fmt.Errorf("node %s does not run", n.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = pause
	return setPaused(p.cmd.Process, pause)
}
