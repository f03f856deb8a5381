package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// Bounds of opening a pipeline again after its state could not be read or kept.
const (
	// maxReopens is how often it is opened again within reopenSpan.
	maxReopens = 5
	reopenSpan = time.Hour
	// firstReopenPause comes before the first attempt; each further one takes twice as
	// long, up to maxReopenPause.
	firstReopenPause = 100 * time.Millisecond
	maxReopenPause   = 30 * time.Second
)

// pipeline is the engine as the front doors see it: there, or on its way up.
type pipeline struct {
	engine   atomic.Pointer[engine.Engine]
	recovery *engine.Recovery
}

// running is the engine, nil while it is on its way up.
func (p *pipeline) running() *engine.Engine { return p.engine.Load() }

// OpenSession implements session.Engine.
func (p *pipeline) OpenSession(ctx context.Context, opt session.Options) (session.Session, error) {
	e := p.engine.Load()
	if e == nil {
		return nil, p.starting().clientError()
	}
	return e.OpenSession(ctx, opt)
}

// Ready returns nil when statements can be served, else why not; while the pipeline is
// on its way up the error can be written as JSON.
func (p *pipeline) Ready() error {
	e := p.engine.Load()
	if e == nil {
		return p.starting()
	}
	return e.Err()
}

func (p *pipeline) starting() *startingError { return &startingError{p.recovery.Status()} }

// startingError says how far the pipeline has come on its way up.
type startingError struct{ s engine.RecoveryStatus }

func (e *startingError) Error() string { return "the database system is starting up: " + e.progress() }

func (e *startingError) progress() string {
	s := e.s
	from := "from the start of the log"
	if s.CheckpointStep > 0 {
		from = fmt.Sprintf("behind the checkpoint of step %d", s.CheckpointStep)
	}
	return fmt.Sprintf("%s %s, record %d of %d (%.0f %%), %v so far", s.Phase, from, s.LogPosition, s.Target, s.Percent(), s.Took.Round(time.Millisecond))
}

func (e *startingError) clientError() error {
	return &types.Error{Code: "57P03", Message: "the database system is starting up", Detail: e.progress(), Hint: "Try again in a moment."}
}

// MarshalJSON implements json.Marshaler.
func (e *startingError) MarshalJSON() ([]byte, error) {
	s := e.s
	return json.Marshal(struct {
		Ready          bool      `json:"ready"`
		Phase          string    `json:"phase"`
		CheckpointStep uint64    `json:"checkpoint_step"`
		From           uint64    `json:"from_position"`
		LogPosition    uint64    `json:"log_position"`
		Target         uint64    `json:"target"`
		Percent        float64   `json:"percent"`
		Steps          int64     `json:"steps"`
		Since          time.Time `json:"since"`
		Seconds        float64   `json:"seconds"`
	}{false, s.Phase, s.CheckpointStep, s.From, s.LogPosition, s.Target, s.Percent(), s.Steps, s.Since.UTC(), s.Took.Seconds()})
}

// openPipeline opens the pipeline.
func (n *Node) openPipeline(ctx context.Context) (*engine.Engine, error) {
	memory := n.cfg.Memory()
	cfg := engine.Config{
		Fabric: n.fabric, Name: Database, Workers: n.cfg.Workers, QueryBytes: n.cfg.QueryMemoryMB << 20, MemoryBytes: memory,
		Connectors: connectors(), Virtual: newVirtual(n.cfg.Version, n.Status, n.fabric), Locks: locks{n.fabric}, Logger: slog.New(logHandler{n.cfg.Logf, nil}),
		Recovery: n.pipeline.recovery, Checkpoint: engine.CheckpointConfig{FS: n.files, Interval: n.cfg.CheckpointInterval}, Fill: n.cfg.Fill, Clock: failpoint.Clock(),
	}
	if c := n.cluster; c != nil {
		cfg.Follow, cfg.Node, cfg.Leader = true, c.cfg.Node+"/"+c.run, link{c, Database}
		cfg.Floor = func() uint64 { return c.members.floor(Database, c.cfg.Node) }
	}
	return engine.Open(ctx, cfg)
}

// watch opens the pipeline again when it ends because of its state on the disk, and
// fails the node when it ends for something else. e runs.
func (n *Node) watch(ctx context.Context, e *engine.Engine) {
	pause, count, since := firstReopenPause, 0, time.Now()
	for {
		<-e.Done()
		if n.closing.Load() {
			return
		}
		fault := e.Fault()
		if fault == nil {
			n.fail(e.Err())
			return
		}
		n.pipeline.engine.Store(nil)
		_ = e.Close(ctx)
		if time.Since(since) > reopenSpan {
			pause, count, since = firstReopenPause, 0, time.Now()
		}
		if count++; count > maxReopens {
			n.fail(fmt.Errorf("the pipeline has ended %d times in %v: %w", count, time.Since(since).Round(time.Second), fault))
			return
		}
		n.cfg.Logf("the pipeline has ended and is opened again in %v: %v", pause, fault)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, maxReopenPause)
		next, err := n.openPipeline(ctx)
		if err != nil {
			n.fail(err)
			return
		}
		e = next
		n.pipeline.engine.Store(e)
		if n.closing.Load() { // Close may have looked before
			_ = e.Close(ctx)
			return
		}
	}
}
