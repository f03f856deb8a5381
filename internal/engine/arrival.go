package engine

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/coord"
)

func (e *Engine) signalArrival() {
	select {
	case e.arrive <- struct{}{}:
	default:
	}
}

// arrivals tells the coord of blocks that came.
func (l *leader) arrivals() {
	units := uint64(0)
	for _, s := range l.e.sourceList() {
		s.mu.Lock()
		for ; s.announced < len(s.pending); s.announced++ {
			units += s.pending[s.announced].units()
		}
		s.mu.Unlock()
	}
	if units > 0 {
		l.clock()
		l.feed(coord.Arrived{Rows: units})
	}
	l.poll()
}

// poll asks the sources that generate their rows for new ones.
func (l *leader) poll() {
	if !l.e.polls.Load() || l.e.quiet.Load() || l.e.room() != nil {
		return
	}
	now := l.e.micros()
	units := uint64(0)
	for _, s := range l.e.sourceList() {
		if s.replayable == nil {
			continue
		}
		if n := s.replayable.Available(s.start, now); n > s.said {
			units += n - s.said
			s.said = n
		}
	}
	if units > 0 {
		l.clock()
		l.feed(coord.Arrived{Rows: units})
	}
}

// pressedSteps is how many times smaller steps are while memory is short.
const pressedSteps = 8

func (s *source) announcedUnits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replayable != nil {
		return s.said - s.e.lead.positions[s.id]
	}
	n := uint64(0)
	for i := range s.announced {
		n += s.pending[i].units()
	}
	return n
}

// takeSources takes what waits, in the order of source and position, until the
// step is full.
func (l *leader) takeSources(s *staged) (units uint64, err error) {
	list := l.e.sourceList()
	active := 0
	for _, src := range list {
		if src.waits(l.positions[src.id]) {
			active++
		}
	}
	// Each gets a share, so that one that is never empty starves no other.
	share := l.e.cfg.StepRows / max(active, 1)
	if l.e.pressed() {
		share /= pressedSteps // less is touched between two chances to make room
	}
	for _, src := range list {
		t, err := src.take(l.positions[src.id], max(share, 1))
		if err != nil {
			return 0, err
		}
		if t.from == t.to {
			continue
		}
		units += t.units
		s.taken = append(s.taken, t)
	}
	return units, nil
}

// waits reports whether the coord knows of rows that no step has taken.
func (s *source) waits(position uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.announced > 0 || s.replayable != nil && s.said > position
}

// take takes at least one block, if there is one, and no more than about most rows.
func (s *source) take(from uint64, most int) (taken, error) {
	t := taken{source: s, from: from, to: from}
	if s.replayable != nil {
		to := min(s.said, from+uint64(most))
		if to == from {
			return t, nil
		}
		t.units = to - from
		return t, s.generate(&t, to)
	}
	s.mu.Lock()
	rows, n := 0, 0
	for n < s.announced && (n == 0 || rows < most) {
		b := &s.pending[n]
		if b.seq != t.to {
			s.mu.Unlock()
			return t, fmt.Errorf("source %q: block %d waits, %d is next", s.def.Name, b.seq, t.to)
		}
		t.to++
		t.units += b.units()
		t.bad += b.bad
		t.rows, t.first = append(t.rows, b.rows), append(t.first, b.after.records-b.bad-uint64(b.rows.Len()))
		t.marks = b.marks
		s.inStep = b.after
		rows += b.rows.Len()
		s.bytes -= b.bytes
		n++
	}
	s.pending = s.pending[n:]
	if len(s.pending) == 0 {
		s.pending = nil
	}
	s.announced -= n
	s.mu.Unlock()
	s.room.send()
	return t, nil
}
