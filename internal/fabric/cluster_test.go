package fabric

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// clusterWait bounds what a cluster of a test may take: an election takes up to 9 s, several may be needed one after the
// other, and the machine may have more to do.
const clusterWait = 2 * time.Minute

// The largest batch comes through from a node that does not lead the log.
func TestLargestBatchFromAFollower(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 3 x 64 MB")
	}
	c := newCluster(t, 3)
	c.change = func(_ int, cfg *Config) { cfg.RequestTimeout = 40 * time.Second }
	c.startAll()
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	if err := log.MoveLeader(within(t), "c"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, 0, 1)
	recs := make([][]byte, MaxBatchBytes/(4<<20))
	for i := range recs {
		recs[i] = randomBytes(int64(i), 4<<20)
	}
	began := time.Now()
	last, err := log.Append(context.Background(), recs, 1)
	if err != nil || last != uint64(1+len(recs)) {
		t.Fatalf("%d, %v", last, err)
	}
	t.Logf("%d MB in %v", MaxBatchBytes>>20, time.Since(began))
	i := 0
	if err := c.log(1, "l").Read(within(t), 2, func(rec Record) error {
		if i++; !bytes.Equal(rec.Data, recs[i-1]) {
			return fmt.Errorf("record %d is another", rec.Seq)
		}
		return nil
	}); err != nil || i != len(recs) {
		t.Fatalf("%d records, %v", i, err)
	}
}

// Replicas are spread over zones as far as there are different ones.
func TestReplicasAreSpreadOverZones(t *testing.T) {
	c := newCluster(t, 5)
	zones := []string{"x", "x", "x", "y", "z"}
	c.change = func(i int, cfg *Config) { cfg.Cluster.Tags = []string{"rack:7", "zone:" + zones[i]} }
	c.startAll()
	for n := range 6 {
		log := c.log(n%5, fmt.Sprintf("l%d", n))
		if nodes := nodesOf(t, log); zonesOf(zones, nodes) != 3 {
			t.Errorf("log %d is on %v", n, nodes)
		}
		waitCurrent(t, log, 3)
		appendAll(t, log, 0, 3)
	}
	// One that was made on nodes of one zone is spread without a loss.
	cfg := c.log(0, "l0").handle.CachedInfo().Config
	cfg.Placement = &jetstream.Placement{Tags: []string{"zone:x"}}
	if _, err := c.nodes[0].js.UpdateStream(within(t), cfg); err != nil {
		t.Fatal(err)
	}
	log := c.log(0, "l0")
	waitFor(t, "it is in one zone", func() bool { return zonesOf(zones, nodesOf(t, log)) == 1 })
	waitFor(t, "it is in three zones", func() bool {
		if err := c.nodes[1].RaiseReplicas(within(t)); err != nil {
			t.Fatal(err)
		}
		info, err := c.nodes[1].streamInfo(within(t), log.stream)
		return err == nil && info.Config.Placement == nil && zonesOf(zones, membersOf(info)) == 3
	})
	checkNumbers(t, log, 3)
	// With a zone gone new logs have all their copies nevertheless.
	c.nodes[4].Close(context.Background())
	waitFor(t, "it is gone", func() bool { return c.nodes[0].online() == 4 })
	log = c.log(0, "later")
	waitCurrent(t, log, 3)
	appendAll(t, log, 0, 3)
}

func nodesOf(t *testing.T, log *Log) []string {
	t.Helper()
	info, err := log.info(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return membersOf(info)
}

// zonesOf counts the zones of nodes a, b ...
func zonesOf(zones, nodes []string) int {
	in := map[string]bool{}
	for _, node := range nodes {
		in[zones[node[0]-'a']] = true
	}
	return len(in)
}

func TestChooseNodes(t *testing.T) {
	two := map[string]string{"a": "x", "b": "x", "c": "y", "d": "y"}
	three := map[string]string{"a": "x", "b": "x", "c": "y", "d": "z", "e": "z"}
	for _, c := range []struct {
		zones map[string]string
		now   []string
		want  []string // those that must be among them
		in    int      // zones
	}{
		{three, []string{"a", "b", "c"}, []string{"a", "c"}, 3},
		{three, []string{"b", "a", "d"}, []string{"b", "c", "d"}, 3},
		{three, []string{"e", "c", "b"}, []string{"e", "c", "b"}, 3},
		{three, nil, []string{"c"}, 3},
		{two, []string{"a", "b", "c"}, []string{"a", "b", "c"}, 2},
		{two, []string{"gone", "a"}, []string{"a"}, 2},
		{map[string]string{"a": "x", "b": "y", "c": "z"}, nil, nil, 0},
		{map[string]string{"a": "x", "b": "y", "c": "z", "d": ""}, nil, nil, 0},
	} {
		got := chooseNodes("s", c.zones, 3, c.now)
		in := map[string]bool{}
		for _, node := range got {
			in[c.zones[node]] = true
		}
		for _, node := range c.want {
			if !slices.Contains(got, node) {
				t.Errorf("%v with %v now: got %v, want %v among them", c.zones, c.now, got, c.want)
			}
		}
		if len(in) != c.in {
			t.Errorf("%v with %v now: got %v in %d zones, want %d", c.zones, c.now, got, len(in), c.in)
		}
	}
}

const childNodeEnv = "TIDEMILL_FABRIC_CHILD_NODE"

// testCluster is some nodes in this process.
type testCluster struct {
	t      testing.TB
	routes []string
	dirs   []string
	nodes  []*Fabric // nil: not running
	change func(i int, cfg *Config)

	children int // nodes that run as processes of their own
}

// freeRoutes returns addresses that were free a moment ago.
func freeRoutes(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// newCluster prepares n nodes that know each other's addresses and starts none.
func newCluster(t testing.TB, n int) *testCluster {
	c := &testCluster{t: t, routes: freeRoutes(t, n), nodes: make([]*Fabric, n)}
	for range n {
		c.dirs = append(c.dirs, t.TempDir())
	}
	return c
}

func nodeName(i int) string { return string(rune('a' + i)) }

type nodeLogger struct {
	t    testing.TB
	node string
}

var verbose = os.Getenv("FABRIC_TEST_LOG") != ""

func (l nodeLogger) Log(level slog.Level, msg string) {
	if verbose && level >= slog.LevelInfo {
		fmt.Fprintf(os.Stderr, "%s %s %v %s\n", time.Now().Format("05.000"), l.node, level, msg)
	}
}

// start starts node i with the routes of all nodes, unless change says otherwise.
func (c *testCluster) start(i int) *Fabric {
	c.t.Helper()
	f, err := Start(context.Background(), c.config(i))
	if err != nil {
		c.t.Fatalf("start node %d: %v", i, err)
	}
	c.nodes[i] = f
	c.t.Cleanup(func() { f.Close(context.Background()) })
	return f
}

func (c *testCluster) config(i int) Config {
	cfg := Config{Dir: c.dirs[i], Name: nodeName(i), Logger: nodeLogger{c.t, nodeName(i)},
		Cluster: &Cluster{Name: "test", Listen: c.routes[i], Routes: c.routes}}
	if c.change != nil {
		c.change(i, &cfg)
	}
	return cfg
}

// startAll starts all nodes and waits until they are one.
func (c *testCluster) startAll() {
	c.t.Helper()
	for i := range c.nodes {
		c.start(i)
	}
	c.ready()
}

func (c *testCluster) ready() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterWait)
	defer cancel()
	running := c.children
	for i, f := range c.nodes {
		if f == nil {
			continue
		}
		running++
		if err := f.WaitReady(ctx); err != nil {
			c.t.Fatalf("node %d: %v", i, err)
		}
	}
	for _, f := range c.nodes {
		if f != nil {
			waitFor(c.t, "all nodes are seen", func() bool { return f.online() == running })
		}
	}
}

// waitFor waits until fn holds.
func waitFor(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(clusterWait); !fn(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

func (c *testCluster) log(i int, name string) *Log {
	c.t.Helper()
	log, err := c.nodes[i].OpenLog(context.Background(), name, LogConfig{})
	if err != nil {
		c.t.Fatalf("open log on node %d: %v", i, err)
	}
	return log
}

// waitCurrent waits until the log has n copies that all have everything.
func waitCurrent(t testing.TB, log *Log, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d current copies of %s", n, log.Name()), func() bool {
		info, err := log.Info(context.Background())
		if err != nil || info.Leader == "" || len(info.Replicas) != n-1 {
			return false
		}
		for _, r := range info.Replicas {
			if !r.Current || r.Offline || r.Lag > 0 {
				return false
			}
		}
		return true
	})
}

// appendAll appends "n0", "n0+1", ... until n1 and settles what is unknown by reading, as a writer does.
func appendAll(t testing.TB, log *Log, from, to int) {
	t.Helper()
	deadline := time.Now().Add(clusterWait)
	for i := from; i < to; {
		_, err := log.Append(context.Background(), records(strconv.Itoa(i)), uint64(i))
		var wrong *WrongSequenceError
		switch {
		case err == nil:
			i++
		case errors.As(err, &wrong):
			rec, err := log.Get(context.Background(), uint64(i+1))
			if err == nil && string(rec.Data) != strconv.Itoa(i) {
				t.Fatalf("record %d is %q", rec.Seq, rec.Data)
			}
			if err == nil {
				i++
			}
		case !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable):
			t.Fatalf("append %d: %v", i, err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

// checkNumbers reads the whole log, which has the numbers from 0 up to n.
func checkNumbers(t testing.TB, log *Log, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterWait)
	defer cancel()
	i := 0
	err := log.Read(ctx, 1, func(rec Record) error {
		if string(rec.Data) != strconv.Itoa(i) || rec.Seq != uint64(i+1) {
			return fmt.Errorf("record %d is %q", rec.Seq, rec.Data)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Fatalf("%d records of %d, %v", i, n, err)
	}
}

func TestClusterOfThree(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	leaders := map[string]bool{}
	for i, f := range c.nodes {
		leaders[f.MetaLeader()] = true
		if got := f.RouteAddr().String(); got != c.routes[i] {
			t.Errorf("node %d listens on %s, want %s", i, got, c.routes[i])
		}
		peers := f.Peers()
		if len(peers) != 3 || peers[0].Name != "a" || peers[1].Name != "b" || peers[2].Name != "c" || !peers[i].Self {
			t.Errorf("node %d sees %+v", i, peers)
		}
	}
	if len(leaders) != 1 {
		t.Errorf("leaders %v", leaders)
	}
	log := c.log(0, "l")
	waitCurrent(t, log, 3)
	appendAll(t, log, 0, 50)
	for i := range c.nodes {
		checkNumbers(t, c.log(i, "l"), 50)
	}
	// Two writers on different nodes: of two appends after the same record one is refused.
	if _, err := c.log(1, "l").Append(context.Background(), records("x", "y"), 40); !errors.Is(err, ErrWrongSequence) {
		t.Errorf("fenced append: %v", err)
	}
	if last, err := c.log(2, "l").Append(context.Background(), records("50", "51", "52"), 50); err != nil || last != 53 {
		t.Errorf("batch: %d, %v", last, err)
	}
	for _, node := range []string{"b", "c", "a"} {
		began := time.Now()
		if err := log.MoveLeader(context.Background(), node); err != nil {
			t.Fatal(err)
		}
		t.Logf("moved to %s in %v", node, time.Since(began))
		if info, err := log.Info(context.Background()); err != nil || info.Leader != node {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	appendAll(t, log, 53, 60)
	checkNumbers(t, c.log(1, "l"), 60)
	if names, err := c.nodes[1].LogNames(context.Background()); err != nil || strings.Join(names, ",") != "l" {
		t.Errorf("logs: %v, %v", names, err)
	}
}

// A cluster of one takes data; a second and a third node join; when all have copies the first dies.
func TestOneNodeGrowsToThree(t *testing.T) {
	c := newCluster(t, 3)
	c.change = func(i int, cfg *Config) {
		if i == 0 {
			cfg.Cluster.Routes = nil
		} else {
			cfg.Cluster.Routes, cfg.Cluster.Join = c.routes[:1], true
		}
	}
	began := time.Now()
	c.start(0)
	c.ready()
	t.Logf("alone after %v", time.Since(began))
	log := c.log(0, "l")
	appendAll(t, log, 0, 30)
	lease, err := c.nodes[0].AcquireLease(context.Background(), "lead", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[0].PutBlob(context.Background(), "b", strings.NewReader("blob")); err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[0].RaiseReplicas(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].Close(context.Background())
	c.nodes[0] = nil
	first := c.startChild(0) // a process of its own from here on
	began = time.Now()
	c.start(1)
	c.start(2)
	c.ready()
	t.Logf("three after %v", time.Since(began))
	checkNumbers(t, c.log(2, "l"), 30)
	log = c.log(1, "l")
	if err := c.nodes[1].RaiseReplicas(context.Background()); err != nil {
		t.Fatal(err)
	}
	waitCurrent(t, log, 3)
	appendAll(t, log, 30, 60)
	for _, stream := range []string{leaseStream, blobStream} {
		waitFor(t, stream+" has copies", func() bool {
			info, err := c.nodes[1].streamInfo(context.Background(), stream)
			if err != nil || len(info.Cluster.Replicas) != 2 {
				return false
			}
			return info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
		})
	}
	first.Process.Kill()
	first.Wait()
	c.children--
	began = time.Now()
	log = c.log(1, "l")
	appendAll(t, log, 60, 61)
	t.Logf("written again after %v", time.Since(began))
	appendAll(t, log, 61, 90)
	checkNumbers(t, c.log(2, "l"), 90)
	var held *LeaseHeldError
	if _, err := c.nodes[1].AcquireLease(context.Background(), "lead", "b", time.Second); !errors.As(err, &held) || held.Token != lease.Token() {
		t.Errorf("lease after the kill: %v", err)
	}
	checkBlob(t, c.nodes[2], "b", "blob")
	// The first comes back as a member like the others.
	c.start(0)
	c.ready()
	checkNumbers(t, c.log(0, "l"), 90)
}

// startChild starts node i as a process of its own, which can be killed. It is ready when startChild returns.
func (c *testCluster) startChild(i int) *exec.Cmd {
	c.t.Helper()
	cfg := c.config(i)
	text, err := json.Marshal(map[string]any{"Dir": cfg.Dir, "Name": cfg.Name, "Cluster": cfg.Cluster})
	if err != nil {
		c.t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childNodeEnv+"="+string(text))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe() // its end ends the child, also when this process dies
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		in.Close()
		child.Process.Kill()
		child.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		c.t.Fatalf("node %d says %q, %v", i, line, err)
	}
	c.children++
	return child
}

// childNode is a node until its standard input ends.
func childNode(text string) error {
	var cfg Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	cfg.Logger = nodeLogger{nil, cfg.Name + "'"}
	f, err := Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return f.Close(context.Background())
}

func checkBlob(t testing.TB, f *Fabric, name, want string) {
	t.Helper()
	r, _, err := f.GetBlob(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		t.Fatalf("blob %q: %q, %v", name, got, err)
	}
}
