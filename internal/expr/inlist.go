package expr

import (
	"cmp"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// inNode is [NOT] IN over constants: integers and floats by binary search, texts
// by a hash table, the rest one after the other.
type inNode struct {
	arg     node
	ints    []int64
	floats  []float64
	texts   map[string]struct{}
	list    *batch.Column // other layouts
	count   int
	hasNull bool
	negate  bool
	out     vec
}

func newInNode(e *InList, arg node) *inNode {
	n := &inNode{arg: arg, hasNull: e.HasNull, negate: e.Negate, count: len(e.List)}
	t := e.Arg.Type()
	switch {
	case t.Layout() == types.LayoutInt || t.Layout() == types.LayoutBool:
		for _, v := range e.List {
			n.ints = append(n.ints, v.I)
		}
		slices.Sort(n.ints)
	case t.Layout() == types.LayoutFloat:
		for _, v := range e.List {
			n.floats = append(n.floats, v.F)
		}
		slices.SortFunc(n.floats, types.CompareFloat)
	case t.Layout() == types.LayoutStr && t.Kind != types.Array:
		n.texts = make(map[string]struct{}, len(e.List))
		for _, v := range e.List {
			n.texts[v.S] = struct{}{}
		}
	default:
		n.list = &batch.Column{Type: t}
		for i, v := range e.List {
			n.list.AppendValue(i, v)
		}
	}
	return n
}

func (n *inNode) eval(r *run, sel []uint32) *batch.Column {
	c := n.arg.eval(r, sel)
	n.out.reset(boolType, r.n)
	if c.Type.Layout() == types.LayoutNone {
		n.out.allNull()
		return &n.out.Column
	}
	n.out.Valid = c.Valid
	valid, neg := c.Valid, b2u(n.negate)
	for k, m := 0, rowCount(sel, r.n); k < m; k++ {
		i := rowAt(sel, k)
		if !valid.Get(i) {
			continue
		}
		found := n.has(c, i)
		n.out.U8[i] = b2u(found) ^ neg
		if !found && n.hasNull {
			n.out.setNull(i)
		}
	}
	return &n.out.Column
}

func (n *inNode) has(c *batch.Column, i int) bool {
	switch {
	case n.texts != nil:
		_, ok := n.texts[string(c.StrAt(i))]
		return ok
	case n.list != nil:
		for k := range n.count {
			if equalAt(c, i, n.list, k) {
				return true
			}
		}
		return false
	case c.Type.Layout() == types.LayoutFloat:
		_, ok := slices.BinarySearchFunc(n.floats, c.F64[i], types.CompareFloat)
		return ok
	case c.Type.Layout() == types.LayoutBool:
		return slices.Contains(n.ints, int64(c.U8[i]))
	}
	x := c.I64[i]
	if len(n.ints) <= 8 {
		return slices.Contains(n.ints, x)
	}
	_, ok := slices.BinarySearchFunc(n.ints, x, cmp.Compare[int64])
	return ok
}

func equalAt(a *batch.Column, i int, b *batch.Column, j int) bool {
	switch a.Type.Layout() {
	case types.LayoutDec:
		return types.CompareDec(a.Dec[i], a.Bytes, b.Dec[j], b.Bytes) == 0
	case types.LayoutIvl:
		return types.CompareIvl(a.Ivl[i], b.Ivl[j]) == 0
	case types.LayoutStr:
		return types.CompareArray(a.StrAt(i), b.StrAt(j)) == 0
	}
	return false
}
