package chaos

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	// registersPerRound is how many registers are in use at once, and roundLength for how long.
	registersPerRound = 3
	roundLength       = 4 * time.Second
	// registerCheck bounds the check of one register's history.
	registerCheck = 10 * time.Second
)

// registerOp is what a client asked of a register.
type registerOp struct {
	kind     string // read, write, cas
	old, new int64
}

// registerResult is the answer. Nothing of it counts if the outcome is unknown.
type registerResult struct {
	unknown bool
	value   int64 // of read
	swapped bool  // of cas
}

// registerModel is a register that holds 0 at first. An operation without an answer may take
// effect at any later time: it is given an end after all others, where nobody can tell
// whether it did.
var registerModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(s, in, out any) (bool, any) {
		was, op, r := s.(int64), in.(registerOp), out.(registerResult)
		switch op.kind {
		case "read":
			return r.unknown || r.value == was, was
		case "write":
			return true, op.new
		}
		swaps := was == op.old
		if !r.unknown && r.swapped != swaps {
			return false, was
		}
		if swaps {
			return true, op.new
		}
		return true, was
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// registers is the histories of all registers.
type registers struct {
	mu      sync.Mutex
	ops     map[int64][]porcupine.Operation // by register
	round   int64
	began   time.Duration
	rounds  int64 // how many there are
	next    int64 // value that was not written
	clients int
}

// pick is a register of the round under way; false when there is none left.
func (h *registers) pick(now time.Duration, r int64) (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now-h.began > roundLength {
		h.round++
		h.began = now
	}
	return h.round*registersPerRound + r%registersPerRound, h.round < h.rounds
}

func (h *registers) fresh() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	return h.next
}

// newClient is a number that no operation has yet; a client whose operation has no answer
// goes on as another one, since one client does one thing at a time.
func (h *registers) newClient() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients++
	return h.clients - 1
}

// add notes an operation. One without an answer ends the round.
func (h *registers) add(register int64, client int, op registerOp, r registerResult, call, ret time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := porcupine.Operation{ClientId: client, Input: op, Call: int64(call), Output: r, Return: int64(ret)}
	if r.unknown {
		o.Return = math.MaxInt64
		if register/registersPerRound == h.round {
			h.round++
			h.began = ret
		}
	}
	if h.ops == nil {
		h.ops = map[int64][]porcupine.Operation{}
	}
	h.ops[register] = append(h.ops[register], o)
}

// check looks whether each register's history is that of one register. It returns how many
// operations were checked, and how many registers could not be in time.
func (h *registers) check(f *findings) (ops, unchecked int) {
	for _, id := range sortedKeys(h.ops) {
		l := h.ops[id]
		switch porcupine.CheckOperationsTimeout(registerModel, l, registerCheck) {
		case porcupine.Ok:
			ops += len(l)
		case porcupine.Illegal:
			f.add(wrong, "register %d: %d operations with read = 'latest' are not linearizable", id, len(l))
		default:
			unchecked++
		}
	}
	return ops, unchecked
}
