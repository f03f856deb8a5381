package flow

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// stopEvery is after how many blocks Options.Stop is asked again.
const stopEvery = 16

// Circuit is one worker's share of a group.
type Circuit struct {
	worker int
	opt    Options
	memory *state.Memory
	nodes  []*running
	inputs map[string][]*running
	step   Step
	bytes  int64 // sum of nodes' bytes
	blocks int   // emitted, for stopEvery
	mark   int64 // with a clock: when the operator at work began or went on
	atWork *running
}

// running is a node of a circuit.
type running struct {
	placed
	op     Operator
	marks  *marks
	emit   edges
	rowsIn int64
	bytes  int64
	nanos  int64 // time at work
}

// edges hands what a node emits to its consumers.
type edges struct {
	c    *Circuit
	to   []edge
	rows int64
}

type edge struct {
	node *running
	port int
}

// label names the node for people.
func (n *running) label() string { return n.placed.op.Describe() }

func newCircuit(nodes []placed, worker int, opt Options) (*Circuit, error) {
	c := &Circuit{worker: worker, opt: opt, inputs: map[string][]*running{}}
	c.memory = state.NewMemory(opt.Owner<<8|uint64(worker), opt.Backing, opt.Budget)
	c.memory.Check = opt.CheckWrites
	only := appendOnly(nodes)
	for _, p := range nodes {
		n := &running{placed: p}
		n.emit.c = c
		env := Env{Node: p.node, Out: p.out, Memory: c.memory}
		for port, from := range p.in {
			env.In = append(env.In, nodes[from].out)
			env.AppendOnly = append(env.AppendOnly, only[from])
			c.nodes[from].emit.to = append(c.nodes[from].emit.to, edge{n, port})
		}
		n.marks = newMarks(env.In, p.out)
		env.Marks = &n.marks.Marks
		op, err := build(env, p, worker, opt)
		if err == nil {
			n.marks.derive, err = derivation(p.op, n.marks)
		}
		if err != nil {
			return nil, fmt.Errorf("circuit node %d, %s: %w", p.node, p.op.Describe(), err)
		}
		n.op = op
		c.nodes = append(c.nodes, n)
		if in, ok := p.op.(*Input); ok {
			c.inputs[in.Rel] = append(c.inputs[in.Rel], n)
		}
	}
	return c, nil
}

// build makes the operator of a placed node.
func build(env Env, p placed, worker int, opt Options) (Operator, error) {
	if p.single && worker != 0 {
		return idle{}, nil
	}
	switch op := p.op.(type) {
	case *Input:
		return &input{appendOnly: op.AppendOnly, rel: op.Rel}, nil
	case *Values:
		return &values{rows: op.Rows}, nil
	case *Filter:
		return newFilter(env, op)
	case *Project:
		return newProject(env, op)
	case *ProjectSet:
		return newProjectSet(env, op)
	case *AsOf:
		return newAsOf(env, op), nil
	case *TimeFilter:
		return newTimeFilter(env, op), nil
	case *Expire:
		return newExpire(env, op), nil
	case *Lookup:
		return newLookup(env, op)
	case *Buckets:
		return newBuckets(op), nil
	case *Window:
		return newWindow(env, op), nil
	case *Union:
		return union{}, nil
	case *Distinct:
		return newDistinct(env, op)
	case *SetOp:
		return newSetOp(env, op), nil
	case *Join:
		return newJoin(env, op)
	case *Aggregate:
		return newAggregate(env, op)
	case *Match:
		if op.Final {
			return newMatchFinal(env, op)
		}
		return newMatchRetract(env, op)
	case *Session:
		return newSession(env, op), nil
	case *Finalize:
		return newFinalize(env, op), nil
	case *TopN:
		return newTop(env, op), nil
	case *Over:
		return newOver(env, op)
	case *Exchange:
		if opt.Workers == 1 {
			return union{}, nil
		}
		return newExchange(env, op, worker, opt.Workers), nil
	case *Output:
		return newOutput(env, op), nil
	}
	return nil, fmt.Errorf("no such operator: %T", p.op)
}

// idle stands on other workers for an operator all of whose rows are with the
// owner of shard 0.
type idle struct{}

func (idle) Push(_ *Step, port int, b *batch.Batch, _ Emitter) {
	panic(fmt.Sprintf("flow: %d rows on port %d of an operator that works elsewhere", b.Len(), port))
}
func (idle) Flush(*Step, Emitter) {}
func (idle) StateBytes() int64    { return 0 }

// connect lets the exchanges of c read from those of all circuits.
func (c *Circuit) connect(all []*Circuit) {
	for i, n := range c.nodes {
		x, ok := n.op.(*exchange)
		if !ok {
			continue
		}
		for _, from := range all {
			if s, ok := from.nodes[i].op.(*exchange); ok {
				x.from = append(x.from, s)
			}
		}
	}
}

// begin starts a step; marks are those that moved, by relation.
func (c *Circuit) begin(st Step, marks map[string][]int64) {
	c.step = st
	c.step.memory = c.memory
	for _, n := range c.nodes {
		n.marks.Moved = false
	}
	for rel, m := range marks {
		for _, n := range c.inputs[rel] {
			n.marks.set(m)
		}
	}
	for _, n := range c.nodes {
		n.beginMarks(c.nodes)
		if b, ok := n.op.(beginner); ok {
			b.begin()
		}
	}
}

// beginner is an operator that prepares itself for a step.
type beginner interface{ begin() }

// push gives a block of relation rel to the inputs that read it.
func (c *Circuit) push(rel string, b *batch.Batch) error {
	ins, ok := c.inputs[rel]
	if !ok {
		return fmt.Errorf("push to circuit: no input %q", rel)
	}
	for _, n := range ins {
		if err := n.checkBlock(rel, b); err != nil {
			return err
		}
		c.pushBlocks(edge{n, 0}, b)
	}
	c.memory.Rest()
	return c.step.fail
}

// pushBlocks cuts b into blocks.
func (c *Circuit) pushBlocks(to edge, b *batch.Batch) {
	if b.N <= batch.BlockRows {
		c.deliver(to, b)
		return
	}
	if b.Sel != nil {
		b = batch.Copy(b)
	}
	for lo := 0; lo < b.N; lo += batch.BlockRows {
		c.deliver(to, batch.Slice(b, lo, min(lo+batch.BlockRows, b.N)))
		c.memory.Rest()
	}
}

func (n *running) checkBlock(rel string, b *batch.Batch) error {
	if len(b.Cols) != len(n.out) {
		return fmt.Errorf("push to circuit: input %q has %d columns, the block %d", rel, len(n.out), len(b.Cols))
	}
	for i, t := range n.out {
		if got := b.Cols[i].Type; got.Layout() != t.Layout() && got.Layout() != types.LayoutNone {
			return fmt.Errorf("push to circuit: input %q column %d: block has layout %d, want %d", rel, i, got.Layout(), t.Layout())
		}
	}
	return nil
}

// deliver pushes b to one consumer and keeps account.
func (c *Circuit) deliver(to edge, b *batch.Batch) {
	if c.step.fail != nil {
		return
	}
	n := to.node
	n.rowsIn += int64(b.Len())
	if c.opt.Clock == nil {
		n.op.Push(&c.step, to.port, b, &n.emit)
	} else {
		was := c.switchTo(n)
		n.op.Push(&c.step, to.port, b, &n.emit)
		c.switchTo(was)
	}
	c.account(n)
}

// switchTo charges the time since the last switch to the operator at work, and lets
// n go on. It returns the one that was at work.
func (c *Circuit) switchTo(n *running) *running {
	was, now := c.atWork, c.opt.Clock()
	if was != nil {
		was.nanos += now - c.mark
	}
	c.atWork, c.mark = n, now
	return was
}

// account brings n's share of the memory up to date and checks the limits.
func (c *Circuit) account(n *running) {
	c.recount(n)
	if c.opt.MaxStateBytes > 0 && c.bytes > c.opt.MaxStateBytes && c.step.fail == nil && c.fixed() > c.opt.MaxStateBytes {
		c.step.fail = c.memoryError()
	}
	c.blocks++
	if c.opt.Stop != nil && c.blocks%stopEvery == 0 && c.step.fail == nil && c.opt.Stop() {
		c.step.fail = errStopped()
	}
}

// fixed is how much of the operators' memory cannot leave it.
func (c *Circuit) fixed() int64 {
	if c.opt.Backing == nil || c.opt.Budget == nil {
		return c.bytes
	}
	return c.bytes - c.memory.Size()
}

// recount brings n's share of the memory up to date.
func (c *Circuit) recount(n *running) {
	held := n.op.StateBytes()
	c.bytes += held - n.bytes
	n.bytes = held
}

func errStopped() error {
	return &types.Error{Code: types.CodeQueryCanceled, Message: "canceling statement due to user request"}
}

func (c *Circuit) memoryError() error {
	most := c.nodes[0]
	for _, n := range c.nodes {
		if n.bytes > most.bytes {
			most = n
		}
	}
	return memoryError(most.label(), most.bytes, c.fixed(), c.opt.MaxStateBytes)
}

// Emit implements Emitter.
func (e *edges) Emit(b *batch.Batch) {
	n := b.Len()
	if n == 0 {
		return
	}
	e.rows += int64(n)
	for _, to := range e.to {
		e.c.deliver(to, b)
	}
}

// RunStage runs stage k: it takes in what other workers sent in the stage before,
// and ends the step for the operators of the stage, inputs first.
func (c *Circuit) RunStage(k int) error {
	if c.opt.Clock != nil {
		defer c.switchTo(nil)
	}
	for _, n := range c.nodes {
		if x, ok := n.op.(*exchange); ok && n.stage == k-1 {
			if c.opt.Clock != nil {
				c.switchTo(n)
			}
			x.receive(&n.emit, c.memory)
			c.account(n)
		}
	}
	for _, n := range c.nodes {
		if c.step.fail != nil {
			return c.step.fail
		}
		if n.stage == k {
			if c.opt.Clock != nil {
				c.switchTo(n)
			}
			n.op.Flush(&c.step, &n.emit)
			c.account(n)
			c.memory.Rest()
		}
	}
	return c.step.fail
}
