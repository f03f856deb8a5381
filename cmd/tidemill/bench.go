package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidemill/tidemill/bench/nexmark"
)

// Bounds of the benchmark's flags.
const (
	maxBenchEvents   = 1 << 40
	maxBenchRate     = 1_000_000_000
	maxBenchWorkers  = 256
	maxBenchStepRows = 1 << 24
	// progressEvery is how often the progress line changes.
	progressEvery = 200 * time.Millisecond
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast queries are kept up to date",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(benchNexmarkCommand())
	return cmd
}

// benchOptions are the flags of bench nexmark.
type benchOptions struct {
	queries    []string
	events     int64
	rate       int64
	workers    int
	stepRows   int64
	seed       int64
	source     string
	output     string
	checkpoint time.Duration
	dir        string
}

func benchNexmarkCommand() *cobra.Command {
	o := benchOptions{}
	cmd := &cobra.Command{
		Use:   "nexmark",
		Short: "Run queries of the Nexmark suite over generated events",
		Long: `Generate the people, auctions and bids of the Nexmark benchmark and run queries of its suite over them, one after the
other, in this process: generator, circuits and workers, without a log or a network. With --checkpoint the circuits' state is
written to disk now and then while steps go on.

Each query gives one line: events, wall_s, cpu_s (the whole process, generator included), generator_cpu_s (the same events
generated alone), events_per_cpu_s, peak_rss_bytes, state_bytes, rows_out, changes_out, and digest, which depends on the
final answer alone.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			queries, err := o.check()
			if err != nil {
				return usageError{err}
			}
			return runBench(cmd.Context(), o, queries, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.queries, "queries", []string{"all"}, "names of queries with commas between them, or all")
	f.Int64Var(&o.events, "events", 1_000_000, "events to generate, of all kinds together")
	f.Int64Var(&o.rate, "rate", 10_000, "events a second of event time")
	f.IntVar(&o.workers, "workers", 1, "goroutines that share the work of a circuit")
	f.Int64Var(&o.stepRows, "step-rows", 40_960, "events a step")
	f.Int64Var(&o.seed, "seed", 0, "what the random values of events depend on")
	f.StringVar(&o.source, "source", "native", "native: columns as they are generated; json: each event is written as JSON and read again")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.DurationVar(&o.checkpoint, "checkpoint", 0, "time between checkpoints, written while the query runs; 0: none")
	f.StringVar(&o.dir, "checkpoint-dir", "", "where the directory for checkpoints is made and removed (default: that of temporary files)")
	return cmd
}

// check validates the flags and returns the queries asked for.
func (o *benchOptions) check() ([]string, error) {
	if o.checkpoint < 0 {
		return nil, fmt.Errorf("--checkpoint %v: want a time between checkpoints", o.checkpoint)
	}
	for _, f := range []struct {
		name       string
		value, max int64
	}{{"events", o.events, maxBenchEvents}, {"rate", o.rate, maxBenchRate}, {"workers", int64(o.workers), maxBenchWorkers}, {"step-rows", o.stepRows, maxBenchStepRows}} {
		if f.value < 1 || f.value > f.max {
			return nil, fmt.Errorf("--%s %d: want 1 to %d", f.name, f.value, f.max)
		}
	}
	if o.source != "native" && o.source != "json" {
		return nil, fmt.Errorf("--source %q: the sources are native and json", o.source)
	}
	if o.output != "text" && o.output != "json" {
		return nil, fmt.Errorf("-o %q: the formats are text and json", o.output)
	}
	all := nexmark.Queries()
	if len(o.queries) == 1 && o.queries[0] == "all" {
		return all, nil
	}
	for _, q := range o.queries {
		if !slices.Contains(all, q) {
			return nil, fmt.Errorf("--queries: there is no query %q: they are %s", q, strings.Join(all, ", "))
		}
	}
	if len(o.queries) == 0 {
		return nil, errors.New("--queries: no query is named")
	}
	return o.queries, nil
}

// runBench runs the queries and prints a line for each as it ends.
func runBench(ctx context.Context, o benchOptions, queries []string, out, log io.Writer) error {
	p := progress{out: log}
	if f, ok := log.(*os.File); ok {
		p.on = term.IsTerminal(int(f.Fd()))
	}
	if o.output == "text" {
		fmt.Fprintf(out, "%-14s %12s %9s %9s %9s %12s %10s %10s %12s %12s  %s\n", "query", "events", "wall s", "cpu s", "gen s", "events/cpu s",
			"state MB", "rss MB", "rows", "changes", "digest")
	}
	var failed []error
	for _, q := range queries {
		opt := nexmark.Options{Events: uint64(o.events), Rate: uint64(o.rate), Seed: o.seed, Workers: o.workers, StepRows: uint64(o.stepRows), JSON: o.source == "json", Checkpoint: o.checkpoint, Dir: o.dir}
		p.query, p.total = q, opt.Events
		if p.on {
			opt.Progress = p.show
		}
		res, err := nexmark.Run(ctx, q, opt)
		p.clear()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = append(failed, err) // the others go on
			continue
		}
		if err := printBench(out, o.output, res); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

func printBench(out io.Writer, format string, r *nexmark.Result) error {
	if format == "json" {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(out, "%-14s %12d %9.2f %9.2f %9.2f %12.0f %10.1f %10.1f %12d %12d  %s\n", r.Query, r.Events, r.WallS, r.CPUS, r.GeneratorCPUS,
		r.EventsPerCPUS, float64(r.StateBytes)/1e6, float64(r.PeakRSSBytes)/1e6, r.RowsOut, r.ChangesOut, r.Digest[:16])
	if c := r.Checkpoints; c != nil && err == nil {
		_, err = fmt.Fprintf(out, "  %d checkpoints of %.1f MB, the last of %.1f MB, a pause of up to %.1f ms, %.2f s of writing beside; %.1f MB of files\n",
			c.Count, float64(c.Bytes)/1e6, float64(c.LastBytes)/1e6, c.MaxPauseS*1e3, c.WriteS, float64(c.StoreBytes)/1e6)
	}
	return err
}

// progress is a line on a terminal that says how far a query is.
type progress struct {
	out   io.Writer
	on    bool
	query string
	total uint64
	last  time.Time
}

func (p *progress) show(events uint64) {
	now := time.Now()
	if now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	fmt.Fprintf(p.out, "\r\x1b[K%s: %d of %d events", p.query, events, p.total)
}

func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
