package state

// Loc is where a record is kept outside of memory: Len bytes, its frame included,
// from Off on in pack Pack. The zero Loc is nowhere: packs count from 1.
type Loc struct {
	Pack uint32 // a number that the Backing gave; ScratchPack is the scratch file
	Len  uint32
	Off  uint64
}

// ScratchPack is the pack number of records that do not outlive the process.
const ScratchPack = ^uint32(0)

// None reports whether l is nowhere.
func (l Loc) None() bool { return l.Pack == 0 }

// Backing keeps what is not in memory. Its methods may be called by several
// goroutines.
type Backing interface {
	// Read appends the payload of the record at l to dst. The record's checksum and
	// its owner have been checked; what does not pass is ErrDamaged.
	Read(l Loc, owner uint64, dst []byte) ([]byte, error)
	// Spill keeps payload until Unspill or the end of the process.
	Spill(owner uint64, payload []byte) (Loc, error)
	// Unspill gives the place of a spilled record back.
	Unspill(l Loc)
}

// Sink takes the records of one checkpoint. One goroutine uses it.
type Sink interface {
	// Put writes a record of the given kind and returns where it will be once the
	// checkpoint is complete. payload is borrowed.
	Put(kind RecordKind, owner uint64, payload []byte) (Loc, error)
	// Sparse reports whether little of a pack is still in use, so that the records in
	// it should be written again.
	Sparse(pack uint32) bool
	// Keep says that the checkpoint goes on to use the record at l, which an earlier
	// one wrote. Every record that a checkpoint refers to is either put or kept, once;
	// a pack of which nothing is put or kept may be removed.
	Keep(l Loc)
}

// RecordKind says what a record is.
type RecordKind uint8

// The kinds of records.
const (
	RecordPage  RecordKind = 1 // a page of an array, or lines of it
	RecordTable RecordKind = 2 // where the pages of an array are
	RecordBlock RecordKind = 3 // a block of rows
	RecordImage RecordKind = 4 // the rest of an object's state
)
