package flow

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// Over appends to each row one column a call: what window functions give over the
// rows of its partition in the order of Order, ties broken by the whole row. A row of
// weight 3 is three rows, one after the other.
type Over struct {
	Partition []int
	Order     []SortKey
	Calls     []OverCall
}

// OverFn is what a window function computes.
type OverFn uint8

// The window functions. OverAgg is any aggregate.
const (
	OverAgg OverFn = iota
	OverRowNumber
	OverRank
	OverDenseRank
	OverPercentRank
	OverCumeDist
	OverNtile
	OverLag
	OverLead
	OverFirst
	OverLast
	OverNth
)

var overNames = [...]string{
	OverRowNumber: "row_number", OverRank: "rank", OverDenseRank: "dense_rank", OverPercentRank: "percent_rank",
	OverCumeDist: "cume_dist", OverNtile: "ntile", OverLag: "lag", OverLead: "lead", OverFirst: "first_value",
	OverLast: "last_value", OverNth: "nth_value",
}

// OverFnOf returns the function of the given name; false if it is none.
func OverFnOf(name string) (OverFn, bool) {
	for f, n := range overNames {
		if n == name && n != "" {
			return OverFn(f), true
		}
	}
	return 0, false
}

// OverFnName returns the function's name; OverAgg has none.
func OverFnName(f OverFn) string { return overNames[f] }

// OverCall is one call of a window function.
type OverCall struct {
	Fn   OverFn
	Agg  *expr.AggFunc // with OverAgg
	Args []int         // input columns that are aggregated, or the one whose value is given; empty for count(*) and ranks
	// N is the number of OverNtile, OverLag, OverLead and OverNth, NULL if NNull. If
	// NCol is not -1 the number is that bigint column of each row instead.
	N       int64
	NNull   bool
	NCol    int
	Default int // input column that OverLag and OverLead give where there is no row, or -1
	Filter  int // with OverAgg: boolean input column that must be true, or -1
	Frame   Frame
	Ret     types.Type
}

// FrameMode says how the edges of a frame are counted.
type FrameMode uint8

// Modes of a frame.
const (
	FrameRange FrameMode = iota
	FrameRows
	FrameGroups
)

// EdgeKind is where an edge of a frame is.
type EdgeKind uint8

// Edges, in their order.
const (
	FromStart EdgeKind = iota // UNBOUNDED PRECEDING
	Preceding
	AtCurrent // the current row; in range and groups mode, its first or last peer
	Following
	ToEnd // UNBOUNDED FOLLOWING
)

// FrameEdge is one edge of a frame.
type FrameEdge struct {
	Kind EdgeKind
	// N is the number of rows or groups, not below 0, of Preceding and Following.
	N int64
	// Limit is, in range mode, the input column with the value of Frame.Key up to
	// which the frame of a row goes: key - offset or key + offset. It never falls in
	// the order of the rows, and is NULL where the key is.
	Limit int
}

// FrameExclude says which rows of the frame are left out.
type FrameExclude uint8

// Exclusions.
const (
	ExcludeNone FrameExclude = iota
	ExcludeCurrent
	ExcludeGroup
	ExcludeTies
)

// Frame is the rows of a partition that a call looks at, from one edge to the other.
type Frame struct {
	Mode       FrameMode
	Start, End FrameEdge
	Exclude    FrameExclude
	// Key is, in range mode with Preceding or Following, the input column that is
	// compared with the limits. Its order is that of the only sort key.
	Key int
}

func (*Over) isOp() {}

// usesFrame reports whether the call's answer depends on its frame.
func (c *OverCall) usesFrame() bool { return c.Fn == OverAgg || c.Fn >= OverFirst }

// Describe implements Op.
func (op *Over) Describe() string {
	calls := make([]string, len(op.Calls))
	for i := range op.Calls {
		calls[i] = op.Calls[i].String()
	}
	s := "Over"
	if len(op.Partition) > 0 {
		s += " partition=" + columns(op.Partition)
	}
	if len(op.Order) > 0 {
		s += " order=" + orderList(op.Order)
	}
	return s + " calls=[" + strings.Join(calls, ", ") + "]"
}

// String prints the call with its parameters and its frame.
func (c *OverCall) String() string {
	name := overNames[c.Fn]
	if c.Fn == OverAgg {
		name = c.Agg.Name
	}
	var args []string
	for _, a := range c.Args {
		args = append(args, "#"+strconv.Itoa(a))
	}
	if c.Fn == OverAgg && len(args) == 0 {
		args = []string{"*"}
	}
	switch c.Fn {
	case OverNtile, OverLag, OverLead, OverNth:
		switch {
		case c.NCol >= 0:
			args = append(args, "#"+strconv.Itoa(c.NCol))
		case c.NNull:
			args = append(args, "null")
		default:
			args = append(args, strconv.FormatInt(c.N, 10))
		}
		if c.Default >= 0 {
			args = append(args, "#"+strconv.Itoa(c.Default))
		}
	}
	s := name + "(" + strings.Join(args, ", ") + ")"
	if c.Filter >= 0 {
		s += " filter #" + strconv.Itoa(c.Filter)
	}
	if c.usesFrame() {
		s += " " + c.Frame.String()
	}
	return s
}

// String prints the frame as SQL would, with columns as limits.
func (f *Frame) String() string {
	mode := [...]string{FrameRange: "range", FrameRows: "rows", FrameGroups: "groups"}[f.Mode]
	if f.ranged() {
		mode += " of #" + strconv.Itoa(f.Key)
	}
	s := mode + " from " + f.edge(f.Start, "unbounded preceding") + " to " + f.edge(f.End, "unbounded following")
	return s + [...]string{ExcludeNone: "", ExcludeCurrent: " exclude current row", ExcludeGroup: " exclude group",
		ExcludeTies: " exclude ties"}[f.Exclude]
}

func (f *Frame) edge(e FrameEdge, unbounded string) string {
	switch e.Kind {
	case FromStart, ToEnd:
		return unbounded
	case AtCurrent:
		return "current"
	}
	if f.Mode == FrameRange {
		return "#" + strconv.Itoa(e.Limit)
	}
	if e.Kind == Following {
		return strconv.FormatInt(e.N, 10) + " following"
	}
	return strconv.FormatInt(e.N, 10) + " preceding"
}

// ranged reports whether the frame compares its key with limits.
func (f *Frame) ranged() bool {
	offset := func(e FrameEdge) bool { return e.Kind == Preceding || e.Kind == Following }
	return f.Mode == FrameRange && (offset(f.Start) || offset(f.End))
}

func checkOver(op *Over, n *Node, in []types.Type) error {
	if len(n.Out) != len(in)+len(op.Calls) {
		return fmt.Errorf("reads %d columns, has %d calls and emits %d columns", len(in), len(op.Calls), len(n.Out))
	}
	err := firstError(sameLayouts(in, n.Out[:len(in)]), inRange(op.Partition, in))
	for _, k := range op.Order {
		err = firstError(err, inRange([]int{k.Col}, in))
	}
	for i := range op.Calls {
		c := &op.Calls[i]
		err = firstError(err, inRange(c.Args, in))
		for _, col := range []int{c.NCol, c.Default, c.Filter} {
			if col >= 0 {
				err = firstError(err, inRange([]int{col}, in))
			}
		}
		if err != nil {
			return err
		}
		if (c.Fn == OverAgg) != (c.Agg != nil) {
			return fmt.Errorf("call %d: an aggregate and nothing else has an aggregate function", i)
		}
		if (c.Fn >= OverLag) && len(c.Args) != 1 {
			return fmt.Errorf("call %d, %s: has %d arguments", i, overNames[c.Fn], len(c.Args))
		}
		if c.usesFrame() {
			err = c.Frame.check(op, in)
		}
	}
	return err
}

func (f *Frame) check(op *Over, in []types.Type) error {
	for _, e := range []FrameEdge{f.Start, f.End} {
		if e.Kind != Preceding && e.Kind != Following {
			continue
		}
		if f.Mode != FrameRange {
			if e.N < 0 {
				return fmt.Errorf("frame offset %d is below 0", e.N)
			}
			continue
		}
		if len(op.Order) != 1 {
			return fmt.Errorf("a range with an offset has %d sort keys", len(op.Order))
		}
		if err := inRange([]int{f.Key, e.Limit}, in); err != nil {
			return err
		}
		if a, b := in[f.Key].Layout(), in[e.Limit].Layout(); a != b {
			return fmt.Errorf("frame key of layout %d is compared with layout %d", a, b)
		}
	}
	return nil
}
