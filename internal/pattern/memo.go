package pattern

// maxWide bounds the words of a set of instructions that is remembered.
const maxWide = 16

// Remember has searches note where they have been. It is of use only where threads
// remember nothing, and whether a row fits does not depend on where the search began:
// then a thread that waits for a row where one of an earlier search did, which found
// nothing, finds nothing either. So rows are not searched again and again by patterns
// that begin often and end seldom.
func (m *Machine) Remember() {
	if w := (len(m.prog.code) + 63) / 64; m.words == 0 && w <= maxWide {
		m.wide = w
	}
}

// Forget drops what is remembered.
func (m *Machine) Forget() { m.dead = m.dead[:0] }

// Failed remembers a search that found no match; first is the row it began at.
func (m *Machine) Failed(s *Search, first int64) {
	if m.wide == 0 {
		return
	}
	at := int(first-m.deadAt) * m.wide
	if len(m.dead) == 0 || at >= len(m.dead) {
		m.dead, s.seen = append(m.dead[:0], s.seen...), s.seen[:0]
		m.deadAt = first
		return
	}
	for i, x := range s.seen {
		if at+i < len(m.dead) {
			m.dead[at+i] |= x
		} else {
			m.dead = append(m.dead, x)
		}
	}
}

// aim says that threads being entered wait for row of s.
func (m *Machine) aim(s *Search, row int32) {
	m.row = -1
	if at := s.first + int64(row) - m.deadAt; m.wide > 0 && at >= 0 && at < int64(len(m.dead)/m.wide) {
		m.row = int(at) * m.wide
	}
}

// see notes where the threads of s wait.
func (m *Machine) see(s *Search) {
	if m.wide == 0 {
		return
	}
	from := len(s.seen)
	for range m.wide {
		s.seen = append(s.seen, 0)
	}
	for _, t := range s.threads {
		s.seen[from+int(t.pc>>6)] |= 1 << (t.pc & 63)
	}
}
