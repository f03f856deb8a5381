package flow

import (
	"fmt"
	"strconv"
)

// Growth says what a relation or an operator's state grows with while events keep
// coming.
type Growth uint8

// The growths, from the one that ends to the one that does not.
const (
	// Fixed state ends: constants, what tables hold, and what lies above the marks.
	Fixed Growth = iota
	// ByKeys grows with the number of different keys, not with that of rows.
	ByKeys
	// ByRows grows with every row that comes, for ever.
	ByRows
)

// Bound says how large the state of one operator can become, and why.
type Bound struct {
	Growth Growth
	// Why is a sentence's end for EXPLAIN: "freed below the watermark of #2", with
	// columns numbered over the operator's inputs one after the other. Empty for
	// operators without state.
	Why string
}

// Bounds is what is known of a circuit's memory before it runs.
type Bounds struct {
	// Nodes are the bounds of the operators' states, by node.
	Nodes []Bound
	// TimeColumns are the columns that have marks, by node.
	TimeColumns [][]bool
	// Content is how what each node has given so far grows, by node.
	Content []Growth
}

// Bounds says of each node how its state grows, given which columns of the inputs
// have marks and how the inputs themselves grow.
func (s *Spec) Bounds(marked func(rel string, col int) bool, growth func(rel string) Growth) (*Bounds, error) {
	cols, err := s.TimeColumns(marked)
	if err != nil {
		return nil, err
	}
	n := len(s.Nodes)
	b := &bounder{spec: s, marked: cols, growth: growth, content: make([]Growth, n), only: appendOnly(asWritten(s))}
	out := &Bounds{Nodes: make([]Bound, n), TimeColumns: cols, Content: b.content}
	for i := range s.Nodes {
		b.content[i], out.Nodes[i] = b.node(i)
	}
	return out, nil
}

// bounder derives growths along a circuit.
type bounder struct {
	spec    *Spec
	marked  [][]bool
	growth  func(rel string) Growth
	content []Growth
	only    []bool
}

// stateless is the bound of operators that keep nothing.
var stateless = Bound{}

// node returns how the output of node i grows and what is to say of its state.
func (b *bounder) node(i int) (Growth, Bound) {
	n := &b.spec.Nodes[i]
	in := Fixed
	for _, x := range n.In {
		in = max(in, b.content[x])
	}
	switch op := n.Op.(type) {
	case *Input:
		return b.growth(op.Rel), stateless
	case *Join:
		return b.join(n, op)
	case *AsOf:
		return b.asOf(n, op)
	case *TimeFilter:
		return op.bound(in)
	case *Expire:
		return Fixed, Bound{Fixed, "rows until their time to live is over"}
	case *Lookup:
		return b.content[n.In[0]], held(b.content[n.In[1]], "the right side")
	case *SetOp:
		return in, b.byColumn(n, in, "one entry a row")
	case *Distinct:
		return in, b.byColumn(n, min(in, ByKeys), "one entry a distinct row")
	case *Aggregate:
		return b.aggregate(n, op, in)
	case *Finalize:
		return in, b.byColumnOf(n, op.Col, in)
	case *Session:
		return in, b.byColumnOf(n, op.Time, in)
	case *TopN:
		return b.topN(n, op, in)
	case *Over:
		return b.over(n, op, in)
	case *Match:
		return b.match(n, op, in)
	}
	return in, stateless
}

// firstMarked finds a column among cols of input port that has a mark.
func (b *bounder) firstMarked(n *Node, port int, cols []int) (int, bool) {
	for _, c := range cols {
		if b.marked[n.In[port]][c] {
			return c, true
		}
	}
	return 0, false
}

func freedBy(c int) Bound {
	return Bound{Fixed, "freed below the watermark of #" + strconv.Itoa(c)}
}

// held is the bound of state that holds what grows like g.
func held(g Growth, what string) Bound {
	switch g {
	case Fixed:
		return Bound{g, what + ", bounded by what it reads"}
	case ByKeys:
		return Bound{g, what + ", never freed: grows with the number of keys"}
	}
	return Bound{g, what + ", never freed: grows with every row"}
}

// byColumn is the bound of operators that free a row when any column of it passes its mark.
func (b *bounder) byColumn(n *Node, g Growth, what string) Bound {
	for c := range n.Out {
		all := true
		for port := range n.In {
			_, ok := b.firstMarked(n, port, []int{c})
			all = all && ok
		}
		if all {
			return freedBy(c)
		}
	}
	return held(g, what)
}

// byColumnOf is the bound of an operator that holds rows until column c passes its mark.
func (b *bounder) byColumnOf(n *Node, c int, g Growth) Bound {
	if _, ok := b.firstMarked(n, 0, []int{c}); ok {
		return freedBy(c)
	}
	return held(g, "every row")
}

func (b *bounder) aggregate(n *Node, op *Aggregate, in Growth) (Growth, Bound) {
	if c, ok := b.firstMarked(n, 0, op.Keys); ok {
		return in, freedBy(c)
	}
	if len(op.Keys) == 0 {
		in = min(in, Fixed)
	}
	out := min(in, ByKeys)
	if what := b.holdsRows(n, op); what != "" && b.content[n.In[0]] == ByRows {
		return out, Bound{ByRows, what + ", never freed: grows with every row"}
	}
	if len(op.Keys) == 0 {
		return Fixed, Bound{Fixed, "one row"}
	}
	return out, held(out, "one row a group")
}

// holdsRows names the first call whose state holds values of every row.
func (b *bounder) holdsRows(n *Node, op *Aggregate) string {
	for i := range op.Calls {
		c := &op.Calls[i]
		switch name := c.Fn.Name; {
		case len(c.Order) > 0, name == "string_agg", name == "array_agg":
			return fmt.Sprintf("the values of %s", name)
		case (name == "min" || name == "max") && !b.only[n.In[0]]:
			return fmt.Sprintf("the values of %s, since rows may be withdrawn", name)
		}
	}
	return ""
}

func (b *bounder) topN(n *Node, op *TopN, in Growth) (Growth, Bound) {
	if c, ok := b.firstMarked(n, 0, op.Partition); ok {
		return in, freedBy(c)
	}
	best := ByKeys
	if len(op.Partition) == 0 {
		best = Fixed
	}
	if op.Limit < 0 {
		return in, held(in, "every row")
	}
	out := min(in, best)
	if b.only[n.In[0]] {
		if op.Rank != RankRows {
			return in, held(in, "the rows of the first ranks")
		}
		if out == Fixed {
			return out, Bound{Fixed, "the first rows only, since none is withdrawn"}
		}
		return out, held(out, "the first rows of a partition")
	}
	return out, held(in, "every row, since those ahead may be withdrawn")
}

func (b *bounder) join(n *Node, op *Join) (Growth, Bound) {
	l, r := b.content[n.In[0]], b.content[n.In[1]]
	out := max(l, r)
	if op.Kind == JoinSemi || op.Kind == JoinAnti || op.Kind == JoinAntiNull {
		out = l
		if op.On == nil {
			r = min(r, ByKeys)
		}
	}
	shift := len(b.spec.Nodes[n.In[0]].Out)
	for k, c := range op.LeftKeys {
		if b.marked[n.In[0]][c] && b.marked[n.In[1]][op.RightKeys[k]] {
			return out, freedBy(c)
		}
	}
	if w := op.Between; w != nil && w.Lo != -Unbounded && w.Hi != Unbounded && b.marked[n.In[0]][w.Left] && b.marked[n.In[1]][w.Right] {
		return out, Bound{Fixed, fmt.Sprintf("freed when the watermarks of #%d and #%d have passed the interval", w.Left, shift+w.Right)}
	}
	switch {
	case l == ByRows && r == ByRows:
		return out, held(ByRows, "both sides")
	case l == ByRows:
		return out, held(ByRows, "the left side")
	case r == ByRows:
		return out, held(ByRows, "the right side")
	}
	return out, held(max(l, r), "both sides")
}
