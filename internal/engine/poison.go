package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
	"github.com/tidemill/tidemill/internal/worker"
)

// A step that fails because a circuit panics or would hold too much is computed once more
// from the state before it. If it fails again, what goes into it is searched by bisection
// for what makes it fail: transactions, whose clients get an error, and rows of sources,
// which the step leaves out and says so in its record. Nothing of the search is committed
// but the step that succeeds in the end.

// Bounds of the search.
const (
	// MaxPoison is how many transactions and rows a step may leave out. If it fails without
	// them too, the view is at fault, and the pipeline ends.
	MaxPoison = 16
	// maxPoisonAttempts bounds how often one step is computed.
	maxPoisonAttempts = 512
	// maxPoisonSteps is how many steps one after the other may leave rows of sources out,
	// none between them that leaves out nothing. The view is at fault then.
	maxPoisonSteps = 32
)

// poisoned reports whether a row may be to blame for an error of a step.
func poisoned(err error) bool {
	var p *worker.PanicError
	var te *types.Error
	return errors.As(err, &p) || errors.As(err, &te) && te.Code == types.CodeOutOfMemory
}

// search looks for what makes a step fail. What goes into the step is numbered: first its
// transactions, then the rows of sources in the order they were taken.
type search struct {
	l        *leader
	c        coord.Compute
	now      int64
	taken    []taken // whole
	units    int
	bad      map[int]error // units that are found, and what they did
	order    []int         // those of bad as they were found
	good     int           // units before this one make no trouble but for those in bad
	attempts int
	err      error // of the last attempt that failed
}

// attempt is a step that was computed.
type attempt struct {
	s        *staged
	ids      []uint64 // of its transactions
	rejected []uint64
}

// isolate takes over from a step that failed with err, and returns the step that was
// computed in its place. An error is for the pipeline.
func (l *leader) isolate(c coord.Compute, failed *staged, now int64, err error) (attempt, error) {
	if !poisoned(err) {
		return attempt{}, err
	}
	q := &search{l: l, c: c, now: now, taken: failed.taken, units: len(c.IDs), bad: map[int]error{}, attempts: 1, err: err}
	for _, t := range q.taken {
		for _, b := range t.rows {
			q.units += b.Len()
		}
	}
	began := time.Now()
	l.e.cfg.Logger.Error("a step failed and is tried again", "pipeline", l.e.cfg.Name, "step", c.Step, "inputs", q.units, "err", err, "stack", stackOf(err))
	for {
		if err := l.recompute(l.e.ctx); err != nil {
			return attempt{}, err
		}
		if err := q.hopeless(); err != nil {
			return attempt{}, err
		}
		a, err := q.try(c.Step, 0, q.units, true)
		if err == nil {
			l.e.cfg.Logger.Warn("the step succeeded", "pipeline", l.e.cfg.Name, "step", c.Step, "left_out", len(q.bad), "attempts", q.attempts, "took", time.Since(began))
			return a, nil
		}
		if !poisoned(err) {
			return attempt{}, err
		}
		q.err = err
		if len(q.bad) == MaxPoison || len(q.bad) == q.units {
			return attempt{}, q.atFault()
		}
		if err := l.recompute(l.e.ctx); err != nil {
			return attempt{}, err
		}
		if err := q.find(); err != nil {
			return attempt{}, err
		}
	}
}

// hopeless is an error if no row is to blame: what the views hold without the step is
// near the limit already.
func (q *search) hopeless() error {
	var p *worker.PanicError
	if held, limit := q.l.work.TotalBytes(), q.l.e.cfg.MemoryBytes; !errors.As(q.err, &p) && q.l.e.budget == nil && held >= limit/100*fullPercent {
		return q.err
	}
	return nil
}

// find finds the first unit that makes the step fail, given those before it. The circuits
// are as of the last step, before and after.
func (q *search) find() error {
	lo, hi := q.good, q.units // without the bad, units below lo do no harm, those below hi do
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		_, err := q.try(q.c.Step, 0, mid, false)
		switch {
		case err == nil:
			lo = mid
		case poisoned(err):
			hi, q.err = mid, err
		default:
			return err
		}
		if err := q.l.recompute(q.l.e.ctx); err != nil {
			return err
		}
	}
	unit := hi - 1
	if _, known := q.bad[unit]; known {
		return fmt.Errorf("step %d fails now and then: %w", q.c.Step, q.err)
	}
	if err := q.alone(unit); err != nil {
		return err
	}
	q.bad[unit], q.good = q.err, unit
	q.order = append(q.order, unit)
	q.l.e.cfg.Logger.Error("found what makes a step fail", "pipeline", q.l.e.cfg.Name, "step", q.c.Step, "input", q.describe(unit), "err", q.err)
	return nil
}

// alone is an error if a unit that passes the limit of memory does so only because the
// step takes so much before it: in a step of its own after them it would not.
func (q *search) alone(unit int) error {
	var p *worker.PanicError
	if errors.As(q.err, &p) {
		return nil
	}
	_, err := q.try(q.c.Step, 0, unit, false)
	if err == nil {
		if _, err = q.try(q.c.Step+1, unit, unit+1, false); err == nil {
			return &types.Error{Code: types.CodeOutOfMemory, Message: fmt.Sprintf("step %d cannot be computed: %s", q.c.Step, q.l.blame(q.err)),
				Detail: fmt.Sprintf("No single row is to blame: its %d transactions and rows together need more memory than there is. Nothing of it is committed.", q.units),
				Hint:   "Raise the limit of memory."}
		}
	}
	if !poisoned(err) {
		return err
	}
	return q.l.recompute(q.l.e.ctx)
}

// try computes step number n with the units from lo up to hi that are not bad. The step
// is to be committed if it is whole.
func (q *search) try(n uint64, lo, hi int, whole bool) (attempt, error) {
	l := q.l
	if q.attempts++; q.attempts > maxPoisonAttempts {
		return attempt{}, fmt.Errorf("step %d failed and was computed %d times: %w", q.c.Step, q.attempts-1, q.err)
	}
	s := &staged{began: time.Now()}
	l.staged, l.outcomes = s, map[uint64]answer{}
	var ids, refused []uint64
	for u, id := range q.c.IDs[:min(hi, len(q.c.IDs))] {
		if u < lo {
			continue
		}
		if err := q.bad[u]; err != nil {
			l.outcomes[id] = answer{err: l.poisonError(err)}
			refused = append(refused, id)
		} else {
			ids = append(ids, id)
		}
	}
	ids, rejected := l.admit(ids, s, q.now)
	rejected = append(rejected, refused...)
	q.take(s, lo, hi)
	if whole {
		if err := q.leaveOut(s); err != nil {
			return attempt{}, err
		}
	}
	s.step = l.newStep(n, q.now, ids, rejected)
	err := l.compute(s)
	return attempt{s, ids, rejected}, err
}

// take gives s the rows that are units from lo up to hi and not bad.
func (q *search) take(s *staged, lo, hi int) {
	bad := slices.Sorted(slices.Values(q.order))
	first := len(q.c.IDs)
	for _, t := range q.taken {
		rows := slices.Clone(t.rows)
		for i, b := range rows {
			end := first + b.Len()
			if at, _ := slices.BinarySearch(bad, first); first < lo || end > hi || at < len(bad) && bad[at] < end {
				var keep []uint32
				for k := range b.Len() {
					if u := first + k; q.bad[u] == nil && u >= lo && u < hi {
						keep = append(keep, uint32(b.Row(k)))
					}
				}
				rows[i] = pick(b, keep)
			}
			first = end
		}
		t.rows, t.marks = rows, slices.Clone(t.marks)
		s.taken = append(s.taken, t)
	}
}

// leaveOut notes in s which rows of sources it leaves out.
func (q *search) leaveOut(s *staged) error {
	size := 0
	for _, u := range q.order {
		if u < len(q.c.IDs) {
			continue
		}
		t, i, k := q.row(u)
		x := skippedRow{Source: q.taken[t].source.id, Position: q.taken[t].position(i, k), Block: q.taken[t].block(i), Step: q.c.Step,
			Reason: q.l.blame(q.bad[u])}
		b := q.taken[t].rows[i]
		row := wire.AppendBatch(nil, pick(b, []uint32{uint32(b.Row(k))}))
		if size += len(row); size <= maxSkippedRecord {
			x.Row = row
		}
		s.taken[t].bad++
		s.skipped = append(s.skipped, x)
	}
	if len(s.skipped) == 0 {
		return nil
	}
	if q.l.poisonSteps++; q.l.poisonSteps > maxPoisonSteps || q.l.skipped.count()+len(s.skipped) > maxSkippedPositions {
		return q.atFault()
	}
	return nil
}

// row finds a row: number k of batch i of what was taken from a source.
func (q *search) row(unit int) (t, i, k int) {
	unit -= len(q.c.IDs)
	for t := range q.taken {
		for i, b := range q.taken[t].rows {
			if unit < b.Len() {
				return t, i, unit
			}
			unit -= b.Len()
		}
	}
	panic("engine: no such row")
}

func (q *search) describe(unit int) string {
	if unit < len(q.c.IDs) {
		return "a transaction"
	}
	t, i, k := q.row(unit)
	return fmt.Sprintf("record %d of source %q", q.taken[t].position(i, k), q.taken[t].source.def.Name)
}

// atFault is why the pipeline ends if leaving rows out does not help.
func (q *search) atFault() error {
	return &types.Error{Code: "XX000", Message: fmt.Sprintf("step %d cannot be computed: %s", q.c.Step, q.l.blame(q.err)),
		Detail: fmt.Sprintf("It fails without %d of its %d transactions and rows too, so it is not them. Nothing of it is committed.", len(q.bad), q.units),
		Hint:   "Start a version that can compute it, with more memory if that is what it lacks, or drop the view there."}
}

// blame says which view failed and how.
func (l *leader) blame(err error) string {
	var p *worker.PanicError
	var m *worker.LimitError
	var te *types.Error
	switch {
	case errors.As(err, &p):
		text := fmt.Sprintf("%s fails: panic: %v", l.circuitName(p.Circuit), p.Value)
		if at := frameOf(p.Stack); at != "" {
			text += " (in " + at + ")"
		}
		return text
	case errors.As(err, &m):
		return strings.TrimSpace(fmt.Sprintf("%s fails: %s %s", l.circuitName(m.Circuit), m.Err.Message, m.Err.Detail))
	case errors.As(err, &te):
		return strings.TrimSpace(te.Message + " " + te.Detail)
	}
	return err.Error()
}

// circuitName names the relation that a circuit computes.
func (l *leader) circuitName(key string) string {
	if id, ok := catalog.ParseKey(key); ok {
		if def := l.cat.ByID(id); def != nil {
			return def.Describe()
		}
	}
	return "circuit " + key
}

// poisonError is what the client of a transaction gets that makes a step fail.
func (l *leader) poisonError(err error) *types.Error {
	out := &types.Error{Code: types.CodeInternal, Message: "the transaction cannot be computed: " + l.blame(err),
		Detail: "It was tried again from the step before it and failed again. Nothing of it is stored.",
		Hint:   "This is a defect. The log of the node has the stack."}
	var p *worker.PanicError
	if !errors.As(err, &p) {
		out.Code, out.Hint = types.CodeOutOfMemory, "Write less at once, or raise the limit of memory."
	}
	return out
}

// stackOf is where a circuit panicked, "" if it did not.
func stackOf(err error) string {
	var p *worker.PanicError
	if errors.As(err, &p) {
		return string(p.Stack)
	}
	return ""
}

// frameOf finds the function of an operator or expression that panicked in a stack.
func frameOf(stack []byte) string {
	_, below, _ := strings.Cut(string(stack), "panic(")
	for line := range strings.Lines(below) {
		for _, house := range []string{"internal/flow.", "internal/expr.", "internal/state."} {
			if _, fn, ok := strings.Cut(line, house); ok && !strings.HasPrefix(line, "\t") {
				name := strings.TrimSuffix(strings.TrimPrefix(house, "internal/"), ".") + "." + fn
				if i := strings.LastIndexByte(name, '('); i > 0 {
					name = name[:i] // its arguments
				}
				return strings.TrimSpace(name)
			}
		}
	}
	return ""
}

// position is that of row k of batch i among all records of the source.
func (t *taken) position(i, k int) uint64 {
	if t.at != nil {
		return t.first[i] + uint64(t.at[k])
	}
	return t.first[i] + uint64(k)
}

// block is the position in the source's log of the block that batch i is, or, without a
// log, where what was taken begins.
func (t *taken) block(i int) uint64 {
	if t.source.log == nil {
		return t.from
	}
	return t.from + uint64(i)
}

// newStep begins the record of a step.
func (l *leader) newStep(n uint64, now int64, ids, rejected []uint64) *wire.Step {
	return &wire.Step{N: n, Now: now, Txs: uint64(len(ids)), Circuit: l.circuit, Engine: l.e.cfg.version,
		Shards: batch.Shards, Rejected: uint64(len(rejected))}
}

// replayFailed is the error of a committed step that cannot be computed any more: the
// program is another one than that which committed it, or has less memory.
func (l *leader) replayFailed(rec *wire.Step, s *staged, err error) error {
	if !poisoned(err) {
		return err
	}
	var what []string
	for _, t := range s.taken {
		what = append(what, fmt.Sprintf("positions %d to %d of source %q", t.from, t.to, t.source.def.Name))
	}
	if rec.Txs > 0 {
		what = append(what, fmt.Sprintf("%d transactions", rec.Txs))
	}
	if len(what) == 0 {
		what = []string{"no rows"}
	}
	return &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("%s, on %s, which version %s has committed; this is %s",
		l.blame(err), strings.Join(what, " and "), rec.Engine, l.e.cfg.version),
		Hint: fmt.Sprintf("Start version %s and drop the view there, or start this one with more memory if that is what it lacks. Nothing is lost.", rec.Engine)}
}
