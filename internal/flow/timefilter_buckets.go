package flow

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// Buckets appends a bigint column with the numbers k of the buckets
// [k*Width, (k+1)*Width) that the range from Lo to Hi around column Col touches, a
// row for each. A row whose column is NULL or infinite is in a bucket of its own
// kind: NULL, or the one at that end. It is what makes equal keys of "not far apart".
type Buckets struct {
	Col    int   // of integer layout
	Lo, Hi int64 // in its units; Lo <= Hi, and Hi - Lo <= Width
	Width  int64
	Times  bool // the extreme values are infinities, which nothing finite is close to
}

func (*Buckets) isOp() {}

// Describe implements Op.
func (op *Buckets) Describe() string {
	return fmt.Sprintf("Buckets of #%d width=%s around=[%s, %s]", op.Col, micros(op.Width), micros(op.Lo), micros(op.Hi))
}

// Range returns the first and the last bucket of value v.
func (op *Buckets) Range(v int64) (first, last int64) {
	return floorDiv(op.near(v, op.Lo), op.Width), floorDiv(op.near(v, op.Hi), op.Width)
}

// near is v + d, saturating.
func (op *Buckets) near(v, d int64) int64 {
	if op.Times && (v == math.MinInt64 || v == math.MaxInt64) {
		return v
	}
	s := v + d
	switch {
	case d > 0 && s < v:
		return math.MaxInt64
	case d < 0 && s > v:
		return math.MinInt64
	}
	return s
}

func (op *Buckets) check(n *Node, in []types.Type) error {
	if err := inRange([]int{op.Col}, in); err != nil {
		return err
	}
	if len(n.Out) != len(in)+1 {
		return fmt.Errorf("reads %d columns and emits %d", len(in), len(n.Out))
	}
	if op.Width <= 0 || op.Lo > op.Hi || op.Hi-op.Lo > op.Width {
		return fmt.Errorf("range from %d to %d does not fit width %d", op.Lo, op.Hi, op.Width)
	}
	return nil
}

// bucketMarks: the bucket rises with the value.
func bucketMarks(op *Buckets, m *marks) {
	copy(m.Out, m.In[0])
	m.final = m.Final[0]
	w := m.In[0][op.Col]
	if w != NoMark && w != FinalMark {
		w, _ = op.Range(w)
	}
	m.Out[len(m.In[0])] = w
}

// buckets is Buckets at work. It is linear: a row's buckets depend on the row alone.
// A range is no wider than a bucket, so a row is in one or two: those of the first
// are emitted as one block, those of the second as another.
type buckets struct {
	Buckets
	first, second []int64
	sel           []uint32
	out           batch.Batch
}

func newBuckets(op *Buckets) *buckets { return &buckets{Buckets: *op} }

func (x *buckets) Push(_ *Step, _ int, b *batch.Batch, out Emitter) {
	if len(x.first) < b.N {
		n := max(b.N, batch.BlockRows)
		x.first, x.second, x.sel = make([]int64, n), make([]int64, n), make([]uint32, 0, n)
	}
	c := &b.Cols[x.Col]
	num := batch.Column{Type: types.T(types.Int8), I64: x.first[:b.N], Valid: c.Valid}
	x.sel = x.sel[:0]
	if c.Type.Layout() == types.LayoutNone {
		num = batch.Column{}
	} else {
		for k, n := 0, b.Len(); k < n; k++ {
			i := b.Row(k)
			first, last := x.Range(c.I64[i])
			x.first[i], x.second[i] = first, last
			if last != first && c.Valid.Get(i) {
				x.sel = append(x.sel, uint32(i))
			}
		}
	}
	x.out = batch.Batch{Cols: append(append(x.out.Cols[:0], b.Cols...), num), N: b.N, Sel: b.Sel, Weights: b.Weights}
	out.Emit(&x.out)
	if len(x.sel) > 0 {
		x.out.Cols[len(b.Cols)].I64, x.out.Sel = x.second[:b.N], x.sel
		out.Emit(&x.out)
	}
}

func (x *buckets) Flush(*Step, Emitter) {}

func (x *buckets) StateBytes() int64 { return 0 }
