package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/state"
)

// ErrOtherSpec says that an image is of a circuit that computed something else.
var ErrOtherSpec = errors.New("the image is of another circuit")

// Frozen is the state of all circuits at the boundary between two steps. Steps go on
// while another goroutine writes it.
type Frozen struct {
	circuits []frozenCircuit
	marks    []byte
}

type frozenCircuit struct {
	key    string
	spec   [32]byte
	owner  uint64
	frozen *flow.Frozen
}

// Image is what Restore needs of one circuit. Data is small, and for the caller to
// keep where it finds it again; the pages that it names are with the sink.
type Image struct {
	Key  string
	Data []byte
}

// Saved is what a new worker needs to go on where this one was frozen.
type Saved struct {
	Circuits []Image // in the order of Restore
	Marks    []byte  // for RestoreMarks
}

// Freeze takes the state of all circuits as it is between two steps, without copying
// it. One at a time: the one before is Done. It fails only if the worker is spent,
// and then it is.
func (w *Worker) Freeze() (*Frozen, error) {
	if w.failed != nil {
		return nil, fmt.Errorf("freeze circuits: an earlier step failed: %w", w.failed)
	}
	f := &Frozen{marks: appendMarks(nil, w.marks)}
	for _, c := range w.circuits {
		part := frozenCircuit{c.key, c.spec.Hash(), c.owner, c.group.BeginFreeze()}
		err := c.each(true, func(lane int) error {
			c.group.FreezeLane(part.frozen, lane)
			return nil
		})
		if err != nil {
			w.failed = err
			return nil, fmt.Errorf("freeze circuits: %w", err)
		}
		f.circuits = append(f.circuits, part)
	}
	return f, nil
}

// Bytes returns about how many bytes Write will write.
func (f *Frozen) Bytes() int64 {
	n := int64(len(f.marks))
	for _, c := range f.circuits {
		n += c.frozen.Bytes()
	}
	return n
}

// Write writes what has changed since the last complete checkpoint. Any goroutine may
// call it, once. The result is good once the sink's checkpoint is complete.
func (f *Frozen) Write(to state.Sink) (saved Saved, err error) {
	at := "none"
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Circuit: at, Value: v, Stack: debug.Stack()}
		}
	}()
	saved.Marks = f.marks
	for _, c := range f.circuits {
		at = c.key
		data := append([]byte{imageVersion}, c.spec[:]...)
		data = binary.LittleEndian.AppendUint64(data, c.owner)
		image, err := c.frozen.Write(to)
		if err != nil {
			return Saved{}, fmt.Errorf("write circuit %s: %w", c.key, err)
		}
		saved.Circuits = append(saved.Circuits, Image{c.key, append(data, image...)})
	}
	return saved, nil
}

// Done tells the circuits what became of the freeze: complete says that the checkpoint
// is and will be kept; else what it would have written stays to be written. The
// worker's goroutine calls it between steps, once, after Write if that was called. It
// may be called after a circuit was removed or the worker closed.
func (f *Frozen) Done(complete bool) {
	for _, c := range f.circuits {
		c.frozen.Done(complete)
	}
}

// An image is its version, the hash of the circuit's spec, the owner in its records,
// and the group's own image.
const (
	imageVersion = 1
	imageHead    = 1 + 32 + 8
)

// Restore makes a circuit from an image and adds it to the steps, after those that are
// there. spec and opt are as they were for Build. No state is read before it is
// needed. The marks are restored before; see RestoreMarks. The error is ErrOtherSpec if
// the image is of another spec, state.ErrDamaged if it cannot be read; the worker is
// then as it was before.
func (w *Worker) Restore(key string, spec *flow.Spec, opt flow.Options, image []byte) error {
	if len(image) < imageHead || image[0] != imageVersion {
		return fmt.Errorf("restore circuit %s: %w: an image of %d bytes", key, state.ErrDamaged, len(image))
	}
	if [32]byte(image[1:33]) != spec.Hash() {
		return fmt.Errorf("restore circuit %s: %w", key, ErrOtherSpec)
	}
	opt.Owner = binary.LittleEndian.Uint64(image[33:])
	c, err := w.build(key, spec, opt)
	if err != nil {
		return fmt.Errorf("restore circuit %s: %w", key, err)
	}
	err = c.guard(func() error {
		if err := c.group.Restore(image[imageHead:]); err != nil {
			return fmt.Errorf("restore circuit %s: %w", key, err)
		}
		c.next = c.group.NextTime()
		return nil
	})
	if err != nil {
		c.group.Close()
		return err
	}
	c.group.Bound(w.bound, w.stop)
	w.circuits = append(w.circuits, c)
	return nil
}

// Unread lists what Restore has left to be read when a step needs it: where the pages of
// state are. Each function reads a part and returns a FaultError if that is damaged. Any
// goroutine may call them, beside steps, in any order; what was read is not read again.
func (w *Worker) Unread() (out []func() error) {
	for _, c := range w.circuits {
		for _, read := range c.group.Unread() {
			out = append(out, func() error {
				if err := read(); err != nil {
					return &FaultError{Circuit: c.key, Err: &state.FaultError{Err: err}}
				}
				return nil
			})
		}
	}
	return out
}

// RestoreMarks makes the marks of all relations what they were at the freeze.
func (w *Worker) RestoreMarks(data []byte) error {
	marks, err := readMarks(data)
	if err != nil {
		return fmt.Errorf("restore marks: %w", err)
	}
	w.marks = marks
	return nil
}

// appendMarks appends marks, in order of the relations.
func appendMarks(dst []byte, marks map[string][]int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(marks)))
	for _, rel := range slices.Sorted(maps.Keys(marks)) {
		dst = binary.AppendUvarint(dst, uint64(len(rel)))
		dst = append(dst, rel...)
		dst = binary.AppendUvarint(dst, uint64(len(marks[rel])))
		for _, m := range marks[rel] {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(m))
		}
	}
	return dst
}

func readMarks(data []byte) (map[string][]int64, error) {
	bad := fmt.Errorf("%w: marks of %d bytes", state.ErrDamaged, len(data))
	number := func(size uint64) (int, bool) { // of things of so many bytes, which are there
		v, n := binary.Uvarint(data)
		if n <= 0 || v > uint64(len(data)-n)/size {
			return 0, false
		}
		data = data[n:]
		return int(v), true
	}
	count, ok := number(2)
	out := make(map[string][]int64, count)
	for ; ok && count > 0; count-- {
		size, found := number(1)
		if !found {
			return nil, bad
		}
		rel := string(data[:size])
		data = data[size:]
		cols, found := number(8)
		if !found {
			return nil, bad
		}
		m := make([]int64, cols)
		for c := range m {
			m[c] = int64(binary.LittleEndian.Uint64(data[8*c:]))
		}
		out[rel], data = m, data[8*cols:]
	}
	if !ok || len(data) > 0 {
		return nil, bad
	}
	return out, nil
}
