package flow

import (
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/pattern"
)

// looksAhead reports whether rows behind a match are looked at.
func (op *Match) looksAhead() bool {
	return slices.ContainsFunc(op.Slots, func(s MatchSlot) bool { return s.Row.Shift > 0 })
}

// reaches returns how many rows before a match are looked at.
func (op *Match) reaches() (back int64) {
	m := &matcher{Match: op}
	var err error
	if m.prog, err = pattern.Compile(op.Pattern); err != nil {
		return 0 // no circuit runs it
	}
	look := func(v int, es ...expr.Expr) {
		for _, s := range expr.Columns(es...) {
			if slot := &op.Slots[s]; slot.Give != GiveNumber && slot.Give != GiveTotal {
				m.reach(slot.Row.Shift, v, &slot.Row)
			}
		}
	}
	for v, d := range op.Define {
		if d != nil {
			look(v, d)
		}
	}
	look(-1, op.Measures...)
	return m.lookback
}

// matchMarks: while matches are corrected, a change gives changes of its own
// partition only, so the partition's columns keep their marks. A final Match holds rows
// back until their match is decided, which Within bounds: a search that is open has
// begun less than that, and the part of it that it may be late, before the mark.
func matchMarks(op *Match, m *marks) {
	m.final = m.Final[0]
	m.blank()
	for i, c := range op.Pass {
		switch {
		case m.final:
		case !op.Final && slices.Contains(op.Partition, c):
			m.Out[i] = m.In[0][c]
		case op.Final && op.AllRows && op.Within > 0 && c == op.Order[0].Col && !op.looksAhead():
			m.Out[i] = shiftMark(m.In[0][c], -op.Within-max(op.Within/dueParts, 1))
		}
	}
}

// match says what bounds the state of a Match.
func (b *bounder) match(n *Node, op *Match, in Growth) (Growth, Bound) {
	if !op.Final {
		return in, held(in, "the rows of every partition and its matches")
	}
	what := ""
	starts := false
	if prog, err := pattern.Compile(op.Pattern); err == nil {
		starts, _ = prog.Anchored()
	}
	switch {
	case starts || slices.ContainsFunc(op.Slots, func(s MatchSlot) bool { return s.Give == GiveNumber }):
		what = "a number"
	case op.reaches() > 0:
		what = "the rows before a match"
	case op.looksAhead():
		what = "the last rows, which look ahead"
	}
	partitions := min(in, ByKeys)
	if len(op.Partition) == 0 {
		partitions = Fixed
	}
	t := op.Order[0].Col
	switch {
	case what != "" && partitions != Fixed:
		return in, Bound{ByKeys, what + " for each partition, never freed: grows with the number of keys"}
	case op.Within > 0:
		return in, Bound{Fixed, fmt.Sprintf("freed when the watermark of #%d has passed what a match may span", t)}
	case partitions == Fixed:
		return in, Bound{Fixed, "the rows of the open match"}
	}
	return in, Bound{ByKeys, "the rows of open matches, freed when they end: WITHIN would bound them by time"}
}
