package nexmark

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/worker"
)

// Options say what is generated and how it is run.
type Options struct {
	Events   uint64 // of all kinds together
	Rate     uint64 // events a second of event time
	Seed     int64
	Workers  int
	StepRows uint64 // events a step
	JSON     bool   // events go through JSON
	// Checkpoint is the time between checkpoints of the circuits, which are written into
	// a new directory below Dir while steps go on; 0: none are made. Dir "" is that of
	// temporary files.
	Checkpoint time.Duration
	Dir        string
	// Progress, if not nil, is called after every step with the events so far.
	Progress func(events uint64)
}

// Settings are Options as a result names them.
type Settings struct {
	Rate     uint64 `json:"rate"`
	Seed     int64  `json:"seed"`
	Workers  int    `json:"workers"`
	StepRows uint64 `json:"step_rows"`
	Source   string `json:"source"`
	// Columns are those of each stream that are generated, or read from JSON: what the
	// query needs.
	Columns map[string][]string `json:"columns"`
	GOOS    string              `json:"goos"`
	GOARCH  string              `json:"goarch"`
	Go      string              `json:"go"`
	Cores   int                 `json:"cores"`
}

// Result is what a run of a query measured.
type Result struct {
	Query  string `json:"query"`
	Events uint64 `json:"events"`
	// WallS is the time of the run in seconds, CPUS the processor time of the whole
	// process, generator included.
	WallS float64 `json:"wall_s"`
	CPUS  float64 `json:"cpu_s"`
	// GeneratorCPUS is the processor time of generating the same events alone.
	GeneratorCPUS float64 `json:"generator_cpu_s"`
	EventsPerCPUS float64 `json:"events_per_cpu_s"`
	PeakRSSBytes  int64   `json:"peak_rss_bytes"`
	StateBytes    int64   `json:"state_bytes"` // when the last event was in
	RowsOut       int64   `json:"rows_out"`    // of the final answer
	ChangesOut    int64   `json:"changes_out"` // on the way there
	Digest        string  `json:"digest"`      // of the final answer, whatever its order
	// Checkpoints are nil if none were asked for.
	Checkpoints *CheckpointFigures `json:"checkpoints,omitempty"`
	Settings    Settings           `json:"settings"`
}

// Run measures one query: first the generator alone, then the query.
func Run(ctx context.Context, query string, o Options) (*Result, error) {
	text, err := SQL(query)
	if err != nil {
		return nil, err
	}
	cols, err := needed(text)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	keep := func(t, c string) bool { return slices.Contains(cols[t], c) }
	cfg := worker.Config{Threads: o.Workers}
	var c *checkpointer
	if o.Checkpoint > 0 {
		if c, err = openStore(o.Dir, o.Checkpoint); err != nil {
			return nil, err
		}
		defer c.close()
		cfg = c.config(o.Workers)
	}
	p, err := buildWith(text, cfg, keep)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	if c != nil {
		c.p = p
	}
	for t := range cols {
		if !slices.Contains(p.reads, t) {
			delete(cols, t)
		}
	}
	res := &Result{Query: query, Events: o.Events, Settings: Settings{Rate: o.Rate, Seed: o.Seed, Workers: o.Workers, StepRows: o.StepRows, Source: "native",
		Columns: cols, GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Go: runtime.Version(), Cores: runtime.NumCPU()}}
	if o.JSON {
		res.Settings.Source = "json"
	}
	alone, err := NewFeeder(p, o, keep)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	before, err := cpuTime()
	if err != nil {
		return nil, err
	}
	if err := alone.Generate(o.StepRows); err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	after, err := cpuTime()
	if err != nil {
		return nil, err
	}
	res.GeneratorCPUS = (after - before).Seconds()
	f, err := NewFeeder(p, o, keep)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	debug.FreeOSMemory()
	resetPeakRSS()
	if err := res.measure(ctx, p, f, o, c); err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	res.PeakRSSBytes, err = peakRSS()
	return res, err
}

// measure runs all events through the circuits.
func (r *Result) measure(ctx context.Context, p *Pipeline, f *Feeder, o Options, c *checkpointer) error {
	before, err := cpuTime()
	if err != nil {
		return err
	}
	began := time.Now()
	digest := batch.DigestOf(p.Start())
	r.count(p.Start())
	take := func(out *worker.Output, err error) error {
		if err == nil && out != nil {
			digest = digest.Add(out.Digest)
			r.count(out.Batch)
		}
		return err
	}
	for !f.Done() {
		if err := ctx.Err(); err != nil {
			return err
		}
		feeds, err := f.Next(o.StepRows)
		if err != nil {
			return err
		}
		if err := take(p.Step(f.Now(), feeds)); err != nil {
			return err
		}
		if c != nil {
			if err := c.step(false); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(f.Given())
		}
	}
	r.StateBytes = p.StateBytes()
	if c != nil {
		if r.Checkpoints, err = c.finish(); err != nil {
			return err
		}
	}
	if once(r.Query) { // for others it would only free what they hold
		if err := take(p.Step(f.Now(), f.Final())); err != nil {
			return err
		}
	}
	r.WallS = time.Since(began).Seconds()
	after, err := cpuTime()
	if err != nil {
		return err
	}
	r.CPUS = (after - before).Seconds()
	r.EventsPerCPUS = float64(r.Events) / max(r.CPUS, 1e-9)
	r.Digest = fmt.Sprintf("%016x%016x", digest.Hi, digest.Lo)
	return nil
}

// count adds up the changes of b.
func (r *Result) count(b *batch.Batch) {
	r.ChangesOut += int64(b.Len())
	for k := range b.Len() {
		r.RowsOut += b.Weight(b.Row(k))
	}
}
