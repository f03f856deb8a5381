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
// give first. It does for many together what can be, so that the processor need not
// wait for the memory of one before it asks for the next. The result means nothing.
func (x *Index) First(found []uint32, hashes []uint64) uint64 {
	if len(x.dir) == 0 {
		clear(found[:len(hashes)])
		return 0
	}
	var homes [firstRows]uint64
	for len(hashes) > 0 {
		n := min(len(hashes), firstRows)
		x.homes(homes[:n], hashes[:n])
		for k, s := range homes[:n] {
			if s == 0 || uint32(s>>32) == uint32(hashes[k]) {
				found[k] = uint32(s)
				continue
			}
			p := x.Probe(hashes[k])
			p.at++
			found[k] = p.Next()
		}
		found, hashes = found[n:], hashes[n:]
	}
	return homes[0]
}

// firstRows is how many hashes First takes together.
const firstRows = 512

// homes writes the slots in which the search for hashes begins.
func (x *Index) homes(homes, hashes []uint64) {
	pages, dir, depth := x.slots.pages, x.dir, x.depth&31
	for k, h := range hashes {
		n := dir[uint64(uint32(h))<<depth>>32]
		pg := pages[n]
		if pg == nil {
			pg = x.slots.fault(n)
		}
		homes[k] = pg[h&indexMask]
	}
}
