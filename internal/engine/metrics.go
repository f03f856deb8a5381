package engine

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/flow"
)

// Metrics are counters of a pipeline since it was opened. Read them at any time.
type Metrics struct {
	Steps       atomic.Int64
	RowsIn      atomic.Int64 // changes of tables and rows of sources
	RowsOut     atomic.Int64 // changes of views
	Rejected    atomic.Int64 // transactions that a constraint refused
	Quarantined atomic.Int64 // records of sources that were put aside
	Mismatches  atomic.Int64 // steps that came out differently than they were committed
	Queries     atomic.Int64
	StepTime    Histogram // from the closing of a step to its commit
	AppendTime  Histogram // of one append to the log
	PublishTime Histogram // to make a step visible
	QueryTime   Histogram

	Checkpoints        atomic.Int64 // complete
	CheckpointFailures atomic.Int64
	CheckpointBytes    atomic.Int64 // written by complete ones
	CheckpointStep     atomic.Int64 // of the last complete one; 0: there is none
	CheckpointMicros   atomic.Int64 // when that was complete, microseconds of Unix time
	CheckpointTime     Histogram    // from the freeze to the record in the log
	CheckpointPause    Histogram    // of the freeze, in which no step is made
}

// checkpoint counts a complete checkpoint.
func (m *Metrics) checkpoint(j *ckptJob, now time.Time, took time.Duration) {
	m.Checkpoints.Add(1)
	m.CheckpointBytes.Add(j.bytes)
	m.CheckpointStep.Store(int64(j.head.Step))
	m.CheckpointMicros.Store(now.UnixMicro())
	m.CheckpointTime.observe(took)
}

// HistogramBounds are the upper bounds of a Histogram's buckets, in seconds.
var HistogramBounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// Histogram counts durations. The last bucket has no bound.
type Histogram struct {
	buckets [len(HistogramBounds) + 1]atomic.Int64
	nanos   atomic.Int64
}

func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(HistogramBounds) && d.Seconds() > HistogramBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// Read returns the count of each bucket and the sum of all durations in seconds.
func (h *Histogram) Read() (buckets []int64, sumSeconds float64) {
	for i := range h.buckets {
		buckets = append(buckets, h.buckets[i].Load())
	}
	return buckets, time.Duration(h.nanos.Load()).Seconds()
}

func (m *Metrics) step(s *staged, took time.Duration) {
	m.Steps.Add(1)
	m.RowsIn.Add(s.rowsIn)
	for _, o := range s.outputs {
		m.RowsOut.Add(int64(o.Batch.Len()))
	}
	m.StepTime.observe(took)
}

func (m *Metrics) source(t taken) { m.Quarantined.Add(int64(t.bad)) }

// Metrics returns the pipeline's counters.
func (e *Engine) Metrics() *Metrics { return &e.metrics }

// SourceStatus is how far a source has come.
type SourceStatus struct {
	Name        string
	Schema      string
	ID          uint32
	Position    uint64 // the step holds everything below
	PendingRows int64  // durable and not yet in a step: its lag
	Failure     string // why its connector does not run; "" if it does
	// Of event time: zero for a source without a watermark.
	Watermark  int64  // as of the last step, microseconds since 2000-01-01; flow.NoMark if there is none
	Late       uint64 // rows that came too late, ever
	Partitions int    // that have not ended
	Idle       int    // of these, left out of the watermark because they are silent
}

// Sources returns the state of every source, in the order of their IDs.
func (e *Engine) Sources() []SourceStatus {
	snap := e.Snapshot()
	var out []SourceStatus
	for _, s := range e.sourceList() {
		st := SourceStatus{Name: s.def.Name, Schema: s.def.Schema, ID: uint32(s.id), Position: snap.Position(s.id)}
		s.mu.Lock()
		for _, b := range s.pending {
			st.PendingRows += int64(b.rows.Len())
		}
		st.Failure = s.failure
		s.eventStatus(&st)
		s.mu.Unlock()
		if s.replayable != nil {
			st.PendingRows = max(0, int64(s.replayable.Available(s.start, e.micros())-st.Position))
		}
		out = append(out, st)
	}
	return out
}

// eventStatus fills in what st says of event time; under mu.
func (s *source) eventStatus(st *SourceStatus) {
	st.Watermark = flow.NoMark
	if s.event == nil {
		return
	}
	if m := s.e.Snapshot().Marks(s.id); m != nil && m[s.rules.column] != flow.NoMark {
		st.Watermark = m[s.rules.column] + s.rules.allowed
	}
	st.Late, st.Partitions = s.event.late, len(s.event.parts)
	for _, p := range s.event.parts {
		if p.idle {
			st.Idle++
		}
	}
}

// RowError is a row that a view could not compute.
type RowError struct {
	Step uint64
	View string
	Err  string
	Code string
	Row  string
}

// errorList keeps the latest row errors.
type errorList struct {
	mu   sync.Mutex
	list []RowError // oldest first, at most MaxErrors
	all  int64
}

func (l *errorList) add(step uint64, view string, errs flow.StepErrors) {
	if errs.Total == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all += errs.Total
	for _, r := range errs.Rows {
		row := ""
		for i, v := range r.Row {
			if i > 0 {
				row += ", "
			}
			row += boxedText(v)
		}
		l.list = append(l.list, RowError{Step: step, View: view, Err: r.Err.Message, Code: r.Err.Code, Row: "(" + row + ")"})
	}
	if over := len(l.list) - MaxErrors; over > 0 {
		l.list = append([]RowError(nil), l.list[over:]...)
	}
}

// reset replaces the list.
func (l *errorList) reset(list []RowError, all int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.all = list, all
}

// RowErrors returns the latest rows that views could not compute, oldest first, and
// how many there were in all.
func (e *Engine) RowErrors() ([]RowError, int64) {
	e.errors.mu.Lock()
	defer e.errors.mu.Unlock()
	return slices.Clone(e.errors.list), e.errors.all
}

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
