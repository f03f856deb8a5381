package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// EMIT ON WINDOW CLOSE gives each row of the result once, in the step in which the
// watermark of a column of it has passed the row: no change below the watermark can
// come any more. Where the rows are those of a grouping by such a column the grouping
// itself waits and keeps nothing but its groups; anything else is held behind the
// query until its time has come (flow.Finalize).
//
// Which columns have watermarks is what flow.Spec.TimeColumns says of the circuit as
// it is emitted; there is no second set of rules here.

// maxInnerCloses bounds how many groupings below the result are tried.
const maxInnerCloses = 64

// closer rewrites a circuit for EMIT ON WINDOW CLOSE.
type closer struct {
	b     *binder
	nodes []flow.Node
	cols  [][]bool // of the nodes: which columns have watermarks
}

// onClose makes s give rows on close. pos is the query's place, for errors.
func (b *binder) onClose(s *flow.Spec, pos int) *flow.Spec {
	c := &closer{b: b, nodes: slices.Clone(s.Nodes)}
	if c.matched() {
		return s
	}
	c.follow()
	at := c.grouping()
	if at >= 0 {
		c.closeGroups(at)
	} else {
		at = c.hold(pos)
	}
	c.closeInner(at)
	return &flow.Spec{Nodes: c.nodes}
}

// follow finds the columns with watermarks.
func (c *closer) follow() {
	cols, err := (&flow.Spec{Nodes: c.nodes}).TimeColumns(c.b.hasMark)
	check(noPos, err)
	c.cols = cols
}

// hasMark reports whether a column of the relation with the given key has a watermark.
func (b *binder) hasMark(key string, col int) bool {
	id, _ := catalog.ParseKey(key)
	r := b.p.Catalog.ByID(id)
	return r != nil && r.HasMark(col)
}

func (c *closer) readers(n int) int {
	count := 0
	for i := range c.nodes {
		for _, x := range c.nodes[i].In {
			if x == n {
				count++
			}
		}
	}
	return count
}

// below returns the node under the last one, or under node n where n only computes or
// leaves out rows; -1 if there is none, or others read it too.
func (c *closer) below(n int) int {
	switch c.nodes[n].Op.(type) {
	case *flow.Output, *flow.Filter, *flow.Project:
		if x := c.nodes[n].In[0]; c.readers(x) == 1 {
			return x
		}
	}
	return -1
}

// grouping returns the grouping whose groups are the result's rows, if it has a key
// with a watermark, or -1.
func (c *closer) grouping() int {
	for n := c.below(len(c.nodes) - 1); n >= 0; n = c.below(n) {
		if op, ok := c.nodes[n].Op.(*flow.Aggregate); ok && c.closeKey(n, op) >= 0 {
			return n
		}
	}
	return -1
}

// closeKey returns which key of a grouping says when a group is complete, or -1.
func (c *closer) closeKey(n int, op *flow.Aggregate) int {
	in := c.nodes[n].In[0]
	best, rank := -1, 0
	for i, k := range op.Keys {
		if c.cols[in][k] && c.nodes[in].Out[k].Layout() == types.LayoutInt {
			if r := c.rank(in, k); r > rank {
				best, rank = i, r
			}
		}
	}
	return best
}

// closeGroups makes node n, a grouping, give its groups on close.
func (c *closer) closeGroups(n int) {
	op := *c.nodes[n].Op.(*flow.Aggregate)
	op.CloseKey = c.closeKey(n, &op)
	op.OnClose = true
	c.nodes[n].Op = &op
	c.follow()
}

// hold puts a Finalize where the result has a column with a watermark, and returns its
// place.
func (c *closer) hold(pos int) int {
	last := len(c.nodes) - 1
	for n := c.nodes[last].In[0]; n >= 0; n = c.below(n) {
		best, rank := -1, 0
		for col, marked := range c.cols[n] {
			if marked && c.nodes[n].Out[col].Layout() == types.LayoutInt {
				if r := c.rank(n, col); r > rank {
					best, rank = col, r
				}
			}
		}
		if best >= 0 {
			c.insert(n, &flow.Finalize{Col: best})
			return n + 1
		}
	}
	failHint(pos, types.CodeFeature, "Declare WATERMARK FOR column AS expression on the source or append-only table, and keep that column, "+
		"or the window's start or end, in the result or in GROUP BY.", "EMIT ON WINDOW CLOSE needs a column with a watermark, and the result of this query has none")
	return -1
}

// insert puts op, whose rows are those of node n, between n and the one that reads it
// on the way to the result.
func (c *closer) insert(n int, op flow.Op) {
	at := c.nodes[n]
	c.nodes = slices.Insert(c.nodes, n+1, flow.Node{Op: op, In: []int{n}, Out: at.Out, Names: at.Names})
	for i := n + 2; i < len(c.nodes); i++ {
		in := slices.Clone(c.nodes[i].In)
		for k, x := range in {
			if x > n {
				in[k] = x + 1
			}
		}
		c.nodes[i].In = in
	}
	// What reads n on the way up is the chain's, and it alone; only the output may
	// stand on a node that others read too.
	for i := len(c.nodes) - 1; i > n+1; i-- {
		if k := slices.Index(c.nodes[i].In, n); k >= 0 {
			c.nodes[i].In[k] = n + 1
			break
		}
	}
	c.follow()
}

// closeInner makes groupings below node top give their groups on close as well: the
// result needs them no earlier, as long as its own column still has a watermark
// without what they did not tell.
func (c *closer) closeInner(top int) {
	tried := 0
	for n := top - 1; n >= 0 && tried < maxInnerCloses; n-- {
		op, ok := c.nodes[n].Op.(*flow.Aggregate)
		if !ok || c.closeKey(n, op) < 0 || op.OnClose {
			continue
		}
		tried++
		c.closeGroups(n)
		if !c.closes(top) {
			c.nodes[n].Op = op
			c.follow()
		}
	}
}

// closes reports whether the column by which node n closes has a watermark.
func (c *closer) closes(n int) bool {
	in := c.nodes[n].In[0]
	switch op := c.nodes[n].Op.(type) {
	case *flow.Aggregate:
		return c.cols[in][op.Keys[op.CloseKey]]
	case *flow.Finalize:
		return c.cols[in][op.Col]
	}
	return false
}

// How well a column with a watermark tells that an answer is complete: a window's
// answer is meant to come when the window is over.
const (
	rankTime = 1 + iota
	rankStart
	rankEnd
)

// rank follows column col of node n to where it comes from.
func (c *closer) rank(n, col int) int {
	for {
		node := &c.nodes[n]
		if len(node.In) == 0 {
			return rankTime
		}
		width := len(c.nodes[node.In[0]].Out)
		switch op := node.Op.(type) {
		case *flow.Window, *flow.Session:
			switch col - width {
			case 0:
				return rankStart
			case 1:
				return rankEnd
			}
		case *flow.Project:
			from := exprCols(op.Exprs[col])
			if len(from) != 1 {
				return rankTime
			}
			n, col = node.In[0], from[0]
			continue
		case *flow.Aggregate:
			if col >= len(op.Keys) {
				return rankTime
			}
			col = op.Keys[col]
		case *flow.Join, *flow.AsOf:
			if col >= width {
				n, col = node.In[1], col-width
				continue
			}
		}
		if col >= width {
			return rankTime
		}
		n = node.In[0]
	}
}
