package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/worker"
)

// Bounds of what is made beside the steps.
const (
	// largeFill is from how many rows of its inputs on a view, sink or index is made beside
	// the steps; one over fewer is made in the leader's turn.
	largeFill = 50_000
	// MaxBuilds is how many are made at the same time.
	MaxBuilds = 8
	// maxBuildAttempts is how often one begins again, because its query has another circuit
	// or inputs when it is ready, before it is made in the leader's turn.
	maxBuildAttempts = 3
	// nearRows is of how many changes a round of catching up says that the steps are near.
	nearRows = 4096
	// maxRounds is after how many rounds of catching up it has its turn, near or not.
	maxRounds = 64
	// maxLeft is how many changes may be left for the leader's turn, but for the last of
	// maxTurns.
	maxLeft  = 32768
	maxTurns = 8
	// heldRings is how many times their bounds the recent changes may take that a build is
	// still to read.
	heldRings = 4
	// tidyPoll is how often it is looked whether a source is still being trimmed.
	tidyPoll = 5 * time.Millisecond
)

// The phases of a build.
const (
	BuildFill    = "filling"
	BuildCatchUp = "catching up"
	BuildTurn    = "waiting for its turn"
)

// build is a view, sink or index that is made beside the steps: from what its inputs held
// at a step, and what they changed since. The leader begins it in one turn and installs it
// in another; in between it belongs to a goroutine of its own.
type build struct {
	e       *Engine
	r       *request // that wants it
	def     *catalog.Relation
	ctx     context.Context // ends with its client's or the engine's
	end     func()
	circuit *worker.Circuit // nil: of an index, or it was given away
	rows    *content        // nil: likewise
	inputs  []buildInput
	step    uint64          // all up to it is in
	now     int64           // logical time of the beginning
	held    int64           // by the views that are there
	left    int             // turns that it may still have
	old     *state.Snapshot // of a view that is built anew: its rows until then
	err     error           // why it could not be made, unless the leader said so

	since time.Time
	total int64 // rows that the inputs had
	done  atomic.Int64
	phase atomic.Pointer[string]
}

// buildInput is a relation that a build reads.
type buildInput struct {
	key  string
	id   catalog.ID
	ring *ring           // what it changed since
	rows *state.Snapshot // what it held; nil: a source
	// Of a source, what it held are its positions below position, without those in out.
	source   *source
	position uint64
	out      []uint64
}

// Why a build has another turn.
var (
	errFar   = errors.New("the steps are far ahead")
	errAgain = errors.New("the relation is to be made in another way now")
)

// beginBuild begins to make what a command makes beside the steps. It returns nil if that
// is done in the turn: because there is little to read, or something is wrong.
func (l *leader) beginBuild(r *request, cmd catalog.Command) (*build, error) {
	if l.replaying || r.attempts > maxBuildAttempts || cmd.Kind != catalog.CreateRelation || cmd.Relation == nil {
		return nil, nil
	}
	cmd.First = l.nextID()
	next, eff, err := l.cat.With(cmd)
	if err != nil || len(eff.Created) != 1 {
		return nil, nil // the turn tells it
	}
	b := &build{e: l.e, r: r, def: next.ByID(eff.Created[0]), step: l.coord.CommittedStep(), now: l.now, held: l.work.TotalBytes(), since: l.e.cfg.Clock(), left: maxTurns}
	var spec *flow.Spec
	switch def := b.def; def.Kind {
	case catalog.Index:
		if def.Index.Primary || !b.reads(l, relKey(def.Index.On)) {
			return nil, nil
		}
	case catalog.MaterializedView, catalog.Sink:
		if spec, err = l.planView(def, next); err != nil || spec.OneStep() {
			return nil, nil
		}
		for _, id := range specInputs(spec) {
			if !b.reads(l, relKey(id)) {
				return nil, nil
			}
		}
	default:
		return nil, nil
	}
	if b.total < l.e.cfg.largeFill() {
		return nil, nil
	}
	if err := b.prepare(l, spec); err != nil {
		return nil, err
	}
	l.reserved = b.def.ID
	b.ctx, b.end = l.commandContext(r)
	b.enter(BuildFill)
	return b, l.e.addBuild(b)
}

// largeFill is the constant of that name, unless tests say otherwise.
func (c *Config) largeFill() int64 {
	if c.Fill.LargeRows > 0 {
		return c.Fill.LargeRows
	}
	return largeFill
}

// nextID is the first ID that no relation has and none that is being made.
func (l *leader) nextID() catalog.ID {
	if !l.e.building() {
		l.reserved = 0
	}
	return max(l.cat.NextID(), l.reserved+1)
}

// reads notes an input; false if it cannot be read beside the steps.
func (b *build) reads(l *leader, key string) bool {
	id, _ := catalog.ParseKey(key)
	if slices.ContainsFunc(b.inputs, func(in buildInput) bool { return in.id == id }) {
		return true
	}
	rel := l.rels[id]
	if rel == nil || rel.ring == nil {
		return false
	}
	in := buildInput{key: key, id: id, ring: rel.ring}
	switch s := l.e.sourceByID(id); {
	case s != nil:
		in.source, in.position, in.out = s, l.positions[id], l.skipped.out(id)
		b.total += s.rowsBelow(in.position)
	case rel.spine != nil:
		in.rows = rel.spine.Snapshot()
		b.total += in.rows.Rows()
	default:
		return false
	}
	b.inputs = append(b.inputs, in)
	return true
}

// rowsBelow is about how many rows a source has below a position.
func (s *source) rowsBelow(position uint64) int64 {
	if s.replayable != nil {
		return int64(position)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.records)
}

// prepare makes what the build fills.
func (b *build) prepare(l *leader, spec *flow.Spec) error {
	if spec == nil {
		b.rows = &content{b.def, l.newSpine(b.def, l.rels[b.inputs[0].id].def.Types())}
		return nil
	}
	room, err := l.room(b.def)
	if err != nil {
		return err
	}
	if b.circuit, err = l.work.Build(b.def.Key(), spec, flow.Options{Owner: l.owner()}); err != nil {
		return err
	}
	b.circuit.Bound(room, func() bool { return b.ctx.Err() != nil })
	b.circuit.Threads(max(1, l.e.cfg.Workers/2)) // the others are for the steps
	b.rows = l.newContent(b.def)
	return nil
}

// owner tells a circuit's records apart from those of all others.
func (l *leader) owner() uint64 {
	last, _ := l.coord.Last()
	l.built++
	return 1<<63 | last<<16 | l.built&0xffff
}

func (b *build) enter(phase string) { b.phase.Store(&phase) }

// addBuild makes b known. Nothing that it reads is trimmed from here on.
func (e *Engine) addBuild(b *build) error {
	e.mu.Lock()
	full := len(e.builds) >= MaxBuilds
	e.mu.Unlock()
	if full {
		b.discard()
		b.end()
		return &types.Error{Code: "53400", Message: fmt.Sprintf("%s was not made: %d others are being made", b.def.Describe(), MaxBuilds),
			Hint: "SELECT * FROM tidemill.builds tells how far they are."}
	}
	e.hold(b)
	return nil
}

// hold lists b among what is being made.
func (e *Engine) hold(b *build) {
	for _, in := range b.inputs {
		in.ring.holds.Add(1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.builds = append(e.builds, b)
}

// removeBuild ends what addBuild began.
func (e *Engine) removeBuild(b *build) {
	e.mu.Lock()
	e.builds = slices.DeleteFunc(e.builds, func(x *build) bool { return x == b })
	e.mu.Unlock()
	for _, in := range b.inputs {
		in.ring.holds.Add(-1)
	}
}

// readByBuild reports whether a source is being read by a build.
func (e *Engine) readByBuild(id catalog.ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.builds, func(b *build) bool {
		return slices.ContainsFunc(b.inputs, func(in buildInput) bool { return in.id == id })
	})
}

// building reports whether anything is being made.
func (e *Engine) building() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.builds) > 0
}

// discard gives up what was made so far.
func (b *build) discard() {
	if b.circuit != nil {
		b.circuit.Close()
		b.circuit = nil
	}
	if b.rows != nil {
		b.rows.close()
		b.rows = nil
	}
}

// run makes it, beside the leader, and answers its client.
func (b *build) run() {
	defer b.end()
	a, err := b.make()
	if b.old != nil && b.err != nil { // the leader is to know
		_, _ = b.e.call(b.ctx, b.turn())
	}
	b.discard()
	b.e.removeBuild(b)
	if b.old != nil {
		return
	}
	if errors.Is(err, errAgain) {
		b.r.attempts++
		select {
		case b.e.submit <- b.r: // which is answered like any other
			return
		case <-b.ctx.Done():
		case <-b.e.done:
		}
	}
	if err != nil && b.ctx.Err() != nil {
		err = canceled(b.ctx)
	}
	if a.err = err; err != nil && a.step == 0 && b.e.ctx.Err() != nil {
		a.void = true // it never had its turn: who leads next can make it
	}
	b.r.answer <- a
}

// make fills it, catches up and asks for its turn until it is installed.
func (b *build) make() (a answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			var fault *state.FaultError
			if e, ok := v.(error); ok && errors.As(e, &fault) {
				err = e
			} else {
				err = &worker.PanicError{Circuit: b.def.Key(), Value: v, Stack: debug.Stack()}
			}
			b.err = err
		}
	}()
	if err := b.fill(); err != nil {
		b.err = b.failed(err)
		return a, b.err
	}
	if b.old != nil { // from here on the rows are what takes the old ones to the new
		if b.err = b.rows.take(b.old); b.err != nil {
			return a, b.err
		}
	}
	for {
		b.enter(BuildCatchUp)
		if err := b.catchUp(); err != nil {
			b.err = b.failed(err)
			return a, b.err
		}
		b.enter(BuildTurn)
		a, err = b.e.callHere(b.ctx, b.turn())
		if !errors.Is(err, errFar) {
			return a, err
		}
		b.left--
	}
}

// failed is the error of a build that could not be made.
func (b *build) failed(err error) error {
	var te *types.Error
	if errors.As(err, &te) && te.Code == types.CodeUndefinedTable && slices.ContainsFunc(b.inputs, func(in buildInput) bool { return in.ring.gone.Load() }) {
		return errAgain // an input was dropped: planning tells it as ever
	}
	if errors.As(err, &te) && (te.Code == "55000" || te.Code == types.CodeSerialization) {
		return errAgain // an input did not keep what was to be read
	}
	return fillError(b.def, err, b.held, b.e.cfg.MemoryBytes)
}

// fill reads what the inputs held.
func (b *build) fill() error {
	for slices.ContainsFunc(b.inputs, func(in buildInput) bool { return in.source != nil }) && b.e.lead.ckpt.tidying.Load() {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		b.e.sleep(b.ctx, tidyPoll) // what is being trimmed was chosen before
	}
	return b.take(b.step, b.now, func(push func(string, *batch.Batch) error) error {
		for _, in := range b.inputs {
			var err error
			if in.source != nil {
				err = in.source.history(b.ctx, in.position, in.out, func(rows *batch.Batch) error { return push(in.key, rows) })
			} else {
				err = in.rows.Merged(func(rows *batch.Batch) error { return push(in.key, rows) })
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// take feeds the circuit, or the index, at a step.
func (b *build) take(step uint64, now int64, feed func(push func(string, *batch.Batch) error) error) error {
	count := func(push func(string, *batch.Batch) error) error {
		return feed(func(key string, rows *batch.Batch) error {
			if err := b.breathe(); err != nil {
				return err
			}
			err := push(key, rows)
			b.done.Add(int64(rows.Len()))
			return err
		})
	}
	if b.circuit == nil {
		return count(func(_ string, rows *batch.Batch) error {
			b.rows.rows.Append(rows)
			return nil
		})
	}
	_, err := b.circuit.Fill(step, now, count, b.rows.add)
	if err != nil {
		b.circuit = nil // it is closed
	}
	return err
}

// breathe ends a build that nobody wants any more. In one that is driven by hand others
// have their turn.
func (b *build) breathe() error {
	if m := b.e.cfg.Manual; m != nil {
		if err := m.Wait(); err != nil {
			return err
		}
	}
	return b.ctx.Err()
}

// catchUp takes what the inputs changed in steps that are committed, until that is little.
func (b *build) catchUp() error {
	for range maxRounds {
		snap := b.e.Snapshot()
		b.setMarks(func(key string) []int64 {
			id, _ := catalog.ParseKey(key)
			return snap.Marks(id)
		})
		before := b.done.Load()
		err := b.take(snap.Step, snap.Now, func(push func(string, *batch.Batch) error) error { return b.changes(snap.Step, push) })
		if err != nil {
			return err
		}
		b.step = snap.Step
		if b.old != nil || b.def.Kind == catalog.Sink {
			b.rows.rows.Compact() // they are read in the turn
		}
		if b.done.Load()-before <= nearRows {
			return nil
		}
	}
	return nil
}

// setMarks sets the marks of the inputs at the end of what is taken next.
func (b *build) setMarks(marks func(key string) []int64) {
	if b.circuit == nil {
		return
	}
	for _, in := range b.inputs {
		b.circuit.SetMarks(in.key, marks(in.key))
	}
}

// changes hands out what the inputs changed in the steps after b.step up to one.
func (b *build) changes(until uint64, push func(string, *batch.Batch) error) error {
	for _, in := range b.inputs {
		for at := b.step; at < until; {
			parts, step, err := in.ring.step(at, until)
			if err != nil {
				return err
			}
			if len(parts) == 0 {
				break
			}
			for _, rows := range parts {
				if err := push(in.key, rows); err != nil {
					return err
				}
			}
			at = step
		}
	}
	return nil
}

// turn asks the leader to install it.
func (b *build) turn() *request {
	if b.old != nil {
		return &request{kind: coord.Tx, rebuild: b, rows: b.e.cfg.StepRows} // so many that it has a step of its own
	}
	return &request{kind: b.r.kind, ctx: b.ctx, plan: b.r.plan, build: b}
}

// finishBuild brings a build up to the last committed step and makes of it what the
// command has made, which is planned anew.
func (l *leader) finishBuild(b *build, cmd catalog.Command, now int64) (*stagedDDL, error) {
	cmd.First = b.def.ID
	next, eff, err := l.cat.With(cmd)
	if err != nil {
		return nil, err
	}
	d := &stagedDDL{cmd: cmd, now: now, next: next, effect: eff}
	if eff.Skipped {
		return d, nil
	}
	def := next.ByID(b.def.ID)
	if def == nil || !b.same(l, def, next) {
		return nil, errAgain
	}
	step := l.coord.CommittedStep()
	if b.rowsLeft(step) > maxLeft && b.left > 0 {
		return nil, errFar
	}
	b.setMarks(l.work.Marks)
	if err := b.take(step, now, func(push func(string, *batch.Batch) error) error { return b.changes(step, push) }); err != nil {
		return nil, b.failed(err)
	}
	m := made{rel: &relation{def: def}}
	if b.circuit == nil {
		m.rel.spine, b.rows.rows, m.on = b.rows.rows, nil, l.rels[b.inputs[0].id]
	} else {
		m.circuit, m.filled = b.circuit, b.circuit.Filled()
		if err := b.rows.give(l, m.rel, step); err != nil {
			return nil, err
		}
	}
	b.circuit, b.rows = nil, nil
	last, _ := l.coord.Last()
	for _, in := range b.inputs {
		if in.source != nil {
			l.historyRead[in.id] = last + 1 // a replay of this command reads it
		}
	}
	d.made = append(d.made, m)
	return d, nil
}

// same reports whether the relation would be made in the same way of the same inputs now.
func (b *build) same(l *leader, def *catalog.Relation, next *catalog.Catalog) bool {
	for _, in := range b.inputs {
		rel := l.rels[in.id]
		if rel == nil || rel.ring != in.ring || in.source != nil && !slices.Equal(in.out, l.skipped.out(in.id)) {
			return false
		}
	}
	if def.Kind == catalog.Index {
		return reflect.DeepEqual(def.Index, b.def.Index)
	}
	spec, err := l.planView(def, next)
	return err == nil && spec.Hash() == b.circuit.Spec().Hash() && slices.Equal(def.Types(), b.def.Types()) && reflect.DeepEqual(orderOf(def), orderOf(b.def))
}

// rowsLeft is how many changes of the inputs are still to come, up to a step; no more are
// counted than say that they are many.
func (b *build) rowsLeft(until uint64) int {
	n := 0
	_ = b.changes(until, func(_ string, rows *batch.Batch) error { // errors come again
		if n += rows.Len(); n > maxLeft {
			return errFar
		}
		return nil
	})
	return n
}

// BuildStatus is how far a view, sink or index is that is being made.
type BuildStatus struct {
	ID     catalog.ID // that it will have
	Schema string
	Name   string
	Kind   string
	Phase  string
	Rows   int64 // of its inputs and their changes, that are in
	Total  int64 // that the inputs had when it began
	Since  time.Time
}

// Builds lists what is being made beside the steps, the oldest first.
func (e *Engine) Builds() []BuildStatus {
	e.mu.Lock()
	list := slices.Clone(e.builds)
	e.mu.Unlock()
	var out []BuildStatus
	for _, b := range list {
		out = append(out, BuildStatus{ID: b.def.ID, Schema: b.def.Schema, Name: b.def.Name, Kind: b.def.Kind.String(), Phase: *b.phase.Load(),
			Rows: b.done.Load(), Total: b.total, Since: b.since})
	}
	return out
}
