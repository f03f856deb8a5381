package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/types"
)

// check finds what would make the circuit's operators read what is not there.
func (s *Spec) check() error {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		var in [][]types.Type
		for _, x := range n.In {
			if x < 0 || x >= i {
				return fmt.Errorf("circuit node %d reads node %d, which does not come before it", i, x)
			}
			if _, end := s.Nodes[x].Op.(*Output); end {
				return fmt.Errorf("circuit node %d reads node %d, which is an output", i, x)
			}
			in = append(in, s.Nodes[x].Out)
		}
		if err := checkNode(n, in); err != nil {
			return fmt.Errorf("circuit node %d, %s: %w", i, n.Op.Describe(), err)
		}
	}
	return nil
}

// ports is how many inputs each operator has.
func ports(op Op) (least, most int) {
	switch op.(type) {
	case *Input, *Values:
		return 0, 0
	case *Union:
		return 0, 1 << 20
	case *SetOp, *Join, *AsOf, *Lookup:
		return 2, 2
	}
	return 1, 1
}

func checkNode(n *Node, in [][]types.Type) error {
	if least, most := ports(n.Op); len(in) < least || len(in) > most {
		return fmt.Errorf("has %d inputs", len(in))
	}
	switch op := n.Op.(type) {
	case *Values:
		return sameLayouts(op.Rows.Types(), n.Out)
	case *Project:
		if len(op.Exprs) != len(n.Out) {
			return fmt.Errorf("has %d expressions for %d columns", len(op.Exprs), len(n.Out))
		}
	case *Filter, *Distinct, *Output, *SetOp, *Union:
		return passes(in, n.Out)
	case *Exchange:
		return firstError(passes(in, n.Out), inRange(op.Keys, in[0]))
	case *ProjectSet:
		want := len(in[0]) + 1
		if op.Ordinality {
			want++
		}
		if len(n.Out) != want {
			return fmt.Errorf("reads %d columns and emits %d, want %d", len(in[0]), len(n.Out), want)
		}
	case *Window:
		return checkWindow(op, n, in[0])
	case *AsOf:
		return op.check(n, in)
	case *TimeFilter:
		return op.check(n, in[0])
	case *Expire:
		return firstError(op.check(), passes(in, n.Out))
	case *Lookup:
		return op.check(n, in)
	case *Buckets:
		return op.check(n, in[0])
	case *Join:
		return checkJoin(op, n, in)
	case *Aggregate:
		return checkAggregate(op, n, in[0])
	case *Finalize:
		return op.check(n, in[0])
	case *Session:
		return op.check(n, in[0])
	case *Match:
		return checkMatch(op, n, in[0])
	case *TopN:
		own := n.Out
		if op.Number && len(own) > 0 {
			own = own[:len(own)-1]
		}
		err := firstError(passes(in, own), inRange(op.Partition, in[0]))
		for _, k := range op.Order {
			err = firstError(err, inRange([]int{k.Col}, in[0]))
		}
		return err
	case *Over:
		return checkOver(op, n, in[0])
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// passes checks that every input has the output's row type.
func passes(in [][]types.Type, out []types.Type) error {
	for _, ts := range in {
		if err := sameLayouts(ts, out); err != nil {
			return err
		}
	}
	return nil
}

func sameLayouts(in, out []types.Type) error {
	if len(in) != len(out) {
		return fmt.Errorf("reads %d columns and emits %d", len(in), len(out))
	}
	for i := range in {
		if in[i].Layout() != out[i].Layout() {
			return fmt.Errorf("column %d comes with layout %d and goes with %d", i, in[i].Layout(), out[i].Layout())
		}
	}
	return nil
}

func inRange(cols []int, ts []types.Type) error {
	for _, c := range cols {
		if c < 0 || c >= len(ts) {
			return fmt.Errorf("there is no column %d among %d", c, len(ts))
		}
	}
	return nil
}

func checkWindow(op *Window, n *Node, in []types.Type) error {
	if err := inRange([]int{op.Time}, in); err != nil {
		return err
	}
	if len(n.Out) != len(in)+2 {
		return fmt.Errorf("reads %d columns and emits %d", len(in), len(n.Out))
	}
	if op.Slide <= 0 || op.Size < op.Slide {
		return &types.Error{
			Code:    types.CodeInvalidParameter,
			Message: fmt.Sprintf("window of %d us that slides by %d us: want 0 < slide <= size", op.Size, op.Slide),
		}
	}
	if op.Step != 0 && (op.Step < 0 || op.Slide != op.Size || op.Size%op.Step != 0) {
		return &types.Error{
			Code:    types.CodeInvalidParameter,
			Message: fmt.Sprintf("window of %d us that grows by %d us: want a multiple", op.Size, op.Step),
		}
	}
	if op.Step > 0 && op.Size/op.Step > MaxWindows {
		return &types.Error{
			Code:    types.CodeTooComplex,
			Message: fmt.Sprintf("each row would belong to up to %d windows", op.Size/op.Step),
			Hint:    fmt.Sprintf("Choose a longer step: up to %d windows are possible.", MaxWindows),
		}
	}
	if (op.Size-1)/op.Slide >= MaxWindows {
		return &types.Error{
			Code:    types.CodeTooComplex,
			Message: fmt.Sprintf("each row would belong to %d windows", (op.Size-1)/op.Slide+1),
			Hint:    fmt.Sprintf("Choose a longer slide: up to %d windows are possible.", MaxWindows),
		}
	}
	return nil
}

func checkJoin(op *Join, n *Node, in [][]types.Type) error {
	if len(op.LeftKeys) != len(op.RightKeys) {
		return fmt.Errorf("has %d left and %d right keys", len(op.LeftKeys), len(op.RightKeys))
	}
	if err := firstError(inRange(op.LeftKeys, in[0]), inRange(op.RightKeys, in[1])); err != nil {
		return err
	}
	for i, l := range op.LeftKeys {
		lt, rt := in[0][l].Layout(), in[1][op.RightKeys[i]].Layout()
		if lt != rt && lt != types.LayoutNone && rt != types.LayoutNone {
			return fmt.Errorf("key %d compares layout %d with layout %d", i, lt, rt)
		}
	}
	want := len(in[0])
	switch op.Kind {
	case JoinInner, JoinLeft, JoinRight, JoinFull:
		want += len(in[1])
	case JoinAntiNull:
		if len(op.LeftKeys) == 0 {
			return fmt.Errorf("has no key to test")
		}
	}
	if len(n.Out) != want {
		return fmt.Errorf("emits %d columns, want %d", len(n.Out), want)
	}
	return nil
}

func checkAggregate(op *Aggregate, n *Node, in []types.Type) error {
	if len(n.Out) != len(op.Keys)+len(op.Calls) {
		return fmt.Errorf("emits %d columns for %d keys and %d calls", len(n.Out), len(op.Keys), len(op.Calls))
	}
	err := inRange(op.Keys, in)
	if op.OnClose && err == nil {
		if op.CloseKey < 0 || op.CloseKey >= len(op.Keys) || in[op.Keys[op.CloseKey]].Layout() != types.LayoutInt {
			return fmt.Errorf("closes by key %d of %d, which is no time", op.CloseKey, len(op.Keys))
		}
	}
	for i := range op.Calls {
		c := &op.Calls[i]
		err = firstError(err, inRange(c.Args, in))
		if c.Filter >= 0 {
			err = firstError(err, inRange([]int{c.Filter}, in))
		}
		for _, k := range c.Order {
			err = firstError(err, inRange([]int{k.Col}, in))
		}
	}
	return err
}
