package worker

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
)

// A chunk of a fill ends with so many rows, or bytes of them, unless Config says otherwise.
const (
	FillRows  = 1 << 17
	FillBytes = 32 << 20
)

// Filled is what has become of a circuit's fills so far.
type Filled struct {
	Rows   int64        // pushed
	Digest batch.Digest // of what came out, which is that of the content
	Errors flow.StepErrors
	// Marks are those of the result's columns, owned by the circuit.
	Marks []int64
}

// SetMarks sets the marks that relation rel's columns have at the end of the next Fill.
// Those when the circuit was built need not be.
func (c *Circuit) SetMarks(rel string, marks []int64) {
	if marks != nil && slices.Contains(c.c.inputs, rel) {
		c.marks[rel] = marks
	}
}

// Fill feeds a circuit that is not part of the steps yet: at first all that its inputs
// hold, and in later calls, of which each is at the same step or a later one, what they
// changed since. The input is cut into chunks, each a step of the circuit of its own with
// that number and logical time; between them state may leave memory. emit gets what they
// give, sealed, to be added up; emit may be nil. Behind the last chunk the marks are set, and
// what is due by time is done.
// A circuit whose spec is OneStep has one chunk and one Fill. push borrows its blocks.
//
// A circuit whose Fill failed is closed; nothing else has changed.
func (c *Circuit) Fill(step uint64, now int64, feed func(push func(rel string, b *batch.Batch) error) error, emit func(*batch.Batch) error) (Filled, error) {
	f := filling{Circuit: c, step: step, now: now, emit: emit, whole: c.c.spec.OneStep()}
	err := f.run(feed)
	if err != nil {
		c.Close()
	}
	return c.filled, err
}

// filling is a call of Fill.
type filling struct {
	*Circuit
	step  uint64
	now   int64
	emit  func(*batch.Batch) error
	whole bool // one chunk
	open  bool // a chunk is begun
	next  int  // lane
	rows  int
	bytes int64
}

func (f *filling) run(feed func(push func(rel string, b *batch.Batch) error) error) error {
	if f.whole {
		f.begin()
	}
	if err := f.c.guard(func() error { return feed(f.push) }); err != nil {
		return err
	}
	if f.open || !f.ran {
		if err := f.end(); err != nil {
			return err
		}
	}
	if len(f.marks) == 0 && f.c.group.NextTime() > f.now {
		return nil
	}
	return f.end()
}

// begin begins a chunk. That of a circuit with one alone, and one without rows, has the marks.
func (f *filling) begin() {
	if f.whole {
		f.setMarks()
	}
	f.c.group.BeginStep(int64(f.step), f.now)
	f.open, f.rows, f.bytes = true, 0, 0
}

// setMarks sets the marks that wait for it.
func (f *filling) setMarks() {
	for rel, m := range f.marks {
		f.c.group.SetMarks(rel, m)
	}
	clear(f.marks)
}

// push takes a block, in parts if a chunk ends in the middle of it.
func (f *filling) push(rel string, b *batch.Batch) error {
	n := b.Len()
	if n == 0 || !slices.Contains(f.c.inputs, rel) {
		return nil
	}
	most := f.fillRows
	if f.whole || n <= most {
		return f.part(rel, b, b.SizeBytes())
	}
	sel := b.Sel
	if sel == nil {
		sel = make([]uint32, n)
		for i := range sel {
			sel[i] = uint32(i)
		}
	}
	for lo := 0; lo < n; lo += most {
		view := *b
		view.Sel = sel[lo:min(lo+most, n)]
		if err := f.part(rel, &view, b.SizeBytes()*int64(len(view.Sel))/int64(n)); err != nil {
			return err
		}
	}
	return nil
}

// part takes a block of at most as many rows as a chunk has.
func (f *filling) part(rel string, b *batch.Batch, bytes int64) error {
	if f.open && !f.whole && (f.rows+b.Len() > f.fillRows || f.bytes+bytes > f.fillBytes) {
		if err := f.end(); err != nil {
			return err
		}
	}
	if !f.open {
		f.begin()
	}
	f.next++
	f.rows += b.Len()
	f.bytes += bytes
	f.filled.Rows += int64(b.Len())
	return f.c.push(rel, f.next%f.c.group.Workers(), b)
}

// end ends a chunk, or makes one without rows that sets the marks.
func (f *filling) end() error {
	if !f.open {
		if f.ran {
			f.setMarks()
		}
		f.c.group.BeginStep(int64(f.step), f.now)
	}
	f.open, f.ran = false, true
	out, err := f.c.finish(f.rows > smallStep)
	if err != nil {
		return err
	}
	f.filled.Digest = f.filled.Digest.Add(out.Digest)
	f.filled.Errors.Add(out.Errors)
	f.filled.Marks = out.Marks
	if out.Batch.Len() > 0 && f.emit != nil {
		if err := f.emit(out.Batch); err != nil {
			return err
		}
	}
	if !f.whole && f.budget.Over() > 0 {
		return f.c.guard(func() error { f.c.group.Rest(); return nil })
	}
	return nil
}
