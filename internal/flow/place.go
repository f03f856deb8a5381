package flow

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// placed is a node of the circuit as it runs: the nodes of the spec, with
// exchanges where rows must change workers.
type placed struct {
	node int // index in the spec of the node it stands for or was made for
	op   Op
	in   []int // indexes of placed nodes
	out  []types.Type
	// stage is when the node is flushed: after the exchanges of all earlier
	// stages. Rows may reach it in earlier stages too.
	stage int
	// single: it runs only on the worker that owns shard 0, where all its rows are.
	single bool
}

// dist says on which worker a node's output rows are.
type dist struct {
	single bool // all with the owner of shard 0
	// keys are alternatives: each row is with the owner of the shard of its hash
	// over these columns, in this order.
	keys [][]int
}

// placer turns a spec into placed nodes. Rows need to move only where an operator
// combines rows by key: it is enough that equal keys meet, so a partition by some
// of the key columns will do.
type placer struct {
	spec  *Spec
	alone bool // one worker: nothing ever moves
	out   []placed
	dists []dist
	at    []int // spec node -> placed node
	made  []exchanged
}

// exchanged remembers an exchange, so that consumers share it.
type exchanged struct {
	from, to int
	keys     []int
}

func place(spec *Spec, workers int) []placed {
	p := &placer{spec: spec, alone: workers == 1, at: make([]int, len(spec.Nodes))}
	for i := range spec.Nodes {
		p.at[i] = p.node(i)
	}
	return p.out
}

// node places node i of the spec and returns the placed node that gives its output.
func (p *placer) node(i int) int {
	n := &p.spec.Nodes[i]
	in := make([]int, len(n.In))
	for k, x := range n.In {
		in[k] = p.at[x]
	}
	switch op := n.Op.(type) {
	case *Join:
		if op.Kind == JoinAntiNull {
			return p.antiNull(i, op, in)
		}
		return p.join(i, op, in, n.Out)
	case *Lookup:
		return p.lookup(i, op, in, n.Out)
	case *Expire:
		return p.expire(i, op, in, n)
	case *AsOf:
		return p.asOf(i, op, in, n.Out)
	case *Exchange:
		return p.exchange(i, in[0], op.Keys)
	case *Aggregate:
		return p.keyed(i, op, in, n.Out, op.Keys)
	case *TopN:
		return p.keyed(i, op, in, n.Out, op.Partition)
	case *Match:
		return p.keyed(i, op, in, n.Out, op.Partition)
	case *Over:
		return p.keyed(i, op, in, n.Out, op.Partition)
	case *Session:
		return p.keyed(i, op, in, n.Out, op.Partition)
	case *Distinct, *Finalize: // equal rows must meet
		return p.keyed(i, n.Op, in, n.Out, allColumns(n.Out))
	case *SetOp:
		all := allColumns(n.Out)
		in[0], in[1] = p.meet(i, in[0], in[1], all, all)
		return p.add(i, op, in, n.Out, p.dists[in[0]])
	}
	return p.add(i, n.Op, in, n.Out, p.linear(n.Op, in))
}

func allColumns(ts []types.Type) []int {
	cols := make([]int, len(ts))
	for i := range cols {
		cols[i] = i
	}
	return cols
}

func (p *placer) add(node int, op Op, in []int, out []types.Type, d dist) int {
	n := placed{node: node, op: op, in: in, out: out}
	for _, x := range in {
		s := p.out[x].stage
		if _, ok := p.out[x].op.(*Exchange); ok {
			s++
		}
		n.stage = max(n.stage, s)
	}
	if _, moves := op.(*Exchange); !moves {
		n.single = d.single
	}
	p.out = append(p.out, n)
	p.dists = append(p.dists, d)
	return len(p.out) - 1
}

// linear returns where the output of a linear operator is.
func (p *placer) linear(op Op, in []int) dist {
	if p.alone {
		return dist{single: true}
	}
	switch op := op.(type) {
	case *Input:
		return dist{}
	case *Values:
		return dist{single: true}
	case *Project:
		return through(p.dists[in[0]], columnsOf(op))
	case *Union:
		return p.common(in)
	}
	return p.dists[in[0]] // filter, window, project set, output: columns stay in place
}

// columnsOf maps each input column that a projection passes on to its first place.
func columnsOf(op *Project) map[int]int {
	m := make(map[int]int, len(op.Exprs))
	for i, e := range op.Exprs {
		if c, ok := e.(expr.Col); ok {
			if _, dup := m[c.Index]; !dup {
				m[c.Index] = i
			}
		}
	}
	return m
}

// through follows a distribution to new column positions; keys that lost a column
// are dropped.
func through(d dist, to map[int]int) dist {
	out := dist{single: d.single}
next:
	for _, keys := range d.keys {
		moved := make([]int, len(keys))
		for i, k := range keys {
			t, ok := to[k]
			if !ok {
				continue next
			}
			moved[i] = t
		}
		out.keys = append(out.keys, moved)
	}
	return out
}

// common returns what holds for the rows of every input.
func (p *placer) common(in []int) dist {
	if len(in) == 0 {
		return dist{single: true}
	}
	out := dist{single: true}
	for _, x := range in {
		out.single = out.single && p.dists[x].single
	}
	for _, keys := range p.dists[in[0]].keys {
		every := true
		for _, x := range in[1:] {
			every = every && hasKeys(p.dists[x], keys)
		}
		if every {
			out.keys = append(out.keys, keys)
		}
	}
	return out
}

func hasKeys(d dist, keys []int) bool {
	return slices.ContainsFunc(d.keys, func(k []int) bool { return slices.Equal(k, keys) })
}

// meets reports whether rows that agree on keys are on one worker.
func meets(d dist, keys []int) bool {
	if d.single {
		return true
	}
	for _, part := range d.keys {
		if subset(part, keys) {
			return true
		}
	}
	return false
}

func subset(part, of []int) bool {
	for _, k := range part {
		if !slices.Contains(of, k) {
			return false
		}
	}
	return true
}

// exchange returns from's rows partitioned by keys, moving them if need be.
func (p *placer) exchange(node, from int, keys []int) int {
	d := p.dists[from]
	if p.alone || d.single && len(keys) == 0 || len(keys) > 0 && hasKeys(d, keys) {
		return from
	}
	for _, m := range p.made {
		if m.from == from && slices.Equal(m.keys, keys) {
			return m.to
		}
	}
	to := dist{single: len(keys) == 0}
	if len(keys) > 0 {
		to.keys = [][]int{slices.Clone(keys)}
	}
	at := p.add(node, &Exchange{Keys: slices.Clone(keys)}, []int{from}, p.out[from].out, to)
	p.made = append(p.made, exchanged{from: from, to: at, keys: slices.Clone(keys)})
	return at
}

// keyed places an operator of one input that needs rows with equal keys together.
func (p *placer) keyed(node int, op Op, in []int, out []types.Type, keys []int) int {
	if !meets(p.dists[in[0]], keys) {
		in[0] = p.exchange(node, in[0], keys)
	}
	d := p.dists[in[0]]
	if agg, ok := op.(*Aggregate); ok {
		to := make(map[int]int, len(agg.Keys))
		for i, k := range agg.Keys {
			if _, dup := to[k]; !dup {
				to[k] = i
			}
		}
		d = through(d, to)
	}
	if match, ok := op.(*Match); ok {
		to := make(map[int]int, len(match.Pass))
		for i, c := range match.Pass {
			to[c] = i
		}
		d = through(d, to)
	}
	return p.add(node, op, in, out, d)
}

// meet makes rows of two inputs that agree on their keys be on one worker. A side
// that is already partitioned by some of its keys stays where it is.
func (p *placer) meet(node, l, r int, lk, rk []int) (int, int) {
	ld, rd := p.dists[l], p.dists[r]
	if ld.single && rd.single {
		return l, r
	}
	pos := positions(ld, rd, lk, rk)
	return p.exchange(node, l, pick(lk, pos)), p.exchange(node, r, pick(rk, pos))
}

// positions chooses by which of the keys both sides are partitioned: where both
// already agree, else as one of them is, else by all.
func positions(ld, rd dist, lk, rk []int) []int {
	left, right := keyPositions(ld, lk), keyPositions(rd, rk)
	for _, a := range left {
		for _, b := range right {
			if slices.Equal(a, b) {
				return a
			}
		}
	}
	if len(left) > 0 {
		return left[0]
	}
	if len(right) > 0 {
		return right[0]
	}
	return allColumns(make([]types.Type, len(lk)))
}

// keyPositions expresses d's partitions as positions in keys.
func keyPositions(d dist, keys []int) [][]int {
	var out [][]int
	for _, part := range d.keys {
		if !subset(part, keys) {
			continue
		}
		pos := make([]int, len(part))
		for i, k := range part {
			pos[i] = slices.Index(keys, k)
		}
		out = append(out, pos)
	}
	return out
}

func pick(from, pos []int) []int {
	out := make([]int, len(pos))
	for i, p := range pos {
		out[i] = from[p]
	}
	return out
}

func (p *placer) join(node int, op *Join, in []int, out []types.Type) int {
	l, r := p.meet(node, in[0], in[1], op.LeftKeys, op.RightKeys)
	ld, rd := p.dists[l], p.dists[r]
	d := dist{single: ld.single && rd.single}
	// A null-extended row has lost the columns that placed it.
	if op.Kind != JoinRight && op.Kind != JoinFull {
		d.keys = append(d.keys, ld.keys...)
	}
	if op.Kind == JoinInner || op.Kind == JoinRight {
		shift := make(map[int]int)
		for i := range p.out[r].out {
			shift[i] = len(p.out[l].out) + i
		}
		d.keys = append(d.keys, through(rd, shift).keys...)
	}
	return p.add(node, op, []int{l, r}, out, d)
}

// antiNull places NOT IN. Its last key is the tested column x, those before it
// correlate. With R(l) the right rows that agree with l on the correlation and on
// On, l passes iff no row of R(l) has a NULL x or l's x, and l's x is not NULL
// unless R(l) is empty. That is three anti joins: against the rows with l's x,
// against those with a NULL x, and, for l with a NULL x, against all.
func (p *placer) antiNull(node int, op *Join, in []int) int {
	l, r := in[0], in[1]
	lt, rt := p.out[l].out, p.out[r].out
	n := len(op.LeftKeys) - 1
	lx, rx := op.LeftKeys[n], op.RightKeys[n]
	anti := func(l, r, keys int) int {
		j := &Join{
			Kind: JoinAnti, LeftKeys: op.LeftKeys[:keys], RightKeys: op.RightKeys[:keys],
			NullSafe: op.NullSafe, On: op.On,
		}
		return p.join(node, j, []int{l, r}, lt)
	}
	filter := func(from int, ts []types.Type, col int, notNull bool) int {
		f := &Filter{Pred: &expr.IsNull{Arg: expr.Col{Index: col, T: ts[col]}, Negate: notNull}}
		return p.add(node, f, []int{from}, ts, p.dists[from])
	}
	rest := anti(l, r, n+1)
	rest = anti(rest, filter(r, rt, rx, false), n)
	both := []int{filter(rest, lt, lx, true), anti(filter(rest, lt, lx, false), r, n)}
	return p.add(node, &Union{}, both, lt, p.common(both))
}
