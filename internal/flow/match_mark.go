package flow

import (
	"fmt"
	"slices"
)

// looksAhead reports whether rows behind a match are looked at.
func (op *Match) looksAhead() bool {
	return slices.ContainsFunc(op.Slots, func(s MatchSlot) bool { return s.Row.Shift > 0 })
}

// matchMarks: while matches are corrected, a change gives changes of its own
// partition only, so the partition's columns keep their marks. A final Match holds rows
// back until their match is decided, which Within bounds: a search that is open has
// begun less than that, and the part of it that it may be late, before the mark.
func matchMarks(op *Match, m *marks) {
	m.final = m.Final[0]
	for c := range m.Out {
		m.Out[c] = NoMark
		if m.final {
			m.Out[c] = FinalMark
		}
	}
	for i, c := range op.Pass {
		switch {
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
	for i := range op.Slots {
		switch s := &op.Slots[i]; {
		case s.Give == GiveNumber:
			what = "a number of matches"
		case s.Row.Shift < 0 && what == "":
			what = "the rows before a match"
		case s.Row.Shift > 0:
			what = "the last rows, which look ahead"
		}
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
