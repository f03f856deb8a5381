package flow

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/state"
)

// persistent is an operator that keeps something from step to step. What it names is
// all that its later output depends on, besides its input. It is called between
// steps, in both directions; see state.Persist.
type persistent interface {
	persist(p *state.Persist)
}

// Frozen is the state of a group at the boundary between two steps. Steps go on while
// another goroutine writes it.
type Frozen struct {
	lanes []*state.Frozen
}

// Freeze takes the group's state as it is, without copying it. One at a time: the one
// before is Done.
func (g *Group) Freeze() *Frozen {
	f := g.BeginFreeze()
	for lane := range g.circuits {
		g.FreezeLane(f, lane)
	}
	return f
}

// BeginFreeze is the beginning of a Freeze that goes on with FreezeLane for each lane, 0 to
// Workers()-1, in goroutines of their own if that is wanted; all before the next step.
func (g *Group) BeginFreeze() *Frozen { return &Frozen{lanes: make([]*state.Frozen, len(g.circuits))} }

// FreezeLane takes the state of one lane.
func (g *Group) FreezeLane(f *Frozen, lane int) {
	c := g.circuits[lane]
	f.lanes[lane] = state.Freeze(c.memory, c.persist)
}

// Bytes returns about how many bytes Write will write.
func (f *Frozen) Bytes() int64 {
	n := int64(0)
	for _, l := range f.lanes {
		n += l.Bytes()
	}
	return n
}

// Write writes what has changed since the last complete checkpoint, and returns the
// image that Restore starts from. Any goroutine may call it, once.
func (f *Frozen) Write(to state.Sink) ([]byte, error) {
	image := binary.AppendUvarint(nil, uint64(len(f.lanes)))
	for _, l := range f.lanes {
		part, err := l.Write(to)
		if err != nil {
			return nil, err
		}
		image = binary.AppendUvarint(image, uint64(len(part)))
		image = append(image, part...)
	}
	return image, nil
}

// Done tells the group what became of the freeze: complete says that the checkpoint is
// and will be kept. The group's goroutine calls it between steps.
func (f *Frozen) Done(complete bool) {
	for _, l := range f.lanes {
		l.Done(complete)
	}
}

// Restore brings a group that is new, of the same spec and as many workers, to where
// the image was taken. No state is read before it is needed. After an error the group
// is spent.
func (g *Group) Restore(image []byte) error {
	lanes, n := binary.Uvarint(image)
	if n <= 0 || lanes != uint64(len(g.circuits)) {
		return fmt.Errorf("restore circuit: %w: state of %d workers, there are %d", state.ErrDamaged, lanes, len(g.circuits))
	}
	image = image[n:]
	for _, c := range g.circuits {
		size, n := binary.Uvarint(image)
		if n <= 0 || size > uint64(len(image)-n) {
			return fmt.Errorf("restore circuit: %w: its image ends too soon", state.ErrDamaged)
		}
		if err := state.Restore(c.memory, image[n:n+int(size)], c.persist); err != nil {
			return fmt.Errorf("restore circuit: %w", err)
		}
		image = image[n+int(size):]
	}
	if len(image) > 0 {
		return fmt.Errorf("restore circuit: %w: %d bytes too many", state.ErrDamaged, len(image))
	}
	for _, c := range g.circuits {
		for _, n := range c.nodes {
			c.recount(n)
		}
	}
	return nil
}

// Unread lists what Restore has left to be read when it is needed, for whoever looks for
// damage before that; see state.Memory.Unread.
func (g *Group) Unread() (out []func() error) {
	for _, c := range g.circuits {
		out = append(out, c.memory.Unread()...)
	}
	return out
}

// persist names what the nodes of a circuit keep.
func (c *Circuit) persist(p *state.Persist) {
	for _, n := range c.nodes {
		n.marks.persist(p)
		state.Num(p, &n.rowsIn)
		state.Num(p, &n.emit.rows)
		if op, ok := n.op.(persistent); ok {
			op.persist(p)
		}
		if p.Err() != nil {
			p.Fail(fmt.Errorf("node %d, %s: %w", n.node, n.label(), p.Err()))
			return
		}
	}
}

func (m *marks) persist(p *state.Persist) {
	for i := range m.In {
		state.Nums(p, &m.In[i])
	}
	for i := range m.Final {
		p.Bool(&m.Final[i])
	}
	state.Nums(p, &m.Out)
	p.Bool(&m.final)
}

// Rest lets state leave memory if there is too much of it. Between steps.
func (g *Group) Rest() {
	for _, c := range g.circuits {
		c.memory.Rest()
	}
}

// Close gives the group's memory back. It is not to be used any more.
func (g *Group) Close() {
	for _, c := range g.circuits {
		c.memory.Close()
	}
}

// HeldBytes returns how much of the state is in memory.
func (g *Group) HeldBytes() int64 {
	n := int64(0)
	for _, c := range g.circuits {
		n += c.memory.Held()
	}
	return n
}

// memory returns the memory for the operator's state.
func (e *Env) memory() *state.Memory {
	if e.Memory == nil {
		return state.NewMemory(0, nil, nil)
	}
	return e.Memory
}
