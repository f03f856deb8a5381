package state

import (
	"fmt"
	"sync"
)

// pageTable is what a checkpoint says of where the pages of an array are. It is read
// when somebody first asks for it: the array's owner who needs a page, the writer of the
// next checkpoint, or whoever looks for damage. All of them get the same list, or the
// same error; it never changes.
type pageTable struct {
	back  Backing
	at    Loc
	owner uint64 // of its record
	pages int

	once sync.Once
	locs []pageLocs
	err  error
}

// read returns where the pages are. Any goroutine may call it.
func (t *pageTable) read() ([]pageLocs, error) {
	t.once.Do(func() {
		raw, err := t.back.Read(t.at, t.owner, nil)
		if err == nil {
			t.locs, err = readTable(raw, t.pages)
		}
		t.err = err
	})
	return t.locs, t.err
}

// known returns where the pages were as of the last complete checkpoint. It panics with
// a FaultError if that cannot be read.
func (p *Pages) known() []pageLocs {
	if p.later != nil {
		locs, err := p.later.read()
		if err != nil {
			panic(&FaultError{err})
		}
		p.locs, p.later = locs, nil
	}
	return p.locs
}

// saved returns how many pages the last complete checkpoint has.
func (p *Pages) saved() int {
	if p.later != nil {
		return p.later.pages
	}
	return len(p.locs)
}

// Unread lists what Restore has left to be read when it is needed: the tables that say
// where the pages of arrays are. Each function reads one and returns what is wrong with
// it, nil if nothing is. Any goroutine may call them, while the owner goes on; what was
// read need not be read again.
func (m *Memory) Unread() []func() error {
	var out []func() error
	for _, p := range m.arrays {
		if t := p.later; t != nil {
			out = append(out, func() error {
				_, err := t.read()
				return err
			})
		}
	}
	return out
}

// appendTable appends where the pages of an array are.
func appendTable(dst []byte, locs []pageLocs) []byte {
	for _, l := range locs {
		dst = append(dst, byte(len(l.deltas)))
		dst = appendLoc(dst, l.base)
		for _, d := range l.deltas {
			dst = appendLoc(dst, d)
		}
	}
	return dst
}

func readTable(b []byte, pages int) ([]pageLocs, error) {
	if pages > len(b)/(1+locBytes) {
		return nil, fmt.Errorf("%w: a table of %d pages in %d bytes", ErrDamaged, pages, len(b))
	}
	out := make([]pageLocs, pages)
	all := make([]Loc, 0, len(b)/locBytes-pages) // of all pages' parts
	for n := range out {
		if len(b) < 1+locBytes || int(b[0]) > MaxDeltas || len(b) < 1+locBytes*(1+int(b[0])) {
			return nil, fmt.Errorf("%w: a table of pages ends at page %d of %d", ErrDamaged, n, pages)
		}
		deltas := int(b[0])
		out[n].base, b = readLoc(b[1:]), b[1+locBytes:]
		if deltas == 0 {
			continue
		}
		first := len(all)
		for range deltas {
			all, b = append(all, readLoc(b)), b[locBytes:]
		}
		out[n].deltas = all[first:len(all):len(all)]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: a table of %d pages with %d bytes too many", ErrDamaged, pages, len(b))
	}
	return out, nil
}
