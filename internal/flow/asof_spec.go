package flow

import (
	"fmt"
	"strconv"

	"github.com/tidemill/tidemill/internal/types"
)

// AsOf joins each left row with at most one right row of an equal key: the one whose
// time is closest among those that Cmp allows. Of several at that time it is the
// first in the order of whole rows. The output row is left || right. Rows with NULL
// in a key or in their time match nothing.
type AsOf struct {
	Outer               bool // left rows without a match are given with NULLs
	LeftKeys, RightKeys []int
	// LeftTime and RightTime are columns of one integer layout.
	LeftTime, RightTime int
	Cmp                 AsOfCmp
}

// AsOfCmp is how the time of a left row compares with that of its match.
type AsOfCmp uint8

// The comparisons, left time first. With >= and > the match is the latest right row
// that is allowed, with <= and < the earliest.
const (
	AsOfGE AsOfCmp = iota
	AsOfGT
	AsOfLE
	AsOfLT
)

var asOfNames = [...]string{AsOfGE: ">=", AsOfGT: ">", AsOfLE: "<=", AsOfLT: "<"}

// String is the operator's symbol.
func (c AsOfCmp) String() string { return asOfNames[c] }

// backward reports whether matches lie before their left rows.
func (c AsOfCmp) backward() bool { return c <= AsOfGT }

// strict reports whether equal times do not match.
func (c AsOfCmp) strict() bool { return c == AsOfGT || c == AsOfLT }

func (*AsOf) isOp() {}

// Describe implements Op. Columns of the right side are numbered on their own.
func (op *AsOf) Describe() string { return op.describe(0) }

// describe is Describe with the right side's columns numbered from left on.
func (op *AsOf) describe(left int) string {
	s := "AsOf inner"
	if op.Outer {
		s = "AsOf left"
	}
	if len(op.LeftKeys) > 0 {
		s += " left=" + columns(op.LeftKeys) + " right=" + columns(shifted(op.RightKeys, left))
	}
	return s + " #" + strconv.Itoa(op.LeftTime) + " " + op.Cmp.String() + " #" + strconv.Itoa(left+op.RightTime)
}

func shifted(cols []int, by int) []int {
	out := make([]int, len(cols))
	for i, c := range cols {
		out[i] = c + by
	}
	return out
}

// sided is an operator of two inputs that describes itself with the columns of both
// numbered through.
type sided interface{ describe(left int) string }

func (op *AsOf) check(n *Node, in [][]types.Type) error {
	if err := checkJoin(&Join{LeftKeys: op.LeftKeys, RightKeys: op.RightKeys}, n, in); err != nil {
		return err
	}
	err := firstError(inRange([]int{op.LeftTime}, in[0]), inRange([]int{op.RightTime}, in[1]))
	if err != nil {
		return err
	}
	if l, r := in[0][op.LeftTime].Layout(), in[1][op.RightTime].Layout(); l != types.LayoutInt || r != types.LayoutInt {
		return fmt.Errorf("compares layout %d with layout %d, want integers", l, r)
	}
	return nil
}

// asOfMarks: a right row that comes or goes changes the left rows that it is the
// match of, or was. Looking back, these come after it, so that the left time keeps
// the lower of both marks; looking forward, the matches before and after come at or
// after the change, so that the right time does.
func asOfMarks(op *AsOf, m *marks) {
	nl := len(m.In[0])
	m.final = m.Final[0] && m.Final[1]
	m.blank()
	if m.final {
		return
	}
	if m.Final[1] { // left rows alone change the output
		copy(m.Out, m.In[0])
	}
	both := min(m.In[0][op.LeftTime], m.In[1][op.RightTime])
	at := op.LeftTime
	if !op.Cmp.backward() {
		at = nl + op.RightTime
	}
	m.Out[at] = max(m.Out[at], both)
	for k, c := range op.LeftKeys {
		w := min(m.In[0][c], m.In[1][op.RightKeys[k]])
		m.Out[c] = max(m.Out[c], w)
		m.Out[nl+op.RightKeys[k]] = max(m.Out[nl+op.RightKeys[k]], w)
	}
}

// asOf places an AsOf as a join by its keys.
func (p *placer) asOf(node int, op *AsOf, in []int, out []types.Type) int {
	l, r := p.meet(node, in[0], in[1], op.LeftKeys, op.RightKeys)
	ld, rd := p.dists[l], p.dists[r]
	return p.add(node, op, []int{l, r}, out, dist{single: ld.single && rd.single, keys: ld.keys})
}

// asOf bounds the state of an AsOf.
func (b *bounder) asOf(n *Node, op *AsOf) (Growth, Bound) {
	l, r := b.content[n.In[0]], b.content[n.In[1]]
	marked := b.marked[n.In[0]][op.LeftTime] && b.marked[n.In[1]][op.RightTime]
	shift := len(b.spec.Nodes[n.In[0]].Out)
	times := fmt.Sprintf("the watermarks of #%d and #%d", op.LeftTime, shift+op.RightTime)
	switch {
	case !marked && max(l, r) == Fixed:
		return l, held(Fixed, "both sides")
	case !marked:
		return l, held(max(l, r), "both sides")
	case op.Cmp.backward() && len(op.RightKeys) > 0 && r != Fixed:
		return l, Bound{ByKeys, "the last right row of each key below " + times + ", and all above"}
	case op.Cmp.backward():
		return l, Bound{Fixed, "the last right row below " + times + ", and all above"}
	}
	return l, Bound{ByKeys, "freed below " + times + "; left rows wait for a match"}
}
