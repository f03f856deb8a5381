package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// join combines two relations L and R on equal keys.
//
// The pairs of an inner join are bilinear: (L+l)(R+r) - LR = lR + (L+l)r. So each
// block is paired with what the other side holds at that moment, and added to its
// own side; over the step the sum is exact whatever the order of the blocks. The
// weight of a pair is the product of the weights.
//
// The other kinds also give left rows alone (with NULLs for an outer join): for
// outer and anti joins those without a match, for semi joins those with one. That
// is a gate for each left row, open or shut by the weight of its matches. Without
// a further condition the gate belongs to the key. A left row that comes is
// emitted at once if its key's gate was open at the start of the step; at Flush,
// for each key whose gate has turned, all its left rows are emitted or withdrawn.
// With a further condition the matches of each row differ, so they are counted row
// by row, and at Flush each row that changed is emitted as the difference of
// weight times gate, now and before. Right and full joins do the same for the
// right side.
//
// A NULL in the key matches nothing (unless NULLs compare equal), nor does one in a
// time that Between compares: such a row is never stored, and its gate never turns.
// What the marks allow is forgotten at the end of a step; see joinForget.
type join struct {
	node    int
	kind    JoinKind
	sides   [2]joinSide
	on      *expr.Predicate // nil if there is none
	between *Between        // nil if there is none
	byRow   bool            // there is a further condition: the gate belongs to the row
	forget  joinForget
	pairs   bool // pairs are part of the result
	keys    []uint64
	rows    []uint64 // hashes
	keyed   batch.Batch
	sel     []uint32
	apart   []uint32
	live    []uint32
	ids     []uint32 // with On: the block's rows in the store
	fresh   []bool   // and whether they are new there
	match   matches
	out     [2]batch.Batch    // pairs, by the port that made them
	lone    [2][]batch.Column // stored rows to emit alone
	loneIDs []uint32
	loneW   []int64
	weights []int64 // of groups
	view    batch.Batch
}

// joinSide is one input.
type joinSide struct {
	m        *multimap
	types    []types.Type
	keys     []int
	time     int   // column of Between, if there is one
	must     []int // columns where NULL means that a row matches nothing
	at       int   // first column in the result
	gate     gate
	nullSafe bool
	nulls    []batch.Column // all NULL, of this side's types
}

// gate says which rows of a side are emitted alone.
type gate uint8

const (
	gateNone      gate = iota
	gateUnmatched      // rows without a match
	gateMatched        // rows with one
)

// open reports whether a row with so much weight of matches passes.
func (g gate) open(count int64) bool {
	switch g {
	case gateUnmatched:
		return count <= 0
	case gateMatched:
		return count > 0
	}
	return false
}

// matches is pairs not yet emitted: rows of the block and rows of the other side.
type matches struct {
	mine, theirs []uint32
	weights      []int64
	k            []uint32 // which of the block's selected rows
	none         []uint32
	at, rows     []uint32 // of pairAll: rows of the block, and of the other side to pair with next
}

func newJoin(env Env, op *Join) (Operator, error) {
	if err := checkBetween(op.Between, env.In); err != nil {
		return nil, err
	}
	j := &join{
		node: env.Node, kind: op.Kind, pairs: op.Kind <= JoinFull,
		between: op.Between, byRow: op.On != nil || op.Between != nil,
	}
	j.forget = joinForget{j: j, marks: env.Marks}
	if op.On != nil {
		var err error
		if j.on, err = expr.CompilePredicate(op.On); err != nil {
			return nil, err
		}
	}
	mem, gates := env.memory(), [2]gate{}
	switch op.Kind {
	case JoinLeft, JoinAnti:
		gates[0] = gateUnmatched
	case JoinRight:
		gates[1] = gateUnmatched
	case JoinFull:
		gates = [2]gate{gateUnmatched, gateUnmatched}
	case JoinSemi:
		gates[0] = gateMatched
	}
	for p := range j.sides {
		s := &j.sides[p]
		s.types, s.keys, s.gate, s.nullSafe = env.In[p], op.LeftKeys, gates[p], op.NullSafe
		if p == 1 {
			s.keys, s.at = op.RightKeys, len(env.In[0])
		}
		s.nulls = nullColumns(s.types)
		if !s.nullSafe {
			s.must = slices.Clone(s.keys)
		}
		if b := op.Between; b != nil {
			s.time = [2]int{b.Left, b.Right}[p]
			s.must = append(s.must, s.time)
		}
		header := rowPlain
		if j.byRow && s.gate != gateNone {
			header = rowCounted
		}
		if p == 1 && !j.pairs && !j.byRow {
			s.m = newKeyCounts(mem, s.types, s.keys)
		} else {
			s.m = newSide(mem, s.types, s.keys, header)
		}
		s.m.trackR = header == rowCounted
	}
	for p := range j.sides {
		j.sides[p].m.trackG = !j.byRow && j.sides[1-p].gate != gateNone
	}
	newGroupTable(mem, j.sides[0].m, j.sides[1].m)
	j.scratch()
	return j, nil
}

func (j *join) scratch() {
	j.keys = make([]uint64, batch.BlockRows)
	j.rows = make([]uint64, batch.BlockRows)
	j.sel = make([]uint32, 0, batch.BlockRows)
	j.live = make([]uint32, 0, batch.BlockRows)
	j.apart = make([]uint32, 0, batch.BlockRows)
	j.ids = make([]uint32, batch.BlockRows)
	j.fresh = make([]bool, batch.BlockRows)
	row := slices.Concat(j.sides[0].types, j.sides[1].types)
	for p := range j.sides {
		j.out[p].Cols = typedColumns(row)
		j.lone[p] = typedColumns(j.sides[p].types)
	}
	j.match = matches{
		mine: make([]uint32, 0, batch.BlockRows), theirs: make([]uint32, 0, batch.BlockRows),
		weights: make([]int64, 0, batch.BlockRows), k: make([]uint32, 0, batch.BlockRows),
		none: []uint32{},
		at:   make([]uint32, 0, probeRows), rows: make([]uint32, 0, probeRows),
	}
	j.loneIDs = make([]uint32, 0, batch.BlockRows)
	j.loneW = make([]int64, 0, batch.BlockRows)
	j.weights = make([]int64, probeRows)
}

func typedColumns(ts []types.Type) []batch.Column {
	cols := make([]batch.Column, len(ts))
	for i, t := range ts {
		cols[i].Type = t
	}
	return cols
}

// nullColumns returns columns of NULLs for a block.
func nullColumns(ts []types.Type) []batch.Column {
	none := make(batch.Bitmap, batch.BlockRows/64)
	cols := make([]batch.Column, len(ts))
	for i, t := range ts {
		cols[i] = batch.Column{Type: t, Valid: none}
		switch t.Layout() {
		case types.LayoutBool:
			cols[i].U8 = make([]uint8, batch.BlockRows)
		case types.LayoutInt:
			cols[i].I64 = make([]int64, batch.BlockRows)
		case types.LayoutFloat:
			cols[i].F64 = make([]float64, batch.BlockRows)
		case types.LayoutDec:
			cols[i].Dec = make([]types.Decimal, batch.BlockRows)
		case types.LayoutIvl:
			cols[i].Ivl = make([]types.IntervalVal, batch.BlockRows)
		case types.LayoutStr:
			cols[i].Str = make([]batch.Ref, batch.BlockRows)
		}
	}
	return cols
}

func (j *join) Push(st *Step, port int, b *batch.Batch, out Emitter) {
	b = j.splitNulls(port, b, out)
	if b.Len() == 0 {
		return
	}
	me := &j.sides[port]
	j.keys = batch.HashRows(j.keys[:cap(j.keys)], b, me.keys)
	if !me.m.keysOnly {
		j.rows = batch.HashRows(j.rows[:cap(j.rows)], b, me.m.all)
	}
	if j.byRow {
		j.pushOn(st, port, b, out)
		return
	}
	j.pushPlain(st, port, b, out)
}

// splitNulls returns b without the rows that can match nothing, after emitting
// those of them that pass alone.
func (j *join) splitNulls(port int, b *batch.Batch, out Emitter) *batch.Batch {
	me := &j.sides[port]
	if !mayBeNull(b, me.must) {
		return b
	}
	j.sel = j.sel[:0]
	lone := j.apart[:0]
	for k, n := 0, b.Len(); k < n; k++ {
		i := b.Row(k)
		if anyNull(b, me.must, i) {
			lone = append(lone, uint32(i))
		} else {
			j.sel = append(j.sel, uint32(i))
		}
	}
	if len(lone) > 0 && me.gate == gateUnmatched {
		j.emitLoneOf(port, b, lone, out)
	}
	j.keyed = *b
	j.keyed.Sel = j.sel
	return &j.keyed
}

func mayBeNull(b *batch.Batch, cols []int) bool {
	for _, c := range cols {
		if b.Cols[c].Valid != nil || b.Cols[c].Type.Layout() == types.LayoutNone {
			return true
		}
	}
	return false
}

func anyNull(b *batch.Batch, cols []int, i int) bool {
	for _, c := range cols {
		if b.Cols[c].Null(i) {
			return true
		}
	}
	return false
}

// pushPlain pushes a block of a join without a further condition.
func (j *join) pushPlain(st *Step, port int, b *batch.Batch, out Emitter) {
	me, other := &j.sides[port], &j.sides[1-port]
	lone := j.apart[:0]
	for from := 0; from < len(j.keys); from += probeRows {
		to := min(from+probeRows, len(j.keys))
		keys := j.keys[from:to]
		groups := me.m.t.findAll(me.m.found, keys, b, me.keys, from)
		if me.gate != gateNone {
			for k, w := range other.m.oldWeights(j.weights, groups) {
				if me.gate.open(w) {
					lone = append(lone, uint32(b.Row(from+k)))
				}
			}
		}
		if j.pairs {
			j.pairAll(st, port, b, from, other.m.headsOf(groups), out)
		}
		if me.m.keysOnly {
			me.m.addKeys(groups, keys, b, me.keys, from)
		} else {
			me.m.addFound(groups, keys, j.rows[from:to], b, from, nil, nil)
		}
	}
	j.emitPairs(st, port, b, out)
	if len(lone) > 0 {
		j.emitLoneOf(port, b, lone, out)
	}
}

// pushOn pushes a block of a join with a further condition.
func (j *join) pushOn(st *Step, port int, b *batch.Batch, out Emitter) {
	me, other := &j.sides[port], &j.sides[1-port]
	for from := 0; from < len(j.keys); from += probeRows {
		to := min(from+probeRows, len(j.keys))
		groups := me.m.t.findAll(me.m.found, j.keys[from:to], b, me.keys, from)
		me.m.addFound(groups, j.keys[from:to], j.rows[from:to], b, from, j.ids[from:to], j.fresh[from:to])
		me.m.groupsOf(groups, j.ids[from:to]) // also of those that are new
		heads := other.m.headsOf(groups)
		if !j.pairs && other.gate == gateNone {
			for k, fresh := range j.fresh[from:to] {
				if !fresh { // its count is known, and nothing else depends on its pairs
					heads[k] = 0
				}
			}
		}
		j.pairOn(st, port, b, from, heads, out)
		j.forget.enterRows(port, b, from, to)
	}
	j.emitPairs(st, port, b, out)
}

func (j *join) persist(p *state.Persist) {
	atRest(p, "pairs", len(j.match.mine))
	atRest(p, "rows to emit alone", len(j.loneIDs))
	j.sides[0].m.persist(p)
	j.sides[1].m.persist(p)
	j.forget.persist(p)
}

// StateBytes implements Operator.
func (j *join) StateBytes() int64 {
	return j.sides[0].m.bytes() + j.sides[1].m.bytes() + j.forget.bytes()
}
