package coord

// Event is something that happened.
type Event interface{ event() }

// Record is a record of the log, in order: all of them during replay, and those
// after Coord.Last when the coord asked by ReadOn.
type Record struct {
	Seq   uint64
	Kind  RecordKind
	Epoch uint64
	Prev  Hash
	Hash  Hash
	Step  uint64 // of RecordStep
}

// Restored says, before anything else, that the state comes from a checkpoint: the
// records that follow are those after Seq.
type Restored struct {
	Seq   uint64 // the last record that is part of it
	Hash  Hash   // of that record
	Epoch uint64
	Step  uint64
}

// EndOfLog says that every record there is has been given.
type EndOfLog struct{}

// Submitted is new items, in order. Those that came together should be told
// together: the first of them may begin a step, and that step holds what is known.
// The caller bounds how many it lets in.
type Submitted struct{ Items []Item }

// Arrived announces source rows that are durable and wait for a step.
type Arrived struct{ Rows uint64 }

// Due tells when, on Clock's scale, a step is due even if nothing comes, because
// what is computed changes by time passing; NotDue if never. It holds until the next
// Compute, after which the caller tells again.
type Due struct{ At int64 }

// Clock tells the time in microseconds. It never goes back.
type Clock struct{ Now int64 }

// Staged is the answer to Compute, Execute and Claim: the records are ready to be
// appended, and their effects kept ready to be published.
type Staged struct {
	Records  int      // how many; 0 if there is nothing to log
	Hash     Hash     // of the last of them
	Taken    uint64   // source rows in them
	Rejected []uint64 // items that were refused, which are in no record
}

// Appended is the answer to Append.
type Appended struct{ Outcome Outcome }

// Withdrawn says of a claim that it will not be sent again, and that no attempt to append
// it has succeeded or may yet: the coord reads on.
type Withdrawn struct{}

// Broken says that the caller cannot go on.
type Broken struct{ Reason string }

// Outcome is what became of something.
type Outcome uint8

// The outcomes.
const (
	Done          Outcome = iota // it is in the log
	WrongSequence                // of an append: the log was elsewhere; nothing was written by this attempt
	Unknown                      // it may be in the log, now or a little later, or never
	Refused                      // it is not in the log and will not be
	Rejected                     // of an item: a constraint refused it
)

func (Record) event()    {}
func (Restored) event()  {}
func (EndOfLog) event()  {}
func (Submitted) event() {}
func (Arrived) event()   {}
func (Due) event()       {}
func (Clock) event()     {}
func (Staged) event()    {}
func (Appended) event()  {}
func (Withdrawn) event() {}
func (Broken) event()    {}

// Effect is something to do.
type Effect interface{ effect() }

// Claim asks to stage the record of a new epoch; Staged answers it.
type Claim struct{ Epoch uint64 }

// Compute asks to compute a step over these transactions, in order, and as many
// source rows as are there up to the bound; Staged answers it. With neither it is
// the time that wants the step.
type Compute struct {
	Step uint64
	IDs  []uint64
	// Barrier says that somebody waits for the step: it is logged even if it is empty.
	Barrier bool
}

// Execute asks to carry out a command, or what an item of kind Checkpoint is for;
// Staged answers it.
type Execute struct{ ID uint64 }

// Append asks to append what is staged if the log's last sequence is Expect;
// Appended answers it. Sent again after an unknown outcome, it is the same bytes.
type Append struct{ Expect uint64 }

// ReadOn asks for the records from From on: Record for each, then EndOfLog.
type ReadOn struct{ From uint64 }

// Lead says that the coord leads from now on.
type Lead struct{ Epoch uint64 }

// Publish says that what is staged is committed: make it visible.
type Publish struct{ Step uint64 }

// Forget says that what was staged came to nothing: there was nothing to log.
type Forget struct{}

// Dropped says that the coord is over: what is staged is void.
type Dropped struct {
	Fenced bool
	Reason string
}

// Answer tells those who submitted items what became of them.
type Answer struct {
	IDs     []uint64
	Outcome Outcome
}

// Wake asks for a Clock event at that time, in place of any asked for before.
type Wake struct{ At int64 }

func (Claim) effect()   {}
func (Compute) effect() {}
func (Execute) effect() {}
func (Append) effect()  {}
func (ReadOn) effect()  {}
func (Lead) effect()    {}
func (Publish) effect() {}
func (Forget) effect()  {}
func (Dropped) effect() {}
func (Answer) effect()  {}
func (Wake) effect()    {}
