package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// proc is one process: a node that leads, or thinks so.
type proc struct {
	w     *World
	name  string
	node  *node // that it runs on
	skew  int64 // of its clock, in microseconds
	newer bool  // it is of the other version
	eng   *engine.Engine
	drv   *engine.Driver

	dead   bool // it has crashed
	buried bool
	ended  bool // its leader loop has
	faulty bool // something that it asked for went wrong

	sessions  []*client
	feeding   bool             // a request to its source is under way
	promoted  bool             // it is asked to lead
	seen      *engine.Snapshot // the last one that was checked
	afterCalm int              // 1: the write after the faults is under way, 2: it is committed
}

// up reports whether the process answers statements.
func (p *proc) up() bool { return p.eng != nil && !p.dead && !p.ended }

// leads reports whether the process believes that it leads.
func (p *proc) leads() bool { return p.up() && p.eng.Standing().Role == engine.RoleLeader }

// stands reports whether the process follows one that leads.
func (p *proc) stands() bool { return p.up() && p.eng.Standing().Role != engine.RoleLeader }

// start begins the run: a first process, and the base tables and views, mostly before
// the trouble.
func (w *World) start() {
	w.startProc()
	if w.IntN(5) == 0 {
		return
	}
	trouble := w.store.faults
	w.store.faults = faults{}
	p := w.procs[0]
	for n := 0; w.failure == "" && (p.eng == nil || len(p.sessions) == 0 || p.sessions[0].busy); n++ {
		if n == maxCalm {
			w.fail("the base tables are not made: %s", w.state())
		}
		w.turn()
		w.look()
	}
	w.store.faults = trouble
}

// startSome starts a process if there may be another, or none leads.
func (w *World) startSome() {
	if len(w.procs) < w.want.procs || !slices.ContainsFunc(w.procs, func(p *proc) bool { return !p.ended }) {
		w.startProc()
	}
}

// startProc starts a process: it opens the pipeline, then its leader runs.
func (w *World) startProc() {
	for _, p := range w.procs {
		if p.ended {
			p.dead = true // somebody starts it again
		}
	}
	w.look()
	p := &proc{w: w, name: fmt.Sprintf("p%d", w.nextPID+1), skew: int64(w.IntN(4_000_000) - 2_000_000)}
	if !w.take(p) {
		return
	}
	w.nextPID++
	w.procs = append(w.procs, p)
	if len(w.procs) > 1 {
		w.sometimes("two processes at once")
	}
	cfg := engine.Config{Logs: logs{w.store, p, w}, Name: pipeline, Workers: 1 + w.IntN(3), StepRows: w.want.stepRows, Linger: w.want.linger,
		Connectors: w.registry(p), Probe: w.probe(p), Clock: p.clock, Node: p.name, Logger: slog.New(watch{w, p}),
		Manual: &engine.Manual{
			Wait:   func() error { return w.wait(p) },
			Spawn:  func(job func()) { w.spawn(p, "job", job) },
			Choose: w.IntN,
		}}
	cfg.Fill = engine.FillConfig{ChunkRows: pickOf(w, 0, 1, 3, 10), LargeRows: pickOf[int64](w, 0, 1, 1, 5)}
	if p.newer = w.newer; p.newer {
		cfg.Pretend(otherVersion, reads)
	}
	if w.want.standbys {
		cfg.Leader = link{w, p}
		cfg.Floor = func() uint64 { return w.floor(p) }
		cfg.Follow = w.IntN(4) > 0 && slices.ContainsFunc(w.procs, func(q *proc) bool { return q != p && !q.ended && !q.dead })
	}
	if w.want.disks {
		cfg.MemoryBytes = w.want.memory
		cfg.Checkpoint = engine.CheckpointConfig{FS: p.node.disk, Interval: pickOf(w, -1, 300*time.Millisecond, 2*time.Second, 10*time.Second),
			Bytes: pickOf[int64](w, 1<<30, 3000), Rate: -1, ReserveBytes: -1, CheckWrites: w.IntN(3) == 0}
	}
	w.note("start %s with %d workers, its clock %+dms off", p.name, cfg.Workers, p.skew/1000)
	w.spawn(p, "leader", func() { w.leader(p, cfg) })
}

// wait lets others run while the running task waits for something to happen. If nothing
// but time can happen, time passes.
func (w *World) wait(p *proc) error {
	if len(w.tasks) == 1 || w.IntN(3) == 0 {
		w.passTime(int64(1+w.IntN(30)) * 1000)
	}
	return w.pause(p)
}

// leader is the life of a process.
func (w *World) leader(p *proc, cfg engine.Config) {
	e, d, err := engine.OpenManual(background(), cfg)
	if p.dead {
		return
	}
	if err != nil {
		w.opened(p, err)
		p.ended = true
		return
	}
	w.note("is %v in epoch %d at step %d", e.Standing().Role, w.chk.epoch, e.Snapshot().Step)
	p.eng, p.drv = e, d
	p.node.failed = 0
	if e.Snapshot().Step > 1 {
		w.sometimes("pipeline opened again")
	}
	if w.store.open(mainLog).first > 1 {
		w.sometimes("trimmed log opened")
	}
	for range w.want.sessions {
		w.openSession(p)
	}
	if len(e.Snapshot().Catalog.Relations()) == 0 && p.leads() {
		w.makeBase(p)
	}
	for d.Turn() && w.pause(p) == nil {
	}
	p.ended = true
	if p.dead {
		return
	}
	w.sometimes("leader ended")
	w.note("ends: %v", e.Err())
	w.endedWell(p, e.Err())
}

// opened judges why a pipeline could not be opened.
func (w *World) opened(p *proc, err error) {
	w.note("cannot open: %v", err)
	w.sometimes("open failed")
	p.node.failed++
	if strings.Contains(err.Error(), "there is no checkpoint to go on from") {
		w.sometimes("trimmed log without a checkpoint")
		hurt := slices.ContainsFunc(w.nodes, func(n *node) bool { return n.hurt })
		if len(w.nodes) == 1 && !hurt && !p.faulty {
			w.fail("%s cannot open the pipeline: %v", p.name, err)
		}
		w.lost = hurt && !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.failed < hopeless }) && !slices.ContainsFunc(w.procs, (*proc).leads)
		return
	}
	if w.damaged(p, err) {
		w.sometimes("damage found while it opened")
		w.giveUp(p)
		return
	}
	if errors.Is(err, fabric.ErrTrimmed) && len(w.nodes) > 1 {
		w.sometimes("log trimmed by another process while it was opened")
		return
	}
	if !p.faulty && len(w.procs) == 1 || fatal(err) {
		w.fail("%s cannot open the pipeline: %v", p.name, err)
	}
}

// endedWell judges why a leader ended.
func (w *World) endedWell(p *proc, err error) {
	var te *types.Error
	if errors.Is(err, engine.ErrYielded) {
		w.sometimes("lead handed over")
		return
	}
	if errors.As(err, &te) && te.Code == "57P04" {
		w.sometimes("zombie fenced")
		return
	}
	if errors.Is(err, engine.ErrNeedsCheckpoint) && len(w.nodes) > 1 {
		w.sometimes("log trimmed past a standby")
		return
	}
	if w.damaged(p, err) {
		w.sometimes("damage found while it led")
		w.giveUp(p)
		return
	}
	if !p.faulty && len(w.procs) == 1 || fatal(err) {
		w.fail("%s ended: %v", p.name, detail(err))
	}
}

// giveUp ends the run if damage is met again and again: the last checkpoint of a trimmed
// log is not put aside, so that each process that opens it comes as far as the one before.
func (w *World) giveUp(p *proc) {
	if p.node.damage++; p.node.damage >= 2*hopeless && !slices.ContainsFunc(w.procs, (*proc).leads) {
		w.lost = true
	}
}

// damaged reports whether an error tells of a bit that was turned over on p's disk.
func (w *World) damaged(p *proc, err error) bool {
	return p.node != nil && p.node.hurt && strings.Contains(detail(err), "damaged")
}

// detail is an error with all that it says.
func detail(err error) string {
	var te *types.Error
	if errors.As(err, &te) {
		return fmt.Sprintf("%v: %s", err, te.Detail)
	}
	return fmt.Sprint(err)
}

// fatal reports whether an error tells of something that must never happen, whatever
// the log and the disk do.
func fatal(err error) bool {
	var te *types.Error
	return errors.As(err, &te) && te.Code == "XX000" || broken(err)
}

// broken is fatal for statements that only read: what they read with may fail.
func broken(err error) bool {
	text := fmt.Sprint(err)
	var te *types.Error
	if errors.As(err, &te) {
		text += te.Detail
		if te.Code == "XX001" {
			return true
		}
	}
	for _, bad := range []string{"differs from what was committed", "panic", "does not continue the chain", "of our epoch and not ours",
		"in the middle of an append", "was not asked for", "claims epoch", "of which", "is late for", "is next"} {
		if strings.Contains(text, bad) {
			return true
		}
	}
	return false
}

// hopeless is how often in a row a pipeline could not be opened on a machine before
// nobody tries any more: its checkpoints are damaged, and the log is trimmed.
const hopeless = 4

// crash ends a process at once.
func (w *World) crash(p *proc, when string) {
	w.note("%s crashes %s", p.name, when)
	w.sometimes("crash " + when)
	p.dead = true
}

// crashSome crashes some process, wherever it is.
func (w *World) crashSome() {
	if len(w.procs) > 0 && w.IntN(2) == 0 {
		p := w.procs[w.IntN(len(w.procs))]
		when := "while it leads"
		if p.eng == nil {
			when = "while it opens the pipeline"
		}
		w.crash(p, when)
	}
}

// client is a session and what it does.
type client struct {
	p     *proc
	name  string
	s     session.Session
	busy  bool
	doing string
	step  uint64 // the last step that it has seen

	warned int // of old rows
}

func (w *World) openSession(p *proc) {
	c := &client{p: p, name: fmt.Sprintf("c%d", len(p.sessions)+1)}
	s, err := p.eng.OpenSession(background(), session.Options{User: "sim", Notice: c.notice})
	if err != nil {
		if !p.ended {
			w.fail("open a session: %v", err)
		}
		return
	}
	c.s = s
	p.sessions = append(p.sessions, c)
}

// begin lets c do something as a task of its own.
func (w *World) begin(c *client, what string, do func()) {
	c.busy, c.doing = true, what
	w.spawn(c.p, c.name, func() {
		do()
		c.busy, c.doing = false, ""
	})
}
