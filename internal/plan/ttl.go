package plan

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// ttlOption is the option of a view that bounds its state by time.
const ttlOption = "state_ttl"

// viewOptions checks the options of a materialized view.
func viewOptions(list []sql.Option) {
	for _, o := range list {
		if o.Name != ttlOption {
			failHint(o.Pos(), types.CodeInvalidParameter, "There is "+ttlOption+", how long rows count: WITH ("+ttlOption+" = '1 day').",
				"a materialized view has no option %q", o.Name)
		}
	}
}

// stateTTL reads the option from a view, in microseconds; 0 if it has none.
func stateTTL(options []catalog.Option) int64 {
	i := slices.IndexFunc(options, func(o catalog.Option) bool { return o.Name == ttlOption })
	if i < 0 {
		return 0
	}
	text := options[i].Value
	const hint = "Write an interval of days and shorter units, such as '1 day' or '90 min'."
	v, err := types.ParseInterval(text, &types.Style{})
	us, ok := whole(types.Value{T: types.T(types.Interval), V: v})
	switch {
	case err != nil:
		failHint(noPos, types.CodeInvalidParameter, hint, "option %s: %q is no interval", ttlOption, text)
	case v.Months != 0:
		failHint(noPos, types.CodeInvalidParameter, hint, "option %s: %q has months, whose length varies", ttlOption, text)
	case !ok || us <= 0:
		failHint(noPos, types.CodeInvalidParameter, hint, "option %s: %q is not above zero, or too long", ttlOption, text)
	}
	return us
}

// expireInputs has the rows of every input that an operator with state reads expire
// ttl after they came, and reports whether there is one. Inputs from which only
// linear operators lead to the output stay as they are: nothing is kept of them.
func expireInputs(s *flow.Spec, ttl int64) (*flow.Spec, bool) {
	n := len(s.Nodes)
	held := make([]bool, n) // something is kept of the node's output
	readers := make([][]int, n)
	for i := n - 1; i >= 0; i-- {
		for port, x := range s.Nodes[i].In {
			held[x] = held[x] || held[i] || keeps(s.Nodes[i].Op, port)
			readers[x] = append(readers[x], i)
		}
	}
	behind := make([]bool, n) // the rows of this node expire
	only := make([]bool, n)
	found := false
	for i := range s.Nodes {
		if op, ok := s.Nodes[i].Op.(*flow.Input); ok && held[i] {
			at := i
			if op.AppendOnly {
				at = narrowest(s, i, readers)
			}
			behind[at], only[at], found = true, op.AppendOnly, true
		}
	}
	out, at := &flow.Spec{}, make([]int, n)
	for i, n := range s.Nodes {
		in := make([]int, len(n.In))
		for k, x := range n.In {
			in[k] = at[x]
		}
		n.In = in
		out.Nodes = append(out.Nodes, n)
		at[i] = len(out.Nodes) - 1
		if behind[i] {
			x := flow.Node{Op: &flow.Expire{TTL: ttl, AppendOnly: only[i]}, In: []int{at[i]}, Out: n.Out, Names: n.Names}
			out.Nodes = append(out.Nodes, x)
			at[i]++
		}
	}
	return out, found
}

// narrowest goes from an append-only input on to where its rows are fewest and
// shortest before anything else reads them. A row that is never withdrawn expires at
// the same time there.
func narrowest(s *flow.Spec, i int, readers [][]int) int {
	for len(readers[i]) == 1 {
		next := readers[i][0]
		switch s.Nodes[next].Op.(type) {
		case *flow.Filter:
		case *flow.Project:
			if len(s.Nodes[next].Out) > len(s.Nodes[i].Out) {
				return i
			}
		default:
			return i
		}
		i = next
	}
	return i
}

// keeps reports whether an operator keeps something of what comes on a port. Rows
// behind a temporal filter go by themselves.
func keeps(op flow.Op, port int) bool {
	switch op.(type) {
	case *flow.Input, *flow.Values, *flow.Filter, *flow.Project, *flow.ProjectSet, *flow.Window, *flow.Buckets, *flow.Union,
		*flow.Exchange, *flow.Output, *flow.TimeFilter:
		return false
	case *flow.Lookup:
		return port == 1
	}
	return true
}
