package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/devcluster"
)

// Pauses before a node that ended by itself is started again.
const (
	firstRestartPause = time.Second
	lastRestartPause  = 30 * time.Second
)

func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Run clusters on this machine",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(clusterDevCommand())
	return cmd
}

// clusterOptions are the flags of cluster dev.
type clusterOptions struct {
	nodes   int
	data    string
	output  string
	restart bool
	args    []string
}

func clusterDevCommand() *cobra.Command {
	o := clusterOptions{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster of separate processes on this machine",
		Long: `Run a cluster of separate node processes on loopback, each with its own ports, directory and log below --data. The ports
are picked once and kept. User and database are tidemill, without a password, on every node. SIGTERM or Ctrl-C stops all.

A node that dies, or that you kill, is started again after a pause, unless --restart=false.

With -o json, one line is printed when every node serves:
{"ready":true,"cluster":"dev","nodes":[{"name":"a","pid":1,"pg":"host:port","http":"host:port","nats":"host:port","routes":"host:port"}]}`,
		Example: `  tidemill cluster dev --nodes 3 --data /tmp/cluster
  tidemill cluster dev --data /tmp/cluster --arg --memory=1GB`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usageError{err}
			}
			return runCluster(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, fmt.Sprintf("how many nodes, 1 to %d", devcluster.MaxNodes))
	f.StringVar(&o.data, "data", "tidemill-cluster", "directory of all that is kept")
	f.BoolVar(&o.restart, "restart", true, "start a node again that died")
	f.StringArrayVar(&o.args, "arg", nil, "a further argument of every node, such as --memory=1GB; may be given several times")
	f.StringVarP(&o.output, "output", "o", "text", "what is printed when ready: text or json")
	return cmd
}

func (o clusterOptions) check() error {
	if o.nodes < 1 || o.nodes > devcluster.MaxNodes {
		return fmt.Errorf("--nodes %d: want 1 to %d", o.nodes, devcluster.MaxNodes)
	}
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("-o %q: the formats are text and json", o.output)
	}
	return nil
}

// runCluster runs a cluster until ctx ends.
func runCluster(ctx context.Context, o clusterOptions, out, errs io.Writer) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	k := &keeper{ctx: ctx, restart: o.restart, log: errs, pauses: map[string]time.Duration{}}
	c, err := devcluster.Start(ctx, devcluster.Config{Binary: binary, Dir: o.data, Nodes: o.nodes, Args: o.args, Exited: k.exited})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := announceCluster(c, o.output == "json", out); err != nil {
		return err
	}
	<-ctx.Done()
	k.wait()
	return c.StopAll()
}

// keeper starts nodes again that died.
type keeper struct {
	ctx     context.Context
	restart bool
	log     io.Writer

	mu     sync.Mutex // guards writes to log, and:
	pauses map[string]time.Duration
	work   sync.WaitGroup
}

// exited is called when a node ended by itself.
func (k *keeper) exited(n *devcluster.Node, state string) {
	if k.ctx.Err() != nil {
		return
	}
	k.logf("node %s ended: %s; its log is %s", n.Name(), state, n.LogFile())
	if k.restart {
		k.work.Go(func() { k.start(n) })
	}
}

// start waits and starts the node. If it ends again before it serves, exited is told of it
// and the next pause is longer.
func (k *keeper) start(n *devcluster.Node) {
	k.mu.Lock()
	pause := max(k.pauses[n.Name()], firstRestartPause)
	k.pauses[n.Name()] = min(2*pause, lastRestartPause)
	k.mu.Unlock()
	select {
	case <-k.ctx.Done():
		return
	case <-time.After(pause):
	}
	if err := n.Start(k.ctx); err != nil {
		if k.ctx.Err() == nil {
			k.logf("%v", err)
		}
		return
	}
	k.mu.Lock()
	delete(k.pauses, n.Name())
	k.mu.Unlock()
	k.logf("node %s is ready again, process %d", n.Name(), n.PID())
}

func (k *keeper) logf(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Fprintf(k.log, "tidemill: "+format+"\n", args...)
}

// wait returns when nothing starts any more; ctx has ended.
func (k *keeper) wait() { k.work.Wait() }

// clusterLine is what `cluster dev -o json` prints.
type clusterLine struct {
	Ready   bool          `json:"ready"`
	Cluster string        `json:"cluster"`
	Nodes   []clusterNode `json:"nodes"`
}

type clusterNode struct {
	Name   string `json:"name"`
	PID    int    `json:"pid"`
	PG     string `json:"pg"`
	HTTP   string `json:"http"`
	NATS   string `json:"nats"`
	Routes string `json:"routes"`
}

// announceCluster says where the nodes can be reached.
func announceCluster(c *devcluster.Cluster, asJSON bool, out io.Writer) error {
	line := clusterLine{Ready: true, Cluster: "dev"}
	for i := range c.Nodes() {
		n := c.Node(i)
		line.Nodes = append(line.Nodes, clusterNode{n.Name(), n.PID(), n.PG(), n.HTTP(), n.NATS(), n.Listen()})
	}
	if asJSON {
		return json.NewEncoder(out).Encode(line)
	}
	fmt.Fprintf(out, "tidemill %s: a cluster of %d is ready\n%-5s %8s  %-16s %-22s %s\n", version, len(line.Nodes), "node", "process", "SQL", "HTTP", "NATS")
	for _, n := range line.Nodes {
		fmt.Fprintf(out, "%-5s %8d  %-16s %-22s %s\n", n.Name, n.PID, n.PG, "http://"+n.HTTP, "nats://"+n.NATS)
	}
	_, err := fmt.Fprintf(out, "  %s\n", psqlLine(line.Nodes[0].PG))
	return err
}
