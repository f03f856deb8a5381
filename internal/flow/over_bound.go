package flow

import (
	"strconv"

	"github.com/tidemill/tidemill/internal/types"
)

// over says how the state of window functions grows.
func (b *bounder) over(n *Node, op *Over, in Growth) (Growth, Bound) {
	if c, ok := b.firstMarked(n, 0, op.Partition); ok {
		return in, freedBy(c)
	}
	from := b.spec.Nodes[n.In[0]].Out
	c := op.forgets()
	if c < 0 || from[c].Layout() != types.LayoutInt || !b.marked[n.In[0]][c] {
		return in, held(in, "every row")
	}
	all := make([][]types.Type, 1)
	all[0] = from
	k := newOverKeep(Env{In: all, Marks: &Marks{}}, op)
	some := k.base
	for _, r := range k.rules {
		if r.limit >= 0 && !b.marked[n.In[0]][r.limit] {
			return in, held(in, "every row")
		}
		some = some || r.limit < 0
	}
	if some && len(op.Partition) > 0 && in > ByKeys {
		return in, Bound{ByKeys, "freed below the watermark of #" + strconv.Itoa(c) + " but for what a partition goes on from"}
	}
	return in, freedBy(c)
}
