package plan

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// Between the syntax tree and the circuit stands a tree of relational nodes
// whose columns have identities: expr.Col.Index is a column's identity (colMeta
// index in the binder), not a position. So nothing has to be renumbered when
// nodes move, and a reference to an outer query's column is just a column that
// the node's own inputs do not give (it is free). Emit gives positions.

// colMeta is what is known of a column of the plan.
type colMeta struct {
	name string
	typ  types.Type
}

// node is a relational operator. Nodes are never changed once built, but rebuilt.
type node interface {
	// out lists the columns it gives. Callers do not change the list.
	out() []int
}

type (
	// scan reads a relation: cols[i] is its column i.
	scan struct {
		rel  *catalog.Relation
		cols []int
	}
	// values is constant rows; the expressions may have free columns.
	values struct {
		cols []int
		rows [][]expr.Expr
	}
	// filter keeps rows for which all preds are true.
	filter struct {
		in    node
		preds []expr.Expr
	}
	// project gives cols[i] = exprs[i]; to pass a column on is to give it its own identity.
	project struct {
		in    node
		cols  []int
		exprs []expr.Expr
	}
	// setFunc appends column col with the values of a set-returning function, and
	// ord, their number, unless it is -1.
	setFunc struct {
		in       node
		fn       *expr.SetFunc
		args     []expr.Expr
		col, ord int
	}
	// window appends start and end of the windows that hold column time: of sessions
	// if gap is above 0, else of CUMULATE if step is, else of HOP.
	window struct {
		in                  node
		time                int
		slide, size, offset int64 // microseconds
		step                int64
		gap                 int64
		partition           []int // of sessions
		start, end          int
	}
	// setOp combines inputs by position: input i's column maps[i][k] becomes cols[k].
	setOp struct {
		kind setKind
		ins  []node
		maps [][]int
		cols []int
	}
	// distinct keeps one of equal rows.
	distinct struct{ in node }
	// join combines l and r. on are conjuncts over both; same are pairs (left,
	// right) that must not be distinct, NULLs included.
	join struct {
		kind flow.JoinKind
		l, r node
		on   []expr.Expr
		same [][2]int
	}
	// aggregate groups by key columns of its input, which it passes on.
	aggregate struct {
		in     node
		keys   []int
		calls  []aggCall
		scalar bool
	}
	// topN keeps the first rows of each partition; limit < 0 is none.
	topN struct {
		in            node
		partition     []int
		order         []sortKey
		limit, offset int64
		rank          flow.RankKind
		number        int // 1 + the column with each row's place; 0: none
	}
	// sharedRef reads a node that several places read: cols[i] is its column body.in.out()[i].
	sharedRef struct {
		body *shared
		cols []int
	}
)

// shared is the common body of sharedRefs: computed once.
type shared struct {
	in   node
	refs int
	done bool // optimised
}

type setKind uint8

const (
	unionAll setKind = iota
	intersect
	intersectAll
	except
	exceptAll
)

// aggCall is one aggregate; its argument, filter and sort columns are columns of the input.
type aggCall struct {
	fn       *expr.AggFunc
	args     []int
	distinct bool
	filter   int // -1: none
	order    []sortKey
	col      int // what it gives
}

type sortKey struct {
	col              int
	desc, nullsFirst bool
}

func (n *scan) out() []int      { return n.cols }
func (n *values) out() []int    { return n.cols }
func (n *filter) out() []int    { return n.in.out() }
func (n *project) out() []int   { return n.cols }
func (n *distinct) out() []int  { return n.in.out() }
func (n *setOp) out() []int     { return n.cols }
func (n *sharedRef) out() []int { return n.cols }

func (n *topN) out() []int {
	o := n.in.out()
	if n.number > 0 {
		o = append(o[:len(o):len(o)], n.number-1)
	}
	return o
}

func (n *setFunc) out() []int {
	o := append(n.in.out()[:len(n.in.out()):len(n.in.out())], n.col)
	if n.ord >= 0 {
		o = append(o, n.ord)
	}
	return o
}

func (n *window) out() []int {
	o := n.in.out()
	return append(o[:len(o):len(o)], n.start, n.end)
}

func (n *join) out() []int {
	o := n.l.out()
	switch n.kind {
	case flow.JoinSemi, flow.JoinAnti, flow.JoinAntiNull:
		return o
	}
	return append(o[:len(o):len(o)], n.r.out()...)
}

func (n *aggregate) out() []int {
	o := n.keys[:len(n.keys):len(n.keys)]
	for _, c := range n.calls {
		o = append(o, c.col)
	}
	return o
}

// colSet is a set of column identities.
type colSet map[int]struct{}

func setOf(cols []int) colSet {
	s := make(colSet, len(cols))
	for _, c := range cols {
		s[c] = struct{}{}
	}
	return s
}

func (s colSet) has(c int) bool { _, ok := s[c]; return ok }

func (s colSet) add(cols ...int) {
	for _, c := range cols {
		s[c] = struct{}{}
	}
}

func (s colSet) hasAll(cols []int) bool {
	for _, c := range cols {
		if !s.has(c) {
			return false
		}
	}
	return true
}

func (s colSet) hasAny(cols []int) bool {
	for _, c := range cols {
		if s.has(c) {
			return true
		}
	}
	return false
}

// free lists the columns that n needs from outside, in order of first use.
func free(n node) []int {
	f := &freeFinder{seen: colSet{}, given: colSet{}, bodies: map[*shared]bool{}}
	f.node(n)
	var out []int
	for _, c := range f.used {
		if !f.given.has(c) {
			out = append(out, c)
		}
	}
	return out
}

// freeFinder collects all columns used and all columns given below a node:
// identities are unique, so what is used and not given comes from outside.
type freeFinder struct {
	used   []int
	seen   colSet
	given  colSet
	bodies map[*shared]bool
}

func (f *freeFinder) use(cols ...int) {
	for _, c := range cols {
		if !f.seen.has(c) {
			f.seen.add(c)
			f.used = append(f.used, c)
		}
	}
}

func (f *freeFinder) exprs(es []expr.Expr) {
	for _, e := range es {
		walkExpr(e, func(x expr.Expr) {
			if c, ok := x.(expr.Col); ok {
				f.use(c.Index)
			}
		})
	}
}

func (f *freeFinder) node(n node) {
	f.given.add(n.out()...)
	switch n := n.(type) {
	case *values:
		for _, r := range n.rows {
			f.exprs(r)
		}
	case *filter:
		f.exprs(n.preds)
	case *project:
		f.exprs(n.exprs)
	case *setFunc:
		f.exprs(n.args)
	case *lookup:
		f.exprs(n.on)
	case *join:
		f.exprs(n.on)
		for _, s := range n.same {
			f.use(s[0], s[1])
		}
	case *aggregate:
		for _, c := range n.calls {
			f.use(c.args...)
		}
	case *over:
		f.use(n.needs(n.calls)...)
	case *sharedRef:
		if !f.bodies[n.body] {
			f.bodies[n.body] = true
			f.node(n.body.in)
		}
	}
	for _, in := range inputs(n) {
		f.node(in)
	}
}

// inputs lists the nodes that n reads, except through a sharedRef.
func inputs(n node) []node {
	switch n := n.(type) {
	case *filter:
		return []node{n.in}
	case *project:
		return []node{n.in}
	case *setFunc:
		return []node{n.in}
	case *window:
		return []node{n.in}
	case *setOp:
		return n.ins
	case *distinct:
		return []node{n.in}
	case *join:
		return []node{n.l, n.r}
	case *asOf:
		return []node{n.l, n.r}
	case *lookup:
		return []node{n.l, n.r}
	case *aggregate:
		return []node{n.in}
	case *topN:
		return []node{n.in}
	case *match:
		return []node{n.in}
	case *over:
		return []node{n.in}
	}
	return nil
}
