package state

// outPage is where a page is that is not in memory, or not quite. All zeros says nothing.
type outPage struct {
	spill Loc // in the scratch file: it had to leave memory before it was in a checkpoint
	cool  int // 1 + where in Memory.cooling: it is on its way out
}

// outside returns what is to be said of page n, which leaves memory.
func (p *Pages) outside(n uint32) *outPage {
	if int(n) >= len(p.out) {
		p.out = append(p.out, make([]outPage, len(p.pages)-len(p.out))...)
	}
	return &p.out[n]
}

// spilled returns where in the scratch file page n is, nowhere if it is not there.
func (p *Pages) spilled(n uint32) Loc {
	if int(n) < len(p.out) {
		return p.out[n].spill
	}
	return Loc{}
}

// cooling returns where in Memory.cooling page n is, if it is on its way out.
func (p *Pages) cooling(n uint32) (at int, ok bool) {
	if int(n) < len(p.out) {
		at = p.out[n].cool
	}
	return at - 1, at > 0
}
