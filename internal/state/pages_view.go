package state

// View is a Pages for loops that read so many rows that a call for each would cost:
// its methods are inlined. It is good until the array grows or its owner rests.
type View struct {
	base   []*uint64
	stride int
	mask   uint32
	shift  uint8
}

// View returns what there is now.
func (p *Pages) View() View {
	return View{base: p.base, stride: p.stride, mask: 1<<p.shift - 1, shift: p.shift & 31}
}

// Row returns the words of row i for reading, or nil if they are not in memory: then
// ask Pages.At.
func (v *View) Row(i uint32) []uint64 {
	base := v.base[i>>(v.shift&31)]
	if base == nil {
		return nil
	}
	return rowAt(base, uint(i&v.mask)*uint(v.stride), v.stride)
}

// First writes to found the first candidate for each hash, or 0: what Probe and Next
// give first. It does for all together what can be, so that the processor need not
// wait for the memory of one before it asks for the next. The result means nothing.
func (x *Index) First(found []uint32, hashes []uint64) uint64 {
	found = found[:len(hashes)]
	if len(x.dir) == 0 {
		clear(found)
		return 0
	}
	pages, dir, depth := x.slots.pages, x.dir, x.depth&31
	sum := uint64(0)
	for _, h := range hashes {
		pg := pages[dir[uint64(uint32(h))<<depth>>32]]
		if pg == nil {
			pg = x.slots.fault(x.pageOf(uint32(h)))
		}
		sum += pg[h&indexMask]
	}
	for k, h := range hashes {
		tag := uint32(h)
		n := dir[uint64(tag)<<depth>>32]
		pg := pages[n]
		if len(pg) != indexSlots {
			continue // cannot be: all are there by now
		}
		at := tag & indexMask
		s := pg[at]
		for s != 0 && uint32(s>>32) != tag {
			at = (at + 1) & indexMask
			if at == tag&indexMask {
				break // the page is full
			}
			s = pg[at]
		}
		found[k] = uint32(s)
		if s != 0 && uint32(s>>32) != tag {
			p := x.Probe(h)
			found[k] = p.Next()
		}
	}
	return sum
}
