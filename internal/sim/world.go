// Package sim runs the whole pipeline, its real code, in a world where one seed decides
// everything: which process goes on, what becomes of an append, when a process dies and
// another one takes over without knowing whether it has. After each event it holds what
// is in the log and what every reader sees against a model that is as simple as can be.
// A seed that fails fails again. It is for tests only.
package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
	"github.com/tidemill/tidemill/internal/engine"
)

// Options change how a seed runs.
type Options struct {
	// Events is how many events there are before the faults end. Zero: the seed says.
	Events int
	// Trace keeps the last events for Failure.
	Trace bool
	// Flips is in how many of 1000 deaths of a process a bit of its disk turns over. Zero:
	// the seed says.
	Flips int
	// Unfenced is a mutation: the logs do not look at what an append expects.
	Unfenced bool
}

// World is one run.
type World struct {
	seed  uint64
	opt   Options
	rng   *rand.Rand
	now   int64 // microseconds since 1970
	store *store
	chk   *shadow

	nodes   []*node
	procs   []*proc
	tasks   []*task
	running *task
	nextPID int
	nextOp  int64
	quiet   bool // the faults have ended
	newer   bool // processes that start are of the other version
	// upgrading says that versions follow each other: what a sink was told by one may not be
	// what another tells.
	upgrading bool
	lost      bool // what was kept is damaged, and nothing can be brought back
	subs      []*subscriber
	feeders   []*feeder
	targets   map[catalog.ID]*target
	want      shape
	cured     map[poisonRow]bool

	failure string
	trace   []string
	counts  map[string]int
	chosen  uint64 // a hash of all choices
	events  int
}

// shape is what the seed makes of the run as a whole.
type shape struct {
	events   int
	procs    int // at most so many at once
	sessions int // of each
	linger   time.Duration
	stepRows int
	views    int // at the beginning
	oracle   int // a view is computed anew at one of so many publications
	ddl      int // of 1000 operations
	outages  bool
	disks    bool  // there are checkpoints
	memory   int64 // of state, before it leaves memory; 0: enough
	poison   bool  // circuits panic on some rows
	upgrade  bool  // another version of the program follows in the end
	standbys bool  // processes follow the one that leads
}

// Start of the clock: 2026-01-01.
const startMicros = 1767225600 * 1_000_000

// maxTrace bounds the events kept for a failure.
const maxTrace = 100

// Failure is a run that broke an invariant.
type Failure struct {
	Seed   uint64
	Reason string
	Trace  []string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d: %s\nlast events:\n  %s\nrun it again: go test ./internal/sim -run TestSeeds -seeds 1 -seed-start %d -v", f.Seed, f.Reason, strings.Join(f.Trace, "\n  "), f.Seed)
}

// Report is what a run did.
type Report struct {
	Counts map[string]int
	Hash   uint64 // equal for equal runs
	Events int
	Steps  uint64
}

// Run runs one seed. The error is a *Failure.
func Run(seed uint64, opt Options) (*Report, error) {
	w := newWorld(seed, opt)
	defer w.stop()
	w.live()
	if w.failure != "" {
		if !opt.Trace { // once more, to see what happened
			opt.Trace = true
			if _, err := Run(seed, opt); err != nil {
				return nil, err
			}
			return nil, &Failure{seed, "it does not fail again: " + w.failure, nil}
		}
		return nil, &Failure{seed, w.failure, w.trace}
	}
	return &Report{Counts: w.counts, Hash: w.chosen, Events: w.events, Steps: w.chk.step}, nil
}

func newWorld(seed uint64, opt Options) *World {
	w := &World{seed: seed, opt: opt, rng: rand.New(rand.NewPCG(seed, 0x7469646d696c6c)), now: startMicros, counts: map[string]int{}, targets: map[catalog.ID]*target{}, cured: map[poisonRow]bool{}, nextOp: 1}
	w.store = newStore(w)
	w.store.unfenced = opt.Unfenced
	w.chk = newShadow(w.fail, w.sometimes)
	w.store.added = func(log string, seq uint64, data []byte) {
		w.note("log %s takes record %d", log, seq)
		w.chk.added(log, seq, data)
	}
	w.store.sometimes = w.sometimes
	w.want = shape{
		events: 400 + w.IntN(1000), procs: 1 + w.IntN(3), sessions: 1 + w.IntN(3), linger: time.Duration(pickOf(w, -1, 1, 20, 200)) * time.Millisecond,
		stepRows: pickOf(w, 1, 4, 20, 1000), views: 2 + w.IntN(6), oracle: 2 + w.IntN(6), ddl: pickOf(w, 10, 40, 100), outages: w.IntN(4) == 0, disks: w.IntN(8) > 0, memory: pickOf[int64](w, 0, 0, 256<<10),
	}
	w.want.poison = seed%poisonWorlds == 0
	w.want.upgrade = w.want.disks && !w.want.poison && seed%upgradeWorlds == 1
	w.want.standbys = w.want.procs > 1 && w.IntN(3) > 0
	if opt.Events > 0 {
		w.want.events = opt.Events
	}
	if w.want.linger < 0 {
		w.want.linger = -1
	}
	w.store.faults = w.drawFaults()
	if opt.Flips > 0 {
		w.store.faults.flipped = opt.Flips
	}
	for range w.want.procs {
		w.nodes = append(w.nodes, &node{disk: diskmodel.New(w.IntN)})
	}
	for i := range 2 {
		w.feeders = append(w.feeders, &feeder{name: fmt.Sprintf("f%d", i+1)})
	}
	return w
}

// drawFaults says what goes wrong in this run, and how often. Few kinds of faults at a
// time find more than all at once (Groce et al., "Swarm Testing", 2012).
func (w *World) drawFaults() faults {
	rate := func(most int) int {
		if w.IntN(2) == 0 {
			return 0
		}
		return 1 + w.IntN(most)
	}
	return faults{unavailable: rate(60), never: rate(60), later: rate(80), written: rate(80), crashBefore: rate(15), crashAfter: rate(20),
		crashLater: rate(20), duplicate: rate(60), stale: rate(100), readFails: rate(20),
		crashDisk: rate(8), flipped: rate(300), diskIO: rate(8)}
}

// IntN implements dice.
func (w *World) IntN(n int) int {
	k := w.rng.IntN(n)
	w.mix(uint64(k))
	return k
}

func (w *World) mix(x uint64) {
	w.chosen = (w.chosen ^ x) * 0x9e3779b97f4a7c15
	w.chosen ^= w.chosen >> 29
}

func pickOf[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (w *World) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
	}
}

func (w *World) sometimes(what string) {
	w.counts[what]++
	w.note("(%s)", what)
}

func (w *World) note(format string, args ...any) {
	if !w.opt.Trace {
		return
	}
	who := "world"
	if w.running != nil {
		who = w.running.proc.name + " " + w.running.name
	}
	w.trace = append(w.trace, fmt.Sprintf("%6d %+9.3fs %-14s ", w.events, float64(w.now-startMicros)/1e6, who)+fmt.Sprintf(format, args...))
	if len(w.trace) > maxTrace {
		w.trace = w.trace[len(w.trace)-maxTrace:]
	}
}

// live runs the world: trouble, then quiet, then the last look.
func (w *World) live() {
	w.start()
	for w.events = 1; w.events <= w.want.events && w.failure == "" && !w.lost; w.events++ {
		w.event()
	}
	if w.failure == "" && !w.lost {
		w.calm()
	}
	if w.failure == "" && !w.lost {
		w.last()
	}
	if w.lost {
		w.sometimes("everything damaged")
	}
	w.mix(binary.LittleEndian.Uint64(w.chk.hash[:]))
}

// event lets one thing happen.
func (w *World) event() {
	switch n := w.IntN(1000); {
	case n < 8 && !w.quiet:
		w.crashSome()
	case n < 30:
		w.startSome()
	case n < 60:
		w.passTime(int64(pickOf(w, 1, 20, 300, 3000, 12000)) * 1000)
	case n < 90:
		w.store.deliver()
	case n < 92 && !w.quiet && !w.store.full:
		w.store.full = true
		w.sometimes("no space")
	case n < 105 && w.store.full:
		w.store.full = false
	case n < 107 && w.want.outages && !w.quiet && !w.store.outage:
		w.store.outage = true
		w.sometimes("outage")
	case n >= 109 && n < 112 && w.store.outage:
		w.store.outage = false
	case n < 125 && n >= 112:
		w.changeLead()
	case n < 300:
		w.operate()
	default:
		w.turn()
	}
	w.look()
}

// passTime moves the clock on.
func (w *World) passTime(micros int64) { w.now += micros }

// turn lets a task go on. When all wait for time, time passes.
func (w *World) turn() {
	if len(w.tasks) == 0 {
		w.startSome()
		return
	}
	w.run(w.IntN(len(w.tasks)))
	if w.IntN(4) == 0 {
		w.passTime(int64(1 + w.IntN(5000)))
	}
}

// look does what follows every event: the dead are buried, and what is visible is checked.
func (w *World) look() {
	for _, p := range w.procs {
		if p.dead && !p.buried {
			w.bury(p)
			w.sweep()
			w.leave(p)
			p.buried = true
		}
	}
	w.procs = slices.DeleteFunc(w.procs, func(p *proc) bool { return p.buried })
	for _, p := range w.procs {
		if p.eng != nil {
			w.lookAt(p)
		}
	}
}

// calm ends the faults: one process is left in peace, and everything must come to an end.
func (w *World) calm() {
	w.quiet = true
	w.note("the faults end")
	w.store.faults, w.store.full, w.store.outage = faults{}, false, false
	if w.IntN(2) == 0 {
		for w.store.deliver() {
		}
	}
	w.store.forget()
	for n := 0; ; n++ {
		if n == maxCalm {
			w.fail("commits do not resume: %d events after the faults ended, %s", n, w.state())
			return
		}
		if w.lost || w.settled() {
			break
		}
		w.events++
		if w.IntN(8) == 0 {
			w.passTime(250_000)
		}
		if len(w.tasks) > 0 {
			w.turn()
		}
		w.look()
		if w.failure != "" {
			return
		}
	}
}

// maxCalm is how many events it may take after the faults until all is well.
const maxCalm = 20_000

// settled reports whether a leader leads, nothing is under way, and a last write was
// committed after the faults ended.
func (w *World) settled() bool {
	var leader *proc
	for _, p := range w.procs {
		if p.leads() {
			leader = p
		}
	}
	if leader == nil && w.promote() {
		return false
	}
	if leader == nil {
		if !slices.ContainsFunc(w.procs, func(p *proc) bool { return !p.ended && !p.dead && p.eng == nil }) {
			w.startProc()
		}
		return false
	}
	if len(leader.sessions) == 0 {
		return false
	}
	busy := slices.ContainsFunc(leader.sessions, func(s *client) bool { return s.busy })
	if leader.afterCalm == 0 && !leader.sessions[0].busy {
		leader.afterCalm = 1
		w.lastWrite(leader)
		return false
	}
	return !busy && leader.afterCalm == 2 && w.sinksDone(leader) && w.together(leader)
}

// state says what the processes do, for a failure.
func (w *World) state() string {
	var out []string
	for _, p := range w.procs {
		s := fmt.Sprintf("%s leads=%v ended=%v", p.name, p.leads(), p.ended)
		if p.promoted {
			s += " promoted"
		}
		if p.eng != nil {
			s += fmt.Sprintf(" step=%d err=%v", p.eng.Snapshot().Step, p.eng.Err())
		}
		for _, c := range p.sessions {
			s += fmt.Sprintf(" %s busy=%v %s", c.name, c.busy, c.doing)
		}
		out = append(out, s)
	}
	for _, t := range w.tasks {
		out = append(out, t.proc.name+" "+t.name)
	}
	return strings.Join(out, "; ")
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// clock is the time as a process sees it: up to two seconds off.
func (p *proc) clock() time.Time { return time.UnixMicro(p.w.now + p.skew) }

var _ dice = (*World)(nil)
var _ engine.Logs = logs{}
