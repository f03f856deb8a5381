// Package format turns records' bytes into columns and back, directed by a
// schema: JSON and CSV. A decoder appends the good records of its input to a
// builder and reports the bad ones; one bad record never harms its neighbours.
package format

import (
	"errors"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Column is one attribute of the rows that are decoded or encoded.
type Column struct {
	Name string
	Type types.Type
	// NotNull makes a record bad that lacks the attribute or has NULL for it.
	NotNull bool
	// Skip leaves the attribute NULL: it is computed elsewhere.
	Skip bool
}

// Bad is a record that could not be decoded.
type Bad struct {
	Off    int    // byte offset of the record in the input
	Data   []byte // its bytes, borrowed from the input
	Reason string
}

// Decoder turns input into rows. It has one owner.
type Decoder interface {
	// Decode appends the records of data, which ends at a record boundary, to bu
	// with weight +1 and hands each bad one to bad.
	Decode(data []byte, bu *batch.Builder, bad func(Bad))
	// DecodePart does the same with a piece of a longer input that begins at a
	// record boundary, where records are separated by line ends. It stops after max
	// records, good and bad together, and returns how many bytes it took. Unless
	// data is the last of the input, a record whose end is not in it is left.
	DecodePart(data []byte, last bool, max int, bu *batch.Builder, bad func(Bad)) int
}

// MaxRecordBytes bounds one record; a longer one is bad.
const MaxRecordBytes = 4 << 20

// maxDepth bounds the nesting of a JSON value.
const maxDepth = 256

// Options are the settings of a decoder.
type Options struct {
	// EpochMicros is how many microseconds one unit of a number given for a
	// timestamp stands for; zero means 1000 (milliseconds).
	EpochMicros int64
	// Delimiter separates the fields of CSV; zero means a comma.
	Delimiter byte
	// NoHeader says that the first record of CSV is data; the fields are then the
	// columns in order.
	NoHeader bool
}

// errNull is the reason of a record that lacks a value it must have.
var errNull = errors.New("null value violates not-null constraint")

// epochOffset is 2000-01-01 in microseconds since 1970-01-01.
const epochOffset = 946684800_000_000
