package flow

import "github.com/tidemill/tidemill/internal/batch"

// restParts is after how many parts of what a step has touched memory may rest.
const restParts = restEvery / probeRows

// Flush emits what became of the gates.
func (j *join) Flush(st *Step, out Emitter) {
	for p := range j.sides {
		if j.sides[p].gate == gateNone {
			continue
		}
		if j.byRow {
			j.flushRows(st, p, out)
		} else {
			j.flushGroups(st, p, out)
		}
		j.flushLone(p, out)
	}
	for p := range j.sides {
		j.sides[p].m.endStep()
	}
	j.forget.run()
}

// flushGroups emits or withdraws the rows of the keys whose gate has turned.
func (j *join) flushGroups(st *Step, port int, out Emitter) {
	me, other := &j.sides[port], &j.sides[1-port]
	for all := other.m.touchedG; len(all) > 0 && !st.Stopped(); {
		part := all[:min(probeRows, len(all))]
		all = all[len(part):]
		if len(all)/probeRows%restParts == 0 {
			st.Rest()
		}
		rows, open := j.match.rows[:0], j.match.at[:0]
		v := me.m.t.groups.View()
		for _, t := range part {
			w := v.Row(t.group)
			if w == nil {
				w = me.m.t.groups.At(t.group)
			}
			is := me.gate.open(groupOf(w, other.m.side).weight())
			if head := groupOf(w, me.m.side).head(); head != 0 && is != me.gate.open(t.old) {
				rows = append(rows, head)
				open = append(open, 0)
				if is {
					open[len(open)-1] = 1
				}
			}
		}
		j.turn(st, port, rows, open, out)
	}
}

// turn emits or withdraws the rows of groups whose first rows are given, one of each in
// turn: see pairAll. open is 1 for those to emit.
func (j *join) turn(st *Step, port int, rows, open []uint32, out Emitter) {
	m := j.sides[port].m
	for len(rows) > 0 && !st.Stopped() {
		if len(j.loneIDs)+len(rows) > batch.BlockRows {
			j.flushLone(port, out)
		}
		m.fetch(rows)
		more, v := 0, m.pages.View()
		for x, r := range rows {
			words := v.Row(r)
			if words == nil {
				words = m.row(r)
			}
			if w := int64(words[rowWeight]); w != 0 {
				j.loneIDs, j.loneW = append(j.loneIDs, r), append(j.loneW, (2*int64(open[x])-1)*w)
			}
			r = next(words)
			open[more], rows[more] = open[x], r
			more += int(uint64(-int64(r)) >> 63) // 1 if r is a row, without a branch
		}
		rows, open = rows[:more], open[:more]
	}
}

// flushRows emits the difference that the step made for each row that it touched.
func (j *join) flushRows(st *Step, port int, out Emitter) {
	me := &j.sides[port]
	for all := me.m.touchedR; len(all) > 0 && !st.Stopped(); {
		part := all[:min(probeRows, len(all))]
		all = all[len(part):]
		if len(all)/probeRows%restParts == 0 {
			st.Rest()
		}
		if len(j.loneIDs)+len(part) > batch.BlockRows {
			j.flushLone(port, out)
		}
		me.m.fetchTouched(part)
		for i := range part {
			t := &part[i]
			words := me.m.row(t.row)
			w := int64(0)
			if me.gate.open(int64(words[rowCount])) {
				w = int64(words[rowWeight])
			}
			if me.gate.open(t.count) {
				w -= t.old
			}
			if w != 0 {
				j.loneIDs, j.loneW = append(j.loneIDs, t.row), append(j.loneW, w)
			}
		}
	}
}
