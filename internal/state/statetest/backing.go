// Package statetest keeps state outside of memory for tests: in a map.
package statetest

import (
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/internal/state"
)

// Backing is a state.Backing and state.Sink that keeps records in a map and checks
// that they are asked for by who wrote them.
type Backing struct {
	// Fail, if not nil, makes Put and Spill fail with what it returns.
	Fail func() error
	// Spilling is called before something is spilled.
	Spilling func()
	// Empty says which packs are to be emptied.
	Empty func(pack uint32) bool
	// Two makes a checkpoint stay until the second one after it is complete.
	Two bool
	// Damaged says which records cannot be read.
	Damaged func(l state.Loc) bool

	mu      sync.Mutex
	pack    uint32
	records map[state.Loc]record
	kept    map[state.Loc]bool
	before  map[state.Loc]bool // kept by the checkpoint before
	next    uint64
	spilled int
	puts    int
}

type record struct {
	kind  state.RecordKind
	owner uint64
	data  []byte
}

// New returns an empty backing.
func New() *Backing {
	return &Backing{pack: 1, records: map[state.Loc]record{}, kept: map[state.Loc]bool{}}
}

// Read implements state.Backing.
func (b *Backing) Read(l state.Loc, owner uint64, dst []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.records[l]
	if !ok || r.owner != owner || b.Damaged != nil && b.Damaged(l) {
		return dst, fmt.Errorf("%w: record %+v of %x, asked for by %x", state.ErrDamaged, l, r.owner, owner)
	}
	return append(dst, r.data...), nil
}

func (b *Backing) put(pack uint32, kind state.RecordKind, owner uint64, data []byte) (state.Loc, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Fail != nil {
		if err := b.Fail(); err != nil {
			return state.Loc{}, err
		}
	}
	b.next++
	l := state.Loc{Pack: pack, Len: uint32(len(data)), Off: b.next}
	b.records[l] = record{kind, owner, append([]byte(nil), data...)}
	if pack == state.ScratchPack {
		b.spilled++
	}
	return l, nil
}

// Spill implements state.Backing.
func (b *Backing) Spill(owner uint64, payload []byte) (state.Loc, error) {
	if b.Spilling != nil {
		b.Spilling()
	}
	return b.put(state.ScratchPack, state.RecordPage, owner, payload)
}

// Unspill implements state.Backing.
func (b *Backing) Unspill(l state.Loc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.records[l]; !ok || l.Pack != state.ScratchPack {
		panic(fmt.Sprintf("statetest: %+v given back, which is not there", l))
	}
	delete(b.records, l)
	b.spilled--
}

// Spilled returns how many records are in the scratch pack.
func (b *Backing) Spilled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spilled
}

// Put implements state.Sink.
func (b *Backing) Put(kind state.RecordKind, owner uint64, payload []byte) (state.Loc, error) {
	l, err := b.put(b.pack, kind, owner, payload)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.kept[l] = true
		b.puts++
	}
	return l, err
}

// Keep implements state.Sink.
func (b *Backing) Keep(l state.Loc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.records[l]; !ok {
		panic(fmt.Sprintf("statetest: %+v kept, which is not there", l))
	}
	b.kept[l] = true
}

// Sparse implements state.Sink.
func (b *Backing) Sparse(pack uint32) bool { return b.Empty != nil && b.Empty(pack) }

// Complete ends a checkpoint: what it has not kept is forgotten, as if the one before
// were gone, and the next one writes another pack.
func (b *Backing) Complete() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.records {
		if l.Pack != state.ScratchPack && !b.kept[l] && !b.before[l] {
			delete(b.records, l)
		}
	}
	if b.Two {
		b.before = b.kept
	}
	b.nextPack()
}

// Abort ends a checkpoint that comes to nothing.
func (b *Backing) Abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextPack()
}

func (b *Backing) nextPack() {
	b.kept = map[state.Loc]bool{}
	b.puts = 0
	b.pack++
}

// Restart forgets what was spilled, and a checkpoint that is not complete.
func (b *Backing) Restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.records {
		if l.Pack == state.ScratchPack {
			delete(b.records, l)
		}
	}
	b.spilled = 0
	b.nextPack()
}

// Puts returns how many records were put into the checkpoint that is being written.
func (b *Backing) Puts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.puts
}

// Records returns how many records the checkpoints have.
func (b *Backing) Records() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records) - b.spilled
}
