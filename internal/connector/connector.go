// Package connector says what a connection to another system is: sources bring
// rows in, sinks send changes out. Each system has a package of its own below
// this one; the engine drives them through these interfaces.
package connector

import (
	"context"
	"fmt"
	"hash/fnv"
	"sort"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/types"
)

// Column is one attribute of a source or of a sink's input.
type Column struct {
	Name    string
	Type    types.Type
	NotNull bool
	// Generated columns are computed by the engine; a source leaves them NULL.
	Generated bool
}

// Config is what a connector gets to know of the source or sink it serves.
type Config struct {
	ID      uint32 // the object's id in the catalog
	Name    string // for messages
	Columns []Column
	// AppendOnly says of a sink that its rows are never withdrawn.
	AppendOnly bool
	// Options are the WITH options, names in lower case, without "connector".
	Options map[string]string
	Format  string            // FORMAT word in upper case; "" if none was given
	Encode  string            // ENCODE word in upper case; "" if none was given
	Encoded map[string]string // options after ENCODE
	// Watermark says of a source that it has one, so that its partitions matter.
	Watermark bool
	// Created is the logical time at which the object was created, microseconds since
	// 2000-01-01 UTC: generated timestamps begin there.
	Created int64
	// Fabric gives the messages of NATS clients; nil in tests that need none.
	Fabric *fabric.Fabric
	Logf   func(format string, args ...any)
}

// System is one kind of external system. A nil constructor means it cannot be used
// that way.
type System struct {
	Name string
	// Source checks cfg and returns a source that is not started. It is called when a
	// source is created and whenever a node takes over the pipeline. What it returns
	// is a Runner, a Replayable or a Receiver.
	Source func(cfg Config) (any, error)
	// Sink checks cfg and returns a sink that is not started.
	Sink func(cfg Config) (Sink, error)
}

// Runner is a source that reads its system by itself and pushes blocks of rows.
type Runner interface {
	// Run pushes rows into to until ctx ends, which is not an error, or the input
	// does (nil). It starts behind the cursor of the last block that is in the log,
	// as to.Cursor gives it. An error makes the engine call it again after a pause.
	Run(ctx context.Context, to Intake) error
}

// Intake is a source's log, as a Runner sees it. It is safe for concurrent use.
type Intake interface {
	// Cursor returns the cursor of the last block in the log, nil if there is none.
	Cursor() []byte
	// Append makes a block durable: its rows, the bad records among them, and the
	// cursor to go on from. One synced append; when it returns, the rows are there
	// exactly once, or err says that they are not. It blocks to push back. The batch
	// is borrowed until it returns.
	Append(ctx context.Context, b Block) (position uint64, err error)
	// Known reports whether the log holds a message of that key (see Sent), and the
	// position of the block it is in. Only the MaxKeys newest keys are remembered. Who
	// asks before an Append must be the only one to append messages of that key.
	Known(ctx context.Context, key string) (position uint64, known bool, err error)
}

// Block is what a Runner appends.
type Block struct {
	Rows   *batch.Batch // columns as in Config.Columns; may be empty or nil
	Bad    []Bad
	Cursor []byte // opaque to the engine; nil for sources that do not resume
	// Partition is the part of the input that the rows come from, each of which has a
	// watermark of its own; 0 for sources that are one. Parts, if not nil, says it for
	// each row. Opened are partitions whose rows will come: the source's watermark waits
	// for them. Ended are those that will send no more, after the rows of this block.
	Partition     uint32
	Parts         []uint32
	Opened, Ended []uint32
	// Sent names the requests or messages whose records are in the block, those that
	// have a name. It is durable with the rows: whatever of it comes again is known.
	Sent []Sent
}

// Bounds of what a source remembers of requests and messages, so that one that comes
// again is not taken twice.
const (
	// MaxKeys is how many keys of one source are remembered, the newest.
	MaxKeys = 100_000
	// MaxProducers is how many producers of one source are remembered: those that sent
	// something last.
	MaxProducers = 10_000
	// MaxKeyBytes bounds a key, or the name of a producer.
	MaxKeyBytes = 255
)

// Sent names a request or a message, either by a key, or by its producer and a
// sequence, which counts the producer's requests from 1 without gaps.
type Sent struct {
	Key      string
	Producer string // "" if Key names it
	Sequence uint64
	Digest   uint64 // of its content; 0 if it is not compared
}

// MaxPartitions bounds the partitions of a source.
const MaxPartitions = 1024

// PartitionOf returns a partition's number for its name.
func PartitionOf(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return max(h.Sum32(), 1) // 0 is that of sources without partitions
}

// MaxBadBytes is how much of a bad record is kept.
const MaxBadBytes = 64 << 10

// Bad is a record that could not be decoded.
type Bad struct {
	Data   []byte // the record, cut to MaxBadBytes
	Reason string
}

// Receiver is a source that is fed by requests to this node, as http is.
type Receiver interface {
	// Decode turns the body of one request into a block. It is safe for concurrent use.
	Decode(body []byte) (Block, error)
}

// Replayable is a source whose rows follow from their position alone, so that they
// need no log: a step names the range of positions, and replaying it generates the
// same rows again.
type Replayable interface {
	// Available returns the position behind the last row that is there at the logical
	// time now (microseconds since 2000-01-01 UTC); it never decreases with now.
	// start is the logical time at which the source was created.
	Available(start, now int64) uint64
	// Read appends rows [from, to) to bu, which has Config.Columns.
	Read(from, to uint64, bu *batch.Builder) error
}

// Timed is a Replayable that tells when each row comes, which is its PROCTIME().
type Timed interface {
	Replayable
	// Comes returns the least logical time at which row pos is Available, for a source
	// created at start; math.MaxInt64 for a row that there will never be. It does not
	// decrease with pos.
	Comes(start int64, pos uint64) int64
}

// Sink sends the changes of a view on.
type Sink interface {
	// Run delivers changes until ctx ends. It begins behind the position it finds in
	// its target or in from.Position, whichever is later, and reports what was
	// delivered by from.Done. An error makes the engine call it again after a pause.
	Run(ctx context.Context, from Outlet) error
}

// Outlet is a view's committed changes, as a Sink sees them.
type Outlet interface {
	// Position returns the last step reported as delivered.
	Position() uint64
	// Next waits for the changes of the next step after the given one: its number and
	// rows with weights, consolidated and in a fixed order, so that (view, step,
	// index) names a change for good.
	Next(ctx context.Context, after uint64) (step uint64, b *batch.Batch, err error)
	// Done records that everything up to step was delivered.
	Done(ctx context.Context, step uint64) error
}

// Registry holds the systems that a node knows. It is built once and not changed.
type Registry struct{ systems map[string]System }

// NewRegistry returns a registry of systems, whose names differ.
func NewRegistry(systems ...System) *Registry {
	r := &Registry{systems: map[string]System{}}
	for _, s := range systems {
		if _, ok := r.systems[s.Name]; ok {
			panic("connector: two systems named " + s.Name)
		}
		r.systems[s.Name] = s
	}
	return r
}

// Lookup returns the system of that name. The error names those there are.
func (r *Registry) Lookup(name string) (System, error) {
	if s, ok := r.systems[name]; ok {
		return s, nil
	}
	var names []string
	for n := range r.systems {
		names = append(names, n)
	}
	sort.Strings(names)
	return System{}, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("unknown connector %q", name),
		Hint: fmt.Sprintf("The connectors are %v.", names)}
}
