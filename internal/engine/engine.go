// Package engine is one pipeline: its catalog, the loop of its leader, the
// sessions that read and write it. It binds the pure houses to the log: plan
// gives circuits, worker runs them, coord decides what is committed, wire gives
// bytes, fabric keeps them.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// Bounds of a pipeline, unless Config says otherwise.
const (
	// DefaultStateBytes bounds the state of the views together.
	DefaultStateBytes = 4 << 30
	// DefaultQueryBytes bounds what one query, or one transaction, may hold.
	DefaultQueryBytes = 512 << 20
	// DefaultStepRows is how many rows close a step.
	DefaultStepRows = 65536
	// DefaultLinger is how long after a step source rows wait for more.
	DefaultLinger = 5 * time.Millisecond
	// MaxPendingTx bounds the transactions and commands that wait for the leader.
	MaxPendingTx = 1024
	// MaxPendingBytes bounds the rows of transactions that wait for the leader.
	MaxPendingBytes = 128 << 20
	// MaxTxBytes bounds the rows of one transaction, which go into one append.
	MaxTxBytes = 48 << 20
	// MaxRowBytes bounds one row of a table or source: it must fit a record.
	MaxRowBytes = 7 << 20
	// MaxSourceBytes bounds the rows of one source that are durable and wait for a step.
	MaxSourceBytes = 64 << 20
	// MaxRingBytes and MaxRingSteps bound the recent changes kept of one relation
	// for subscribers, on disk for the most part.
	MaxRingBytes = 256 << 20
	MaxRingSteps = 100_000
	// MaxSessions bounds the open sessions.
	MaxSessions = 1000
	// MaxErrors bounds the row errors kept for tidemill.errors.
	MaxErrors = 1000
)

// Version names the program in records; a pipeline notes which one computed a step.
const Version = "0.1.0"

// Config says how to open a pipeline. Fabric (or Logs) and Name are required.
type Config struct {
	Fabric *fabric.Fabric
	// Logs keeps the logs. Zero: Fabric does.
	Logs Logs
	// Room returns nil while there is room on the disk for new work, a *fabric.NoSpaceError
	// otherwise. It must be cheap. Zero: Fabric's; without one there always is.
	Room func() error
	// Name is the pipeline's, which is the database that clients ask for.
	Name string
	// Workers is how many goroutines a circuit runs on. Zero: one a processor.
	Workers int
	// MemoryBytes is how much of the views' state and the rows of relations is in memory;
	// the rest is on the disk. Without Checkpoint.FS there is none: then a view that would
	// pass it is not made, near it transactions that add rows are refused, and a step that
	// passes it fails the pipeline. Zero: DefaultStateBytes.
	MemoryBytes int64
	// QueryBytes bounds the memory of one query. Zero: DefaultQueryBytes.
	QueryBytes int64
	// StepRows closes a step. Zero: DefaultStepRows.
	StepRows int
	// Linger is how long after a step source rows wait for more. Zero:
	// DefaultLinger; negative: they do not wait.
	Linger time.Duration
	Logger *slog.Logger // zero: silent
	// Connectors are the systems that sources and sinks may use. Zero: none.
	Connectors *connector.Registry
	// Virtual serves the system catalogs. Zero: there are none.
	Virtual VirtualTables
	// Locks serves the functions that take and give up locks. Nil: there are none.
	Locks session.Locks
	// Clock tells the time. Zero: time.Now.
	Clock func() time.Time
	// Node names this run among all that ever wrote the log. Zero: a random name.
	Node string
	// Recovery is told how far Open has come. Zero: Engine.Recovery alone tells.
	Recovery *Recovery
	// Checkpoint says where checkpoints are kept and when they are made. Zero: there are none.
	Checkpoint CheckpointConfig
	// Fill says how views are made over rows that are there.
	Fill FillConfig
	// Follow lets Open return a standby, once it is restored and as far as the log was when
	// it began. False: it takes the lead.
	Follow bool
	// Leader is how a standby reaches who leads. Nil: there is nobody else, and a leader
	// has no standbys.
	Leader Leader
	// Floor tells the first record of the log that other nodes need still. Nil, or zero:
	// none does. It must be cheap.
	Floor func() uint64
	// Manual, of OpenManual alone, drives the engine.
	Manual *Manual
	// Probe is worker.Config.Probe: tests let circuits panic in it.
	Probe func(circuit, rel string, b *batch.Batch)

	// Tests make another program of this one: by its version, "" for Version, and by what
	// it takes the query of a view for; nil: what it says.
	version string
	reads   func(query string) string
}

// Engine is an open pipeline. It is safe for concurrent use.
type Engine struct {
	cfg  Config
	logs Logs
	log  Log
	node string // names this run among all that ever wrote the log

	snap      atomic.Pointer[Snapshot]
	published broadcast // at every publication, and when the pipeline ends
	metrics   Metrics
	errors    errorList

	submit  chan *request
	promote chan promotion // a standby is to lead
	// forwards are transactions of a standby's sessions on their way to the leader.
	forwards chan *forwarded
	look     chan func(*leader) // what wants to see the leader's own state
	written  chan *ckptJob      // a checkpoint's writer is through
	unread   chan unreadFault   // something that was read beside the leader is damaged
	aside    aside
	arrive   chan struct{} // some source has rows; one pending signal is enough
	bytes    *semaphore    // of MaxPendingBytes
	nextReq  atomic.Uint64
	polls    atomic.Bool // there was a source that generates its rows
	quiet    atomic.Bool // it closes: sources rest
	looking  atomic.Bool // for rows of sources that came by way of another node

	ctx    context.Context // ends when the engine closes
	cancel context.CancelFunc
	done   chan struct{}  // the leader loop has ended
	aux    sync.WaitGroup // runners and sinks

	mu       sync.Mutex
	sources  map[catalog.ID]*source
	sinks    map[catalog.ID]*sinkState
	builds   []*build            // what is being made beside the steps, the oldest first
	thawed   map[catalog.ID]bool // while it is opened: views that may not be frozen; see thawError
	sessions map[int32]*Session
	nextPID  int32
	ended    error // why the pipeline ended; nil while it runs
	closing  bool
	yielding bool // nothing new is taken

	lead     *leader       // belongs to the loop
	store    *ckpt.Store   // of checkpoints, and of state that is not in memory; nil: there is none
	budget   *state.Budget // of the memory for state that can leave it
	recovery *Recovery
	fault    error // why the state could not be read back or kept; set before done is closed
	fenced   bool  // another leader took over; likewise
	stand    stand
	sent     sentTxs
}

// Open opens the pipeline: it reads its log from the start, rebuilds every view,
// takes over as leader and returns when it is ready.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	cfg.Manual = nil
	e, err := open(ctx, cfg)
	if err == nil {
		if cfg.Follow {
			e.startForwarding()
		}
		go e.run()
	}
	return e, err
}

// open is Open but for the start of the loop.
func open(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Name == "" {
		return nil, errors.New("open pipeline: Config.Name is empty")
	}
	if cfg.Logs == nil {
		if cfg.Fabric == nil {
			return nil, errors.New("open pipeline: Config.Fabric is nil")
		}
		cfg.Logs = fabricLogs{cfg.Fabric}
	}
	if cfg.Room == nil && cfg.Fabric != nil {
		cfg.Room = cfg.Fabric.Room
	}
	setDefaults(&cfg)
	e := &Engine{
		recovery: cfg.Recovery, cfg: cfg, logs: cfg.Logs, node: cfg.Node,
		submit: make(chan *request, MaxPendingTx), promote: make(chan promotion, 1), forwards: make(chan *forwarded, MaxPendingTx), written: make(chan *ckptJob, 1), unread: make(chan unreadFault, 1), arrive: make(chan struct{}, 1), look: make(chan func(*leader)),
		bytes: newSemaphore(MaxPendingBytes), done: make(chan struct{}),
		sources: map[catalog.ID]*source{}, sinks: map[catalog.ID]*sinkState{}, sessions: map[int32]*Session{},
	}
	e.sent.origin = originOf(&cfg)
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.open(ctx); err != nil {
		e.cancel()
		e.aux.Wait()
		e.closeStore()
		return nil, fmt.Errorf("open pipeline %q: %w", cfg.Name, err)
	}
	return e, nil
}

func setDefaults(cfg *Config) {
	if cfg.Workers <= 0 {
		cfg.Workers = min(runtime.GOMAXPROCS(0), 64)
	}
	if cfg.MemoryBytes <= 0 {
		cfg.MemoryBytes = DefaultStateBytes
	}
	if cfg.QueryBytes <= 0 {
		cfg.QueryBytes = DefaultQueryBytes
	}
	if cfg.StepRows <= 0 {
		cfg.StepRows = DefaultStepRows
	}
	if cfg.Linger == 0 {
		cfg.Linger = DefaultLinger
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Connectors == nil {
		cfg.Connectors = connector.NewRegistry()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Node == "" {
		cfg.Node = randomName()
	}
	if cfg.version == "" {
		cfg.version = Version
	}
	if cfg.Recovery == nil {
		cfg.Recovery = &Recovery{}
	}
	cfg.Checkpoint.setDefaults()
}

func randomName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// open brings the state back and takes over.
func (e *Engine) open(ctx context.Context) error {
	start := time.Now()
	log, err := e.logs.OpenLog(ctx, "LOG_"+e.cfg.Name)
	if err != nil {
		return err
	}
	e.log = log
	if err := e.openStore(); err != nil {
		return err
	}
	if err := e.recover(ctx); err != nil {
		return err
	}
	e.aside.start(e.spawn)
	l := e.lead
	e.cfg.Logger.Info("pipeline is ready", "pipeline", e.cfg.Name, "step", l.coord.CommittedStep(),
		"epoch", l.coord.Epoch(), "took", time.Since(start))
	return nil
}

// newLeader makes a leader with no state, whose circuits have so many lanes.
func (e *Engine) newLeader(lanes int) {
	work := worker.Config{Lanes: lanes, Threads: e.cfg.Workers, CheckWrites: e.cfg.Checkpoint.CheckWrites, Probe: e.cfg.Probe, FillRows: e.cfg.Fill.ChunkRows}
	if e.store != nil {
		work.Backing, work.Budget = e.store, e.budget
	}
	var cache *state.Cache
	if e.store != nil {
		cache = state.NewCache(e.store, blockCodec{}, e.budget)
		if e.cfg.Manual != nil {
			cache.Collect = runtime.GC // what it finds follows from what happened, and not from when garbage was collected
		}
	}
	e.lead = &leader{
		e: e, work: worker.Open(work), rels: map[catalog.ID]*relation{}, requests: map[uint64]*request{}, from: 1,
		coord: coord.New(e.coordConfig()),
		cat:   catalog.New(e.virtuals()), positions: map[catalog.ID]uint64{}, events: map[catalog.ID]*tableEvent{}, historyRead: map[catalog.ID]uint64{}, stale: map[catalog.ID]string{}, exempt: map[catalog.ID]bool{},
		wake: time.NewTimer(time.Hour), wakeAt: math.MaxInt64, cache: cache, ckpt: checkpoints{store: e.store, at: math.MaxInt64},
	}
}

// Bounds of appends in a cluster, whose logs are without a leader for seconds when a node
// dies: what waits should go on at once when there is one.
const (
	clusterBackoff  = 200 * time.Millisecond
	clusterAttempts = 300
)

// coordConfig says how steps are closed and appended.
func (e *Engine) coordConfig() coord.Config {
	cfg := coord.Config{StepRows: e.cfg.StepRows, LingerMicros: e.cfg.Linger.Microseconds()}
	if e.cfg.Leader != nil {
		cfg.MaxAttempts, cfg.MaxBackoffMicros = clusterAttempts, clusterBackoff.Microseconds()
	}
	return cfg
}

// virtuals are the system catalogs' relations.
func (e *Engine) virtuals() []catalog.Relation {
	if e.cfg.Virtual == nil {
		return nil
	}
	return e.cfg.Virtual.Relations()
}

// micros is the logical time: microseconds since 2000-01-01 UTC.
func (e *Engine) micros() int64 { return e.cfg.Clock().UnixMicro() - epochMicros }

// epochMicros is 2000-01-01 UTC in Unix time.
const epochMicros = 946684800 * 1_000_000

// Name returns the pipeline's name.
func (e *Engine) Name() string { return e.cfg.Name }

// Snapshot returns the last committed step's content.
func (e *Engine) Snapshot() *Snapshot { return e.snap.Load() }

// Err returns why the pipeline ended, nil while it runs.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// Done is closed when the pipeline has ended: closed, fenced or failed.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Close stops taking work, commits what was accepted, answers everybody and stops.
// When ctx ends first, what is left is answered with an error.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	first := !e.closing
	e.closing = true
	e.mu.Unlock()
	if first {
		e.lastCheckpoint(ctx)
		// Everything accepted before this request is committed when it is answered.
		r := &request{kind: coord.Flush, answer: make(chan answer, 1), last: true}
		select {
		case e.submit <- r:
			select {
			case <-r.answer:
			case <-ctx.Done():
			case <-e.done:
			}
		case <-ctx.Done():
		case <-e.done:
		}
		e.cancel()
	}
	<-e.done
	e.aux.Wait()
	e.closeStore()
	return nil
}

// closeTimeout bounds how long Close waits for a last checkpoint.
const closeTimeout = time.Minute

// lastCheckpoint makes a checkpoint that no step is behind: sources rest from here on. The
// next start, also that of another version of the program, has nothing to compute again.
func (e *Engine) lastCheckpoint(ctx context.Context) {
	if e.store == nil || e.cfg.Checkpoint.Interval < 0 || e.cfg.Manual != nil || e.role() != RoleLeader {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	e.quiet.Store(true)
	e.inspect(ctx, func(*leader) {
		for _, s := range e.sourceList() {
			if s.stop != nil {
				s.stop()
			}
		}
	})
	for _, r := range []*request{{kind: coord.Flush}, {kind: coord.Checkpoint, statement: true}} {
		r.id, r.answer = e.nextReq.Add(1), make(chan answer, 1)
		select {
		case e.submit <- r:
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
		select {
		case <-r.answer:
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
	}
}

// errClosed is what clients of a pipeline that shuts down get.
func errClosed() error {
	return &types.Error{Code: "57P01", Message: "terminating connection due to administrator command", Detail: "The pipeline is shutting down."}
}

// end notes why the pipeline ended and wakes everybody.
func (e *Engine) end(err error) {
	e.mu.Lock()
	if e.ended == nil {
		e.ended = err
	}
	e.closing = true
	e.mu.Unlock()
	e.published.send()
}

// hashOf is the wire form of a coord hash.
func hashOf(h coord.Hash) wire.Hash { return wire.Hash(h) }
