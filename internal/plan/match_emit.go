package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// live lists the slots that conditions and the needed measures read, in order.
func (x *match) live(need colSet) []matchSlot {
	used := colSet{}
	for _, d := range x.define {
		if d != nil {
			used.add(exprCols(d)...)
		}
	}
	for i, c := range x.cols {
		if need.has(c) {
			used.add(exprCols(x.measures[i])...)
		}
	}
	var out []matchSlot
	for _, s := range x.slots {
		if used.has(s.id) {
			out = append(out, s)
		}
	}
	return out
}

// needs says which columns of its input x needs to give need.
func (x *match) needs(need colSet) colSet {
	s := colSet{}
	s.add(x.partition...)
	for _, k := range x.order {
		s.add(k.col)
	}
	for _, c := range x.pass {
		if need.has(c) {
			s.add(c)
		}
	}
	for _, slot := range x.live(need) {
		switch slot.give {
		case flow.GiveColumn:
			s.add(slot.col)
		case flow.GiveTotal:
			s.add(exprCols(slot.agg.call.pre...)...)
		}
	}
	return s
}

// match emits MATCH_RECOGNIZE. In a view over rows that only come, ordered by a time
// with a watermark, matches are given once, when they are final.
func (e *emitter) match(x *match, in rel, inNeed, need colSet) rel {
	if len(inNeed) > 0 {
		in = e.narrow(in, x.in.out(), inNeed, nil)
	}
	op := &flow.Match{Partition: places(x.partition, in.pos), Order: sortKeys(x.order, in.pos), Pattern: x.pattern, Vars: x.vars,
		AllRows: x.all, Empty: x.empty, Unmatched: x.unmatched, Skip: x.skip, SkipVars: x.skipVars, Within: x.within, WithinText: x.withinText}
	slots := map[int]int{}
	for i, s := range x.live(need) {
		slots[s.id] = i
		op.Slots = append(op.Slots, e.matchSlot(s, in))
	}
	for _, d := range x.define {
		if d != nil {
			d = e.place(d, slots)
		}
		op.Define = append(op.Define, d)
	}
	out := rel{pos: map[int]int{}}
	var ts []types.Type
	var ns []string
	put := func(c int) {
		out.pos[c] = out.width
		out.width++
		ts, ns = append(ts, e.b.cols[c].typ), append(ns, e.b.cols[c].name)
	}
	for _, c := range x.pass {
		if need.has(c) {
			op.Pass = append(op.Pass, placeOf(c, in.pos, "column"))
			put(c)
		}
	}
	for i, c := range x.cols {
		if need.has(c) {
			op.Measures = append(op.Measures, e.place(x.measures[i], slots))
			put(c)
		}
	}
	if op.Final = e.isFinal(x, in); op.Final {
		if _, ends := mustCompile(x.pattern).Anchored(); ends {
			failHint(x.pos, types.CodeFeature, "Over a table, or without a watermark, matches are of the rows there are, and $ is behind the last of them.",
				"$ in a row pattern over a stream: its end never comes")
		}
	}
	*x.final = op.Final
	if out.width == 0 { // only how many there are counts
		op.Measures = append(op.Measures, expr.Const{V: types.BoolValue(true)})
		out.width, ts, ns = 1, append(ts, types.T(types.Bool)), append(ns, "")
	}
	out.node = e.add(op, []int{in.node}, ts, ns)
	return out
}

func mustCompile(n *pattern.Node) *pattern.Program {
	p, err := pattern.Compile(n)
	check(noPos, err)
	return p
}

// isFinal reports whether the rows of x have their place once and for all below a watermark.
func (e *emitter) isFinal(x *match, in rel) bool {
	if !e.b.inView || e.b.ttl > 0 || len(x.order) == 0 || x.order[0].desc || !appendOnly(x.in) {
		return false
	}
	marked, err := e.spec.TimeColumns(e.b.hasMark)
	check(noPos, err)
	return marked[in.node][placeOf(x.order[0].col, in.pos, "time")]
}

// matched reports whether the rows come from a final Match, which gives each once and
// when it is decided: there is nothing to hold back.
func (c *closer) matched() bool {
	for n := len(c.nodes) - 1; ; n = c.nodes[n].In[0] {
		switch op := c.nodes[n].Op.(type) {
		case *flow.Output, *flow.Filter, *flow.Project:
		case *flow.Match:
			return op.Final
		default:
			return false
		}
	}
}

func (e *emitter) matchSlot(s matchSlot, in rel) flow.MatchSlot {
	out := flow.MatchSlot{Give: s.give, Row: s.row, T: e.b.cols[s.id].typ}
	switch s.give {
	case flow.GiveColumn:
		out.Col = placeOf(s.col, in.pos, "column")
	case flow.GiveTotal:
		a := s.agg
		ids := make([]int, len(a.call.pre))
		out.Agg = &flow.MatchAgg{Vars: a.vars, Final: a.final}
		for i, p := range a.call.pre {
			ids[i] = i
			out.Agg.Args = append(out.Agg.Args, e.place(p, in.pos))
		}
		call := a.call.place(ids)
		out.Agg.Call = flow.AggCall{Fn: call.fn, Args: call.args, Distinct: call.distinct, Filter: call.filter,
			Order: flowKeys(call.order), Ret: a.call.ret}
	}
	return out
}

// flowKeys are sort keys whose columns are positions already.
func flowKeys(ks []sortKey) []flow.SortKey {
	var out []flow.SortKey
	for _, k := range ks {
		out = append(out, flow.SortKey{Col: k.col, Desc: k.desc, NullsFirst: k.nullsFirst})
	}
	return out
}

// unnestMatch computes a match for each combination of the domain's columns, which
// then part its rows, too.
func (d *domain) unnestMatch(x *match) (node, map[int]int) {
	in, m := d.unnest(x.in)
	t := *x
	t.in = in
	t.partition = append(slices.Clone(x.partition), d.cols(m)...)
	t.pass = slices.Clone(x.pass)
	for _, c := range d.cols(m) {
		if !slices.Contains(t.pass, c) {
			t.pass = append(t.pass, c)
		}
	}
	return &t, m
}
