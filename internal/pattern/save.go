package pattern

import (
	"encoding/binary"
	"errors"
)

// ErrSaved says that what Load was given is not what Save appended.
var ErrSaved = errors.New("a saved search is damaged")

// Save appends all that a search needs to go on, for Load.
func (s *Search) Save(dst []byte) []byte {
	for _, n := range [...]int64{int64(s.best), int64(s.rows), s.first, s.steps, int64(s.gen), int64(s.squeeze)} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.threads)))
	for _, t := range s.threads {
		dst = binary.AppendVarint(dst, int64(t.pc))
		dst = binary.AppendVarint(dst, int64(t.hist))
		dst = binary.AppendVarint(dst, int64(t.prev))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.regs)))
	for _, r := range s.regs {
		dst = binary.AppendVarint(dst, r)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.hist)))
	for i, x := range s.hist {
		excluded := byte(0)
		if x.Excluded {
			excluded = 1
		}
		dst = binary.AppendVarint(dst, int64(i)-int64(x.before)) // mostly small
		dst = binary.AppendUvarint(dst, uint64(x.Row))
		dst = append(dst, x.Var, excluded)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.seen)))
	for _, x := range s.seen {
		dst = binary.AppendUvarint(dst, x)
	}
	return dst
}

// Load makes s the search that Save appended to nothing, of the machine m, in the
// memory that s has. It returns what comes behind it in data.
func (m *Machine) Load(s *Search, data []byte) ([]byte, error) {
	d := decoder{data: data}
	s.best, s.rows, s.first = int32(d.varint()), int32(d.varint()), d.varint()
	s.steps, s.gen, s.squeeze = d.varint(), int(d.varint()), int(d.varint())
	s.threads = s.threads[:0]
	for n := d.count(3); n > 0; n-- {
		s.threads = append(s.threads, thread{int32(d.varint()), int32(d.varint()), int32(d.varint())})
	}
	s.regs = s.regs[:0]
	for n := d.count(1); n > 0; n-- {
		s.regs = append(s.regs, d.varint())
	}
	s.hist = s.hist[:0]
	for n := d.count(4); n > 0; n-- {
		x := Taken{before: int32(int64(len(s.hist)) - d.varint()), Row: int32(d.uvarint())}
		x.Var, x.Excluded = d.byte(), d.byte() != 0
		s.hist = append(s.hist, x)
	}
	s.seen = s.seen[:0]
	for n := d.count(1); n > 0; n-- {
		s.seen = append(s.seen, d.uvarint())
	}
	if d.bad || !m.sound(s) {
		return nil, ErrSaved
	}
	return d.data, nil
}

// sound reports whether the parts of a search fit each other and the program.
func (m *Machine) sound(s *Search) bool {
	if len(s.regs) != len(s.threads)*m.words || s.rows < 0 || s.best < noMatch || int(s.best) >= len(s.hist) {
		return false
	}
	for _, t := range s.threads {
		if t.pc < 0 || int(t.pc) >= len(m.prog.code) || t.hist < -1 || int(t.hist) >= len(s.hist) {
			return false
		}
	}
	for i, x := range s.hist {
		if x.before < -1 || int(x.before) >= i || x.Row < 0 || x.Row >= s.rows || x.Var >= MaxVars {
			return false
		}
	}
	return true
}

// decoder takes numbers off data until it is at its end.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.data, d.bad = nil, true
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.data, d.bad = nil, true
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.bad = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

// count returns how many things of at least so many bytes come.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.data)/size) {
		d.data, d.bad = nil, true
		return 0
	}
	return int(n)
}
