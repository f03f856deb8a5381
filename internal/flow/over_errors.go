package flow

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// overErrors are the errors of rows without an answer.
type overErrors struct {
	rows slab // the arena's word of each
	text *state.Arena
}

func newOverErrors(mem *state.Memory) overErrors {
	return overErrors{rows: newSlab(mem, 1), text: state.NewArena(mem)}
}

func (x *overErrors) persist(p *state.Persist) {
	x.rows.persist(p)
	x.text.Persist(p)
}

func (x *overErrors) bytes() int64 { return x.rows.bytes() + x.text.Bytes() }

func (x *overErrors) put(e *types.Error) uint32 {
	var b []byte
	for _, s := range []string{e.Code, e.Message, e.Detail, e.Hint} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(e.Pos))
	id, w := x.rows.alloc()
	w[0] = x.text.Put(b)
	return id | ansFailed
}

func (x *overErrors) at(a uint32) *types.Error {
	b := x.text.Get(x.rows.at(a &^ ansFailed)[0])
	e := &types.Error{}
	for _, s := range []*string{&e.Code, &e.Message, &e.Detail, &e.Hint} {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			panic(fmt.Sprintf("flow: error %d of window functions is not readable", a&^ansFailed))
		}
		*s, b = string(b[k:k+int(n)]), b[k+int(n):]
	}
	pos, _ := binary.Uvarint(b)
	e.Pos = int(pos)
	return e
}

func (x *overErrors) release(a uint32) {
	x.text.Release(x.rows.at(a &^ ansFailed)[0])
	x.rows.release(a &^ ansFailed)
}
