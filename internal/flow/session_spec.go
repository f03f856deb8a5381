package flow

import (
	"fmt"
	"strconv"

	"github.com/tidemill/tidemill/internal/types"
)

// Session appends window_start and window_end (of column Time's type, a timestamp or
// timestamptz) to each row: those of its session. Rows that are equal in columns
// Partition are cut into sessions where a row comes Gap or more after the one before
// it. A session lasts from its first time to Gap after its last; the end is not part
// of it. Rows whose time is NULL are dropped.
type Session struct {
	Partition []int
	Time      int
	Gap       int64 // microseconds, above 0
}

func (*Session) isOp() {}

// Describe implements Op.
func (op *Session) Describe() string {
	s := "Session on #" + strconv.Itoa(op.Time)
	if len(op.Partition) > 0 {
		s += " partition=" + columns(op.Partition)
	}
	return s + " gap=" + micros(op.Gap)
}

func (op *Session) check(n *Node, in []types.Type) error {
	if err := firstError(inRange([]int{op.Time}, in), inRange(op.Partition, in)); err != nil {
		return err
	}
	switch l := in[op.Time].Layout(); {
	case l != types.LayoutInt && l != types.LayoutNone:
		return fmt.Errorf("column %d is no time", op.Time)
	case len(n.Out) != len(in)+2:
		return fmt.Errorf("reads %d columns and emits %d", len(in), len(n.Out))
	case op.Gap <= 0 || op.Gap > maxGap:
		return &types.Error{
			Code:    types.CodeInvalidParameter,
			Message: fmt.Sprintf("sessions with a gap of %d us: want 0 < gap <= %d", op.Gap, int64(maxGap)),
		}
	}
	return nil
}

// maxGap bounds gaps, and with it how far a session's end lies behind its last row.
const maxGap = 1 << 60

// sessionMarks: a change at time t concerns the session that t lies in or next to, all
// of whose ends, before and after, lie above t. Let w be the mark of the time after this
// step, so that later changes have t >= w. A row that comes joins a session only if
// t < its end, or else begins one that ends at t + Gap. Where a row goes, it was part of
// a session whose end is t + Gap or later; of what is left, the part before t has a last
// row that t was linked to, less than Gap before it, and so ends above t; with several
// rows gone the same is true of the first of them. So every row given or taken back
// later belongs to a session that ends above w, at w + 1 at the earliest. Its
// start, and the times of its rows, may be any.
//
// Partition columns keep their marks as in any grouping.
func sessionMarks(op *Session, m *marks) {
	m.final = m.Final[0]
	m.blank()
	m.keep(op.Partition)
	end := len(m.In[0]) + 1
	switch w := m.In[0][op.Time]; w {
	case NoMark, FinalMark:
		m.Out[end] = max(m.Out[end], w)
	default:
		m.Out[end] = max(m.Out[end], w+1)
	}
}
