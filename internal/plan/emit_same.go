package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// same finds a node that computes the same from the same inputs, so that what a query
// says twice is done once: Nexmark's q5 counts its windows for the counts and for the
// greatest of them. It returns -1 if there is none, and notes the node to come.
//
// An operator's description and the types of its rows say all that it does. Expressions
// that differ at each evaluation are never the same.
func (e *emitter) same(op flow.Op, in []int, out []types.Type) int {
	switch op := op.(type) {
	case *flow.Project:
		if slices.ContainsFunc(op.Exprs, hasVolatile) {
			return -1
		}
	case *flow.Filter:
		if hasVolatile(op.Pred) {
			return -1
		}
	case *flow.Aggregate, *flow.Window, *flow.Session, *flow.Distinct:
	default:
		return -1
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v", op.Describe(), in)
	for _, t := range out {
		fmt.Fprintf(&b, " %d.%d.%d", t.Kind, t.Elem, t.Mod)
	}
	if e.twins == nil {
		e.twins = map[string]int{}
	}
	key := b.String()
	if at, ok := e.twins[key]; ok {
		return at
	}
	e.twins[key] = len(e.spec.Nodes)
	return -1
}
