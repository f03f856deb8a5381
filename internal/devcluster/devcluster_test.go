//go:build unix

package devcluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	roleEnv = "DEVCLUSTER_TEST_ROLE"
	// within bounds what a test waits for.
	within = 20 * time.Second
)

// TestMain lets the test binary play the node, and the program that runs a cluster.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "node":
		os.Exit(fakeNode(os.Args[1:]))
	case "parent":
		os.Exit(fakeParent(os.Args[1]))
	}
	os.Exit(m.Run())
}

// fakeNode listens on its PostgreSQL port, says that it is ready and waits for SIGTERM.
func fakeNode(args []string) int {
	flags := map[string]string{}
	for i := 1; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	if flags["--hang"] != "" {
		_ = os.WriteFile(flags["--hang"], nil, 0o644)
		select {}
	}
	if flags["--fail"] == flags["--name"] && flags["--fail"] != "" {
		fmt.Fprintln(os.Stderr, "this node cannot start")
		return 1
	}
	if err := os.MkdirAll(flags["--data"], 0o755); err != nil {
		return 1
	}
	said, _ := json.Marshal(append(args, os.Getenv("EXTRA")))
	_ = os.WriteFile(filepath.Join(flags["--data"], "args"), said, 0o644)
	l, err := net.Listen("tcp", flags["--pg"])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer l.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("some other line")
	fmt.Printf("{\"ready\":true,\"pg\":%q}\n", flags["--pg"])
	<-stop
	return 0
}

// fakeParent starts a cluster, prints the pids of its nodes and waits to be killed.
func fakeParent(dir string) int {
	c, err := Start(context.Background(), config(dir, 2))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(c.Node(0).PID(), c.Node(1).PID())
	select {}
}

func config(dir string, nodes int) Config {
	return Config{Binary: os.Args[0], Dir: dir, Nodes: nodes, ReadyTimeout: within,
		Env: func(i int) []string { return []string{roleEnv + "=node", "EXTRA=" + Name(i)} }}
}

func start(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func dials(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, within)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

func TestNodesKeepTheirPorts(t *testing.T) {
	dir := t.TempDir()
	c := start(t, config(dir, 3))
	var before []string
	for i := range c.Nodes() {
		n := c.Node(i)
		if !n.Alive() || !dials(n.PG()) {
			t.Errorf("node %s does not serve at %s", n.Name(), n.PG())
		}
		before = append(before, n.PG(), n.HTTP(), n.NATS(), n.Listen())
	}
	var args []string
	text, err := os.ReadFile(filepath.Join(dir, "b", "args"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &args); err != nil {
		t.Fatal(err)
	}
	routes := strings.Join([]string{c.Node(0).Listen(), c.Node(1).Listen(), c.Node(2).Listen()}, ",")
	for _, want := range []string{"start", "--name b", "--routes " + routes, "--listen-routes " + c.Node(1).Listen(), "--cluster dev", "-o json b"} {
		if !strings.Contains(strings.Join(args, " "), want) {
			t.Errorf("node b got %q; want %q in it", args, want)
		}
	}
	if err := c.StopAll(); err != nil {
		t.Error(err)
	}
	c.Close()
	again := start(t, config(dir, 3))
	for i := range again.Nodes() {
		n := again.Node(i)
		if got := []string{n.PG(), n.HTTP(), n.NATS(), n.Listen()}; strings.Join(got, " ") != strings.Join(before[4*i:4*i+4], " ") {
			t.Errorf("node %s has ports %v after a restart, %v before", n.Name(), got, before[4*i:4*i+4])
		}
	}
	if _, err := Prepare(config(dir, 2)); err == nil {
		t.Error("a cluster of 3 nodes starts with 2")
	}
}

func TestKillPauseAndStart(t *testing.T) {
	exited := make(chan string, 10)
	cfg := config(t.TempDir(), 2)
	cfg.Exited = func(n *Node, state string) { exited <- n.Name() + " " + state }
	c := start(t, cfg)
	n := c.Node(1)
	first := n.PID()
	n.Kill()
	if n.Alive() || n.PID() != 0 || dials(n.PG()) {
		t.Error("a killed node lives")
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.PID() == first || n.Starts() != 2 || !dials(n.PG()) {
		t.Errorf("pid %d, was %d; %d starts", n.PID(), first, n.Starts())
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(within)
	for procState(t, n.PID()) != "T" { // the system stops it a moment later
		if time.Now().After(end) {
			t.Fatalf("state of a paused process is %s", procState(t, n.PID()))
		}
	}
	if !n.Paused() {
		t.Error("a paused node does not say so")
	}
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := procState(t, n.PID()); got == "T" || n.Paused() {
		t.Error("the process is still paused")
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Errorf("stop a paused node: %v", err)
	}
	select {
	case s := <-exited:
		t.Errorf("told of an end that was asked for: %s", s)
	default:
	}
	if err := syscall.Kill(c.Node(0).PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-exited:
		if !strings.Contains(s, "a signal: killed") {
			t.Errorf("exit is told as %q", s)
		}
	case <-time.After(within):
		t.Error("nobody was told of a process that ended by itself")
	}
}

func procState(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return rest[:1]
}

func TestANodeThatCannotStart(t *testing.T) {
	cfg := config(t.TempDir(), 2)
	cfg.Args = []string{"--fail", "b"}
	c, err := Start(t.Context(), cfg)
	if err == nil {
		c.Close()
		t.Fatal("the cluster started")
	}
	for _, want := range []string{"node b", "exit status 1", "this node cannot start"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q in it", err, want)
		}
	}
}

func TestKilledBeforeItWasReady(t *testing.T) {
	cfg := config(t.TempDir(), 1)
	hangs := filepath.Join(t.TempDir(), "hangs")
	cfg.Args = []string{"--hang", hangs}
	cfg.Exited = func(*Node, string) { t.Error("told of an end that was asked for") }
	c, err := Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	failed := make(chan error, 1)
	go func() { failed <- c.Node(0).Start(t.Context()) }()
	for end := time.Now().Add(within); ; {
		if _, err := os.Stat(hangs); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the node was not started")
		}
		time.Sleep(time.Millisecond)
	}
	c.Node(0).Kill()
	if err := <-failed; !errors.Is(err, ErrStopped) {
		t.Errorf("start of a node that was killed meanwhile: %v", err)
	}
}

// TestNothingIsLeft kills the program that runs a cluster: its nodes have to go with it.
func TestNothingIsLeft(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs Linux")
	}
	cmd := exec.Command(os.Args[0], t.TempDir())
	cmd.Env = append(os.Environ(), roleEnv+"=parent")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(line)
	if len(pids) != 2 {
		t.Fatalf("pids %q", line)
	}
	end := time.Now().Add(within)
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(text), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Errorf("process %d lives on", pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
			time.Sleep(2 * time.Millisecond) // there is nothing to wait on for another's child
		}
	}
}
