package flow

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
)

// setOp is INTERSECT and EXCEPT, with or without ALL, over rows that SQL calls
// equal, NULLs included. With l and r the weights of a row left and right, it is
// there this many times:
//
//	INTERSECT ALL  min(l, r)         INTERSECT  1 if l > 0 and r > 0
//	EXCEPT ALL     l - r, at least 0 EXCEPT     1 if l > 0 and r = 0
//
// None of these is linear, so the weights are kept, and at Flush each key that the
// step touched emits what it is now less what it was. Among left rows that are
// equal but print differently (1.0 and 1.00) the first by batch.CompareWhole
// stands for all, so the result does not depend on the order of arrival.
type setOp struct {
	SetOp
	left  *multimap // rowCount holds how often a row is in the output
	right *multimap
	all   []int
	keys  []uint64
	out   stored
}

func newSetOp(env Env, op *SetOp) *setOp {
	mem := env.memory()
	s := &setOp{
		SetOp: *op, all: allColumns(env.Out), keys: make([]uint64, batch.BlockRows),
		left: newSide(mem, env.In[0], allColumns(env.Out), rowCounted), right: newKeyCounts(mem, env.In[1], allColumns(env.Out)),
	}
	s.left.trackG, s.right.trackG = true, true
	newGroupTable(mem, s.left, s.right)
	s.out = newStored(s.left.rowStore, env.Out)
	return s
}

func (s *setOp) Push(_ *Step, port int, b *batch.Batch, _ Emitter) {
	s.keys = batch.HashRows(s.keys[:cap(s.keys)], b, s.all)
	if port == 0 {
		s.left.addAll(s.keys, s.keys, b, nil, nil)
		return
	}
	for from := 0; from < len(s.keys); from += probeRows {
		keys := s.keys[from:min(from+probeRows, len(s.keys))]
		s.right.addKeys(s.right.t.findAll(s.right.found, keys, b, s.all, from), keys, b, s.all, from)
	}
}

// times is how often a row of the given weights is in the result.
func (s *setOp) times(l, r int64) int64 {
	l, r = max(l, 0), max(r, 0)
	switch {
	case s.Except && s.All:
		return max(l-r, 0)
	case s.Except && (r > 0 || l == 0):
		return 0
	case !s.Except && s.All:
		return min(l, r)
	case !s.Except && (r == 0 || l == 0):
		return 0
	}
	return 1
}

func (s *setOp) Flush(_ *Step, out Emitter) {
	for k, t := range s.left.touchedG {
		s.left.rest(k)
		s.renew(t.group, s.right.group(t.group).weight(), out)
	}
	for k, t := range s.right.touchedG {
		s.left.rest(k)
		if s.left.group(t.group).touched() == 0 {
			s.renew(t.group, s.right.group(t.group).weight(), out)
		}
	}
	s.out.flush(out)
	s.left.endStep()
	s.right.endStep()
}

// renew emits the difference for one key: its first row is there as often as the
// weights say, its others are not.
func (s *setOp) renew(g uint32, right int64, out Emitter) {
	gr := s.left.group(g)
	first := uint32(0)
	for r := gr.head(); r != 0; r = next(s.left.row(r)) {
		w := s.left.row(r)
		if int64(w[rowWeight]) > 0 && (first == 0 || s.left.compareWhole(w, s.left.row(first)) < 0) {
			first = r
		}
	}
	n := s.times(gr.weight(), right)
	for r := gr.head(); r != 0; r = next(s.left.row(r)) {
		want := int64(0)
		if r == first {
			want = n
		}
		if was := int64(s.left.row(r)[rowCount]); want != was {
			s.left.edit(r)[rowCount] = uint64(want)
			s.out.emit(r, want-was, out)
		}
	}
}

func (s *setOp) persist(p *state.Persist) {
	s.left.persist(p)
	s.right.persist(p)
}

func (s *setOp) StateBytes() int64 { return s.left.bytes() + s.right.bytes() }
