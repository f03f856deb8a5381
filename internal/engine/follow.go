package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// Leader is how a standby reaches the engine that leads, wherever that is. The bytes are
// those of Engine.Serve; an answer is what Serve returned. Errors: ErrNoLeader when nobody
// leads, or who does was not reached or is no longer the leader, and nothing has happened;
// ErrOutcome, or any other, when it may have. It is safe for concurrent use.
type Leader interface {
	Call(ctx context.Context, req []byte) (resp []byte, err error)
}

var (
	// ErrNoLeader is Leader.Call's answer if a request was not carried out and will not be.
	ErrNoLeader = errors.New("no leader")
	// ErrOutcome is Leader.Call's answer if a request was sent and what became of it is not known.
	ErrOutcome = errors.New("the outcome is not known")
	// ErrNotLeader is Serve's answer on a node that does not lead: nothing was done.
	ErrNotLeader = errors.New("this node does not lead")
	// ErrMismatch says that a standby computed something else than what was committed. Its
	// state is void; opened again it begins at a checkpoint.
	ErrMismatch = errors.New("a step came out differently than it was committed")
	// ErrNeedsCheckpoint says that what this node keeps is not enough to go on: the log has
	// been trimmed past it. A checkpoint of a peer is.
	ErrNeedsCheckpoint = errors.New("there is no checkpoint to go on from")
)

// ErrYielded is why a pipeline ended that has handed its lead on by Yield. Clients see it
// too.
var ErrYielded error = &types.Error{Code: "57P04", Message: "this node has handed the pipeline on to another",
	Detail: "What was accepted before is committed; this was not carried out.", Hint: "Connect again."}

// HeartbeatSteps is after how much silence a leader with standbys commits an empty step,
// so that they know how current they are, and it that it still leads.
const HeartbeatSteps = 2 * time.Second

// Role says what an engine does.
type Role int32

// The roles, in the order of a life.
const (
	RoleStandby  Role = iota // follows the log
	RoleClaiming             // was asked to lead, and reads to the log's end or claims its epoch
	RoleLeader               // commits steps
	RoleEnded                // Done is closed
)

func (r Role) String() string { return [...]string{"standby", "claiming", "leader", "ended"}[r] }

// Standing is how an engine stands among those of its pipeline.
type Standing struct {
	Role        Role
	Epoch       uint64 // the last one in the log that it knows
	LeaderName  string // Config.Node of who claimed that epoch; "" if it is not known
	Step        uint64 // the last one that readers see
	LogPosition uint64 // of the last record that is part of its state
	// Heard is when, by the own clock, the last record became part of its state.
	Heard time.Time
	// AtEnd is when, by the own clock, nothing was committed that is not part of its state;
	// zero: never yet.
	AtEnd time.Time
	// Behind is for how long that was not so, by the own clock; negative: AtEnd is zero.
	Behind time.Duration
	// Floor is the first record of the log that a start from its own kept checkpoints needs;
	// 0: all of them.
	Floor uint64
	// Mismatch is what came out differently here than where it was committed, "" if nothing.
	Mismatch string
}

// stand is the engine's standing as its loop tells it and others ask for it.
type stand struct {
	role  atomic.Int32 // a Role
	moved broadcast    // when the role has changed

	mu    sync.Mutex
	now   Standing  // Role and Step excepted
	asked time.Time // when it was asked last where the log ends
	shown uint64    // the last record that is part of what readers see
	// pulsed is when the process was last seen to run, zero if nobody looks; woke is when it
	// was found to have been stopped before.
	pulsed, woke time.Time
	end          uint64 // what the answer was
}

func (s *stand) become(r Role) {
	s.role.Store(int32(r))
	s.moved.send()
}

func (s *stand) set(fn func(*Standing)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.now)
}

// role is what the engine does now.
func (e *Engine) role() Role { return Role(e.stand.role.Load()) }

// Standing tells how the engine stands.
func (e *Engine) Standing() Standing {
	e.stand.mu.Lock()
	s := e.stand.now
	e.stand.mu.Unlock()
	s.Role = e.role()
	if s.Behind = -1; !s.AtEnd.IsZero() {
		s.Behind = max(0, e.cfg.Clock().Sub(s.AtEnd))
	}
	if snap := e.Snapshot(); snap != nil {
		s.Step = snap.Step
	}
	return s
}

// Fenced reports whether the pipeline has ended because another leader took over.
func (e *Engine) Fenced() bool {
	select {
	case <-e.done:
		return e.fenced
	default:
		return false
	}
}

// Lead makes a standby the leader: it reads to the log's end, claims the next epoch and
// lets sources, sinks and checkpoints run. It returns when it leads; at once if it does.
// An error before the claim leaves it a standby; one later ends it.
func (e *Engine) Lead(ctx context.Context) error {
	if e.role() == RoleLeader {
		return nil
	}
	ask := promotion{ctx: ctx, answer: make(chan error, 1)}
	if m := e.cfg.Manual; m != nil {
		for len(e.promote) > 0 {
			if err := m.Wait(); err != nil {
				return err
			}
		}
	}
	select {
	case e.promote <- ask:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.done:
		return e.Err()
	}
	for m := e.cfg.Manual; m != nil && len(ask.answer) == 0; {
		select {
		case <-e.done:
			return e.Err()
		default:
		}
		if err := m.Wait(); err != nil {
			return err
		}
	}
	select {
	case err := <-ask.answer:
		return err
	case <-e.done:
		return e.Err()
	}
}

// floor is Config.Floor; 0: nobody needs anything.
func (e *Engine) floor() uint64 {
	if e.cfg.Floor == nil {
		return 0
	}
	return e.cfg.Floor()
}
