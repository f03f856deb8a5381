package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/chaos"
	"github.com/tidemill/tidemill/internal/devcluster"
)

// maxChaosSeconds bounds a run: what is written is remembered until its end.
const maxChaosSeconds = 24 * 3600

// chaosOptions are the flags of chaos.
type chaosOptions struct {
	nodes, seconds                  int
	faults, network, workload, data string
	output                          string
	seed                            uint64
	keep                            bool
	args                            []string
}

// errChaos is the end of a run that found something; the report has said what.
var errChaos = errors.New("the cluster did not keep its promises")

func chaosCommand() *cobra.Command {
	o := chaosOptions{}
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break a cluster in many ways and check that it keeps its promises",
		Long: `Start a cluster on this machine, let clients work on all its nodes, inject faults, heal, and compare everything with what was
answered. The report says what was acknowledged, lost, duplicated and wrong, which reads were older than they said, and how long
it took from the kill of a leader to the next acknowledged write. With lost, duplicated or wrong above 0 the exit code is 1.

Faults: kill, stop (SIGSTOP), restart, partition, slow, disk, clock, or all. As root on Linux each node gets a network namespace and a
small disk of its own; else proxies stand between the nodes. What cannot be done here is skipped, and the report says so.

The same --seed gives the same faults at the same times. --workload names a file with statements of your own, which are
run in place of the built-in ones; see docs/chaos.md.`,
		Example: `  tidemill chaos --nodes 3 --seconds 60
  tidemill chaos --seconds 600 --faults kill,partition --seed 7 -o json
  tidemill chaos --workload mine.sql --keep`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config()
			if err != nil {
				return usageError{err}
			}
			return runChaos(cmd.Context(), o, cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, fmt.Sprintf("how many nodes, 1 to %d", devcluster.MaxNodes))
	f.IntVar(&o.seconds, "seconds", 60, "how long the load lasts; checks come behind it")
	f.StringVar(&o.faults, "faults", "all", "which faults, with commas between them; none: nothing happens")
	f.Uint64Var(&o.seed, "seed", 0, "what the faults depend on; 0: a new one")
	f.StringVar(&o.network, "network", "", "how the nodes are joined: namespaces or proxies (default: namespaces if that is possible)")
	f.StringVar(&o.workload, "workload", "", "file with statements of your own")
	f.StringVar(&o.data, "data", "", "empty directory for data and logs (default: a temporary one)")
	f.BoolVar(&o.keep, "keep", false, "keep data and logs; they are also kept when something was found")
	f.StringArrayVar(&o.args, "arg", nil, "a further argument of every node, such as --memory=1GB; may be given several times")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

// config checks the flags.
func (o *chaosOptions) config() (chaos.Config, error) {
	cfg := chaos.Config{Nodes: o.nodes, Duration: time.Duration(o.seconds) * time.Second, Seed: o.seed, Network: o.network, Args: o.args, Keep: o.keep}
	if o.nodes < 1 || o.nodes > devcluster.MaxNodes {
		return cfg, fmt.Errorf("--nodes %d: want 1 to %d", o.nodes, devcluster.MaxNodes)
	}
	if low := int(chaos.MinDuration / time.Second); o.seconds < low || o.seconds > maxChaosSeconds {
		return cfg, fmt.Errorf("--seconds %d: want %d to %d", o.seconds, low, maxChaosSeconds)
	}
	if o.output != "text" && o.output != "json" {
		return cfg, fmt.Errorf("-o %q: the formats are text and json", o.output)
	}
	if o.faults != "none" {
		kinds, err := chaos.ParseKinds(o.faults)
		if err != nil {
			return cfg, fmt.Errorf("--faults: %w", err)
		}
		cfg.Faults = kinds
	}
	if o.network != "" && o.network != "namespaces" && o.network != "proxies" {
		return cfg, fmt.Errorf("--network %q: want namespaces or proxies", o.network)
	}
	if o.workload != "" {
		text, err := os.ReadFile(o.workload)
		if err != nil {
			return cfg, err
		}
		if _, err := chaos.ParseWorkload(string(text)); err != nil {
			return cfg, fmt.Errorf("%s: %w", o.workload, err)
		}
		cfg.Workload = string(text)
	}
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64N(1 << 32)
	}
	return cfg, nil
}

// runChaos carries the run out and prints its report.
func runChaos(ctx context.Context, o chaosOptions, cfg chaos.Config, out, log io.Writer) (err error) {
	if cfg.Binary, err = os.Executable(); err != nil {
		return err
	}
	if cfg.Dir = o.data; cfg.Dir == "" {
		if cfg.Dir, err = os.MkdirTemp("", "tidemill-chaos-"); err != nil {
			return err
		}
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return err
	}
	cfg.Log = func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
	report, err := chaos.Run(ctx, cfg)
	failed := report != nil && report.Failed()
	if failed {
		report.Data = cfg.Dir
	}
	if o.data == "" && !o.keep && !failed && (err == nil || ctx.Err() != nil) {
		err = errors.Join(err, os.RemoveAll(cfg.Dir))
	}
	if report == nil {
		return err
	}
	if o.output == "json" {
		err = errors.Join(err, json.NewEncoder(out).Encode(report))
	} else {
		err = errors.Join(err, report.WriteText(out))
	}
	if failed {
		err = errors.Join(errChaos, err)
	}
	return err
}
