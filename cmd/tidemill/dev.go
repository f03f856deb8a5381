package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/node"
)

// The default addresses.
const (
	defaultPG   = "127.0.0.1:8432"
	defaultHTTP = "127.0.0.1:8433"
	defaultNATS = "127.0.0.1:8422"
)

// drainTimeout bounds an orderly stop, clusterDrainTimeout that of a node of a cluster, which hands over what
// it leads first, and what its broker leads.
const (
	drainTimeout        = 1500 * time.Millisecond
	clusterDrainTimeout = 15 * time.Second
)

func devCommand() *cobra.Command {
	cfg := node.Config{}
	var output, init string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run one node on this machine, without configuration",
		Long: `Run one node with everything on loopback: the PostgreSQL protocol, HTTP and NATS. User and database are
tidemill, without a password. SIGTERM or Ctrl-C drains and ends it.

With -o json, one line is printed when the node is ready:
{"ready":true,"pg":"host:port","http":"host:port","nats":"host:port"}`,
		Example: `  tidemill dev
  tidemill dev --data /var/lib/tidemill --init schema.sql
  psql -h 127.0.0.1 -p 8432 -U tidemill tidemill`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("-o %q: the formats are text and json", output)}
			}
			if init != "" {
				text, err := os.ReadFile(init)
				if err != nil {
					return usageError{err}
				}
				cfg.InitSQL = string(text)
			}
			cfg.Version = version
			cfg.Logf = log.New(cmd.ErrOrStderr(), "", log.LstdFlags).Printf
			return runNode(cmd.Context(), cfg, output == "json", cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	nodeFlags(cmd, &cfg)
	f.StringVar(&init, "init", "", "SQL file to run at the start; CREATE of what is there already is skipped")
	f.StringVarP(&output, "output", "o", "text", "what is printed when ready: text or json")
	return cmd
}

// nodeFlags adds the flags of a node to a command.
func nodeFlags(cmd *cobra.Command, cfg *node.Config) {
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data", "tidemill-data", "directory of all that is kept")
	f.StringVar(&cfg.PG, "pg", defaultPG, "address of the PostgreSQL protocol; port 0 picks a free one")
	f.StringVar(&cfg.HTTP, "http", defaultHTTP, "address of HTTP; port 0 picks a free one")
	f.StringVar(&cfg.NATS, "nats", defaultNATS, "address of NATS; port 0 picks a free one")
	f.StringVar(&cfg.Certs, "certs", "", "directory of certificates, for clients and other nodes")
	f.BoolVar(&cfg.Insecure, "insecure", false, "allow plain traffic off loopback")
	f.BoolVar(&cfg.RequirePassword, "require-password", false, "ask clients on this machine for passwords too")
	f.IntVar(&cfg.Workers, "workers", 0, "goroutines that compute views; 0 means one a core")
	f.IntVar(&cfg.MaxConnections, "max-connections", 0, "SQL connections at once; 0 means 1000")
	f.Int64Var(&cfg.QueryMemoryMB, "query-memory", 0, "megabytes one ad-hoc query may use; 0 means 512")
	f.Var((*sizeFlag)(&cfg.MemoryBytes), "memory", "memory for views' state and cached rows, such as 2GB; the rest is on the disk (default: half of what there is)")
	f.Int64Var(&cfg.ViewMemoryMB, "view-memory", 0, "the same in megabytes; --memory comes first")
	f.DurationVar(&cfg.CheckpointInterval, "checkpoint-interval", engine.DefaultCheckpointInterval, "time between checkpoints; negative: only the statement CHECKPOINT makes them")
	f.Int64Var(&cfg.DiskReserveMB, "disk-reserve", 0, "megabytes kept free on the disk, below which writes are refused; 0 means 256, -1 none")
}

// sizeFlag is a number of bytes on the command line: 1073741824, 2GB, 512 MB.
type sizeFlag int64

// String implements pflag.Value.
func (s *sizeFlag) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set implements pflag.Value.
func (s *sizeFlag) Set(text string) error {
	n, ok := engine.ParseBytes(text)
	if !ok || n <= 0 {
		return fmt.Errorf("%q is no size: it is a number of bytes, or a number and kB, MB, GB or TB", text)
	}
	*s = sizeFlag(n)
	return nil
}

// Type implements pflag.Value.
func (s *sizeFlag) Type() string { return "size" }

// runNode runs a node until ctx ends or the node fails.
func runNode(ctx context.Context, cfg node.Config, asJSON bool, out, progress io.Writer) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.HeapLimit()) // or garbage might take as much again
	}
	bar := showProgress(&cfg, progress)
	n, err := node.Start(ctx, cfg)
	bar()
	if err != nil {
		return err
	}
	if err := announce(n, asJSON, out); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-n.Failed():
	}
	timeout := drainTimeout
	if cfg.Cluster != nil {
		timeout = clusterDrainTimeout
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if cerr := n.Close(stop); err == nil {
		err = cerr
	}
	return err
}

// announce says where a node can be reached.
func announce(n *node.Node, asJSON bool, out io.Writer) error {
	a := n.Addrs()
	if asJSON {
		return json.NewEncoder(out).Encode(struct {
			Ready bool   `json:"ready"`
			PG    string `json:"pg"`
			HTTP  string `json:"http"`
			NATS  string `json:"nats"`
		}{true, a.PG, a.HTTP, a.NATS})
	}
	_, err := fmt.Fprintf(out, "tidemill %s is ready\n  SQL   %s\n  HTTP  http://%s\n  NATS  nats://%s\n", version, psqlLine(a.PG), a.HTTP, a.NATS)
	return err
}
