package state

import (
	"encoding/binary"
	"fmt"
)

// Persist is how the user of a Memory says what belongs to its state, once for both
// directions: saving notes what it is given, loading fills it in. What is said must be
// the same both times, in the same order.
//
//	func (j *join) persist(p *state.Persist) {
//		p.Pages(j.rows)
//		state.Num(p, &j.count)
//	}
//
// Loading fails by Err; what was filled in up to then means nothing.
type Persist struct {
	mem     *Memory
	loading bool
	buf     []byte // noted, or to be read
	arrays  []*Pages
	saved   []savedArray
	err     error
}

type savedArray struct {
	id     uint64
	stride int
	pages  int
	table  Loc
}

// Freeze saves what fn names, and all arrays of m, as they are now.
func Freeze(m *Memory, fn func(*Persist)) *Frozen {
	p := &Persist{mem: m}
	Num(p, &m.nextID)
	fn(p)
	return m.freeze(p.buf, p.arrays)
}

// Restore loads an image that Frozen.Write gave into m, whose arrays are new and
// empty; fn names the same things in the same order. No page is read, nor where they
// are: that is read when it is needed, or by whoever calls what Memory.Unread lists.
// After an error m and what fn named are of no use.
func Restore(m *Memory, image []byte, fn func(*Persist)) error {
	p := &Persist{mem: m, loading: true}
	p.open(image)
	Num(p, &m.nextID)
	if p.err == nil {
		fn(p)
	}
	if p.err == nil && (len(p.buf) > 0 || len(p.saved) > 0) {
		p.err = fmt.Errorf("%w: an image has %d bytes and %d arrays too many", ErrDamaged, len(p.buf), len(p.saved))
	}
	return p.err
}

// open takes an image apart.
func (p *Persist) open(image []byte) {
	n, k := binary.Uvarint(image)
	if k <= 0 || n > uint64(len(image)-k) {
		p.Fail(fmt.Errorf("%w: an image of %d bytes", ErrDamaged, len(image)))
		return
	}
	fixed, rest := image[k:k+int(n)], image[k+int(n):]
	p.buf = rest
	for count := p.uvarint(); count > 0 && p.err == nil; count-- {
		a := savedArray{id: p.uvarint(), stride: int(p.uvarint()), pages: int(p.uvarint())}
		if raw := p.raw(locBytes); raw != nil {
			a.table = readLoc(raw)
			p.saved = append(p.saved, a)
		}
	}
	if p.err == nil && len(p.buf) > 0 {
		p.Fail(fmt.Errorf("%w: an image with %d bytes after its arrays", ErrDamaged, len(p.buf)))
	}
	p.buf = fixed
}

// Checks reports whether what must hold between steps is to be checked, at whatever
// price: see Memory.Check.
func (p *Persist) Checks() bool { return p.mem.Check }

// Loading reports the direction.
func (p *Persist) Loading() bool { return p.loading }

// Err returns why loading failed.
func (p *Persist) Err() error { return p.err }

// Fail ends loading with err.
func (p *Persist) Fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.buf, p.saved = nil, nil
}

// Pages names an array.
func (p *Persist) Pages(a *Pages) {
	if !p.loading {
		p.arrays = append(p.arrays, a)
		return
	}
	if len(p.saved) == 0 {
		p.Fail(fmt.Errorf("%w: an image with too few arrays", ErrDamaged))
		return
	}
	s := p.saved[0]
	p.saved = p.saved[1:]
	if s.stride != a.stride || s.pages < 0 || s.pages > 1<<32 {
		p.Fail(fmt.Errorf("%w: an array of %d pages, rows of %d words where %d are", ErrDamaged, s.pages, s.stride, a.stride))
		return
	}
	if s.table.None() || int64(s.table.Len) < int64(s.pages)*(1+locBytes) {
		p.Fail(fmt.Errorf("%w: an array of %d pages whose table has %d bytes", ErrDamaged, s.pages, s.table.Len))
		return
	}
	a.id, a.table = s.id, s.table
	a.later = &pageTable{back: p.mem.back, at: s.table, owner: p.mem.owner | s.id, pages: s.pages}
	a.pages, a.base, a.meta = make([][]uint64, s.pages), make([]*uint64, s.pages), make([]pageMeta, s.pages)
}

// Num names a number.
func Num[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](p *Persist, v *T) {
	if !p.loading {
		p.buf = binary.AppendUvarint(p.buf, uint64(*v))
		return
	}
	*v = T(p.uvarint())
}

// Bool names a flag.
func (p *Persist) Bool(v *bool) {
	n := uint8(0)
	if *v {
		n = 1
	}
	Num(p, &n)
	*v = n != 0
}

// Bytes names a string of bytes; loading gives one that is not shared.
func (p *Persist) Bytes(v *[]byte) {
	n := len(*v)
	Num(p, &n)
	if !p.loading {
		p.buf = append(p.buf, *v...)
		return
	}
	*v = append([]byte(nil), p.raw(n)...)
}

// Nums names a list of numbers. Long ones belong into Pages: a list is written whole
// in every checkpoint.
func Nums[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](p *Persist, v *[]T) {
	n := len(*v)
	Num(p, &n)
	if p.loading {
		if n < 0 || n > len(p.buf) {
			p.Fail(fmt.Errorf("%w: a list of %d numbers in %d bytes", ErrDamaged, n, len(p.buf)))
			return
		}
		*v = make([]T, n)
	}
	for i := range *v {
		Num(p, &(*v)[i])
	}
}

func (p *Persist) uvarint() uint64 {
	v, n := binary.Uvarint(p.buf)
	if n <= 0 {
		p.Fail(fmt.Errorf("%w: an image ends too soon", ErrDamaged))
		return 0
	}
	p.buf = p.buf[n:]
	return v
}

func (p *Persist) raw(n int) []byte {
	if n < 0 || n > len(p.buf) {
		p.Fail(fmt.Errorf("%w: an image ends too soon", ErrDamaged))
		return nil
	}
	out := p.buf[:n]
	p.buf = p.buf[n:]
	return out
}
