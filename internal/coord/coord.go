// Package coord decides when a pipeline's leader closes a step, and what became of
// it: a state machine without I/O, clock or goroutine. Events go in, effects come
// out, and the caller carries them out in order.
//
// Safety rests on one thing alone: an append names the log's last sequence, so
// of two leaders only one gets each place. Whatever is not known is asked again
// from the log; nothing is ever guessed.
package coord

import (
	"fmt"
	"math"
)

// Hash is the hash of a log record.
type Hash [32]byte

// Role says what a Coord is doing.
type Role uint8

// The roles. Fenced and Failed are final.
const (
	Replaying Role = iota // reads the log from its start
	Claiming              // appends its epoch
	Leading               // commits steps
	Fenced                // another leader took over
	Failed                // cannot go on; see Coord.Reason
)

func (r Role) String() string {
	return [...]string{"replaying", "claiming", "leading", "fenced", "failed"}[r]
}

// Bounds, unless Config says otherwise.
const (
	DefaultStepRows     = 65536
	DefaultLingerMicros = 10_000
	DefaultMaxAttempts  = 12
	DefaultMaxBackoff   = 2_000_000 // microseconds
	firstBackoffMicros  = 20_000
)

// NotDue is the time of Due if time alone calls for no step.
const NotDue = math.MaxInt64

// Config says how steps are closed. Zero fields take the defaults.
type Config struct {
	// StepRows closes a step of source rows early, and bounds the rows of
	// transactions that go into one step (the first is always let in).
	StepRows int
	// LingerMicros is how long after a step source rows wait for more, unless a
	// writer waits: rows that come to an idle pipeline do not wait. Negative: not at all.
	LingerMicros int64
	// MaxAttempts is how often an append is sent before the coord gives up.
	MaxAttempts int
	// MaxBackoffMicros is the longest wait between two attempts.
	MaxBackoffMicros int64
}

// Item is something that waits for its turn in the order of submission.
type Item struct {
	ID   uint64
	Kind ItemKind
	Rows int // of a transaction
}

// ItemKind says what an Item is.
type ItemKind uint8

// The kinds of items.
const (
	Tx    ItemKind = iota // a transaction on tables: shares a step with its neighbours
	DDL                   // a command: alone, between steps
	Flush                 // a wait for all that was accepted before it
	// Checkpoint is the beginning of a checkpoint, which logs nothing, or the record that
	// ends one: alone, between steps.
	Checkpoint
	// Barrier is a wait for a step that is begun after it: one is made for it if there is
	// nothing else to commit.
	Barrier
)

// Coord is the state machine of one pipeline on one node.
type Coord struct {
	cfg    Config
	role   Role
	reason string

	last     uint64 // sequence of the last record known
	lastHash Hash
	epoch    uint64 // the greatest seen; ours when Leading
	step     uint64 // the last committed step

	now      int64
	items    []Item
	arrived  uint64 // source rows ever announced
	taken    uint64 // of those, in committed steps
	lastStep int64  // when the last step was published
	flushes  []flush
	work     *work
	retryAt  int64 // when to send again; 0: not waiting
	due      int64 // when a step is due by time alone; NotDue: never
}

// flush waits until taken reaches target and the items before it are done.
type flush struct {
	id     uint64
	target uint64
}

// work is what is being computed or appended: one thing at a time.
type work struct {
	kind     RecordKind // of the last record
	ids      []uint64
	barriers []uint64 // items that wait for the step
	rejected []uint64
	staged   bool
	base     uint64 // last sequence before it
	records  int
	hash     Hash // of the last record
	taken    uint64
	attempts int
}

// RecordKind says what a log record means to the coord.
type RecordKind uint8

// The kinds of records that a coord tells apart.
const (
	RecordOther RecordKind = iota // a TX record, or one of a kind yet to come
	RecordEpoch
	RecordStep
	RecordDDL
	RecordCheckpoint
)

// New returns a coord that begins by reading the log.
func New(cfg Config) *Coord {
	if cfg.StepRows <= 0 {
		cfg.StepRows = DefaultStepRows
	}
	if cfg.LingerMicros == 0 {
		cfg.LingerMicros = DefaultLingerMicros
	}
	if cfg.MaxAttempts <= 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.MaxBackoffMicros <= 0 {
		cfg.MaxBackoffMicros = DefaultMaxBackoff
	}
	return &Coord{cfg: cfg, due: NotDue}
}

// Role returns what the coord is doing.
func (c *Coord) Role() Role { return c.role }

// Reason says why it is Fenced or Failed.
func (c *Coord) Reason() string { return c.reason }

// Epoch returns the greatest epoch seen; its own when Leading.
func (c *Coord) Epoch() uint64 { return c.epoch }

// Last returns the sequence and hash of the last record known to be in the log.
func (c *Coord) Last() (uint64, Hash) { return c.last, c.lastHash }

// CommittedStep returns the last committed step.
func (c *Coord) CommittedStep() uint64 { return c.step }

// Waiting returns how many items wait, those being computed among them.
func (c *Coord) Waiting() int {
	n := len(c.items) + len(c.flushes)
	if c.work != nil {
		n += len(c.work.ids) + len(c.work.barriers)
	}
	return n
}

// Step applies ev and returns the effects to carry out, in order.
func (c *Coord) Step(ev Event) []Effect {
	if c.role == Fenced || c.role == Failed {
		if s, ok := ev.(Submitted); ok {
			a := Answer{Outcome: Refused}
			for _, it := range s.Items {
				a.IDs = append(a.IDs, it.ID)
			}
			return []Effect{a}
		}
		return nil
	}
	var out []Effect
	switch ev := ev.(type) {
	case Record:
		out = c.record(ev)
	case Restored:
		out = c.restored(ev)
	case EndOfLog:
		out = c.endOfLog()
	case Submitted:
		out = c.submitted(ev)
	case Arrived:
		c.arrived += ev.Rows
	case Due:
		c.due = ev.At
	case Clock:
		c.now = max(c.now, ev.Now)
		out = c.clock()
	case Staged:
		out = c.stagedWork(ev)
	case Appended:
		out = c.appended(ev)
	case Withdrawn:
		if c.role != Claiming {
			panic("coord: a claim is withdrawn that is not there")
		}
		c.role, c.work, c.retryAt = Replaying, nil, 0
	case Broken:
		out = c.stop(Failed, ev.Reason)
	default:
		panic(fmt.Sprintf("coord: unknown event %T", ev))
	}
	return append(out, c.next()...)
}

// stop ends everything: what was staged is dropped, everybody who waits is answered.
func (c *Coord) stop(role Role, reason string) []Effect {
	c.role, c.reason = role, reason
	out := []Effect{Dropped{Fenced: role == Fenced, Reason: reason}}
	if w := c.work; w != nil {
		o := Refused
		if w.attempts > 0 && role == Failed {
			o = Unknown // the log could not be asked
		}
		if len(w.ids) > 0 {
			out = append(out, Answer{IDs: w.ids, Outcome: o})
		}
		if len(w.barriers) > 0 {
			out = append(out, Answer{IDs: w.barriers, Outcome: Refused})
		}
		c.work = nil
	}
	var ids []uint64
	for _, it := range c.items {
		ids = append(ids, it.ID)
	}
	for _, f := range c.flushes {
		ids = append(ids, f.id)
	}
	c.items, c.flushes, c.retryAt = nil, nil, 0
	if len(ids) > 0 {
		out = append(out, Answer{IDs: ids, Outcome: Refused})
	}
	return out
}
