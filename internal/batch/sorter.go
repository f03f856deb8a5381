package batch

import (
	"math/bits"
	"slices"

	"github.com/tidemill/tidemill/internal/types"
)

const (
	// smallRun is up to how many rows are put in order by comparing them.
	smallRun = 12
	// maxSplits is how often rows that look alike are split by further keys before they
	// are compared, against text with long common parts.
	maxSplits = 64
	// radixRows is from how many rows on keys are sorted by their digits.
	radixRows = 200
	// digitBits is the size of a digit: places for 2^digitBits rows fit the first cache.
	digitBits = 8
	// spareBits is how many more bits than tell n rows apart are sorted by before what
	// is left is sorted run by run.
	spareBits = 7
	// mergeRuns is up to how many ascending runs of keys are merged instead.
	mergeRuns = 4
)

// Sorter sorts row indexes. It keeps scratch memory between calls; one owner.
//
// The order's leading columns are packed into a key of 64 bits a row, each with as
// few bits as the values at hand need, with the row's number below. What has equal
// keys is split again by the columns that did not fit. This costs a few passes
// over integers; whole rows are compared only in runs of a few that look alike.
type Sorter struct {
	b       *Batch
	order   []Key // the call's keys, then the remaining columns
	forms   bool  // some column tells equal values apart by form
	stirred bool  // rows were moved
	rows    []uint32
	moved   []uint32
	packed  []uint64 // key<<rowBits | position
	spare   []uint64
	vals    []uint64
	todo    []span
	// same has bit k set if the k-th row in order is identical to the one before; nil
	// if there is no such row.
	same, sameMem Bitmap
}

// span is rows lo to hi of Sorter.rows that agree in the order's items before item.
type span struct {
	lo, hi      int
	item, depth int
}

// Sort appends to dst the selected rows of b in the order of keys, ties broken by
// the whole row, and returns it.
func (s *Sorter) Sort(dst []uint32, b *Batch, keys []Key) []uint32 {
	s.sort(b, keys)
	s.b = nil
	return append(dst, s.rows...)
}

// sort brings s.rows into order and finds out which are identical.
func (s *Sorter) sort(b *Batch, keys []Key) {
	n := b.Len()
	s.b, s.same, s.stirred = b, nil, false
	s.rows = resize(s.rows, n)
	s.moved = resize(s.moved, n)
	s.packed, s.spare, s.vals = resize(s.packed, n), resize(s.spare, n), resize(s.vals, n)
	if b.Sel != nil {
		copy(s.rows, b.Sel)
	} else {
		for i := range s.rows {
			s.rows[i] = uint32(i)
		}
	}
	s.arrange(b, keys)
	s.todo = append(s.todo[:0], span{hi: n})
	for len(s.todo) > 0 {
		last := len(s.todo) - 1
		sp := s.todo[last]
		s.todo = s.todo[:last]
		s.split(sp)
	}
}

// arrange lists the items of the order.
func (s *Sorter) arrange(b *Batch, keys []Key) {
	s.order = append(s.order[:0], keys...)
	s.forms = false
	for c := range b.Cols {
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.Col == c }) {
			s.order = append(s.order, Key{Col: c})
		}
		switch b.Cols[c].Type.Layout() {
		case types.LayoutFloat, types.LayoutDec, types.LayoutIvl:
			s.forms = true
		}
	}
}

// split brings the rows of sp into order as far as one key tells them apart, and
// leaves what it does not in s.todo.
func (s *Sorter) split(sp span) {
	n := sp.hi - sp.lo
	switch {
	case n < 2:
		return
	case n <= smallRun:
		s.insert(sp)
		return
	case sp.depth == maxSplits:
		s.compareAll(sp)
		return
	}
	rows := s.rows[sp.lo:sp.hi]
	next, used := s.pack(rows, sp.item)
	if used == 0 {
		if next == len(s.order) {
			s.alike(sp)
		} else {
			s.compareAll(sp)
		}
		return
	}
	rowBits := bits.Len(uint(n - 1))
	packed := s.sortPacked(s.packed[:n], rowBits, used)
	moved, mask := s.moved[:n], uint64(1)<<rowBits-1
	for i, p := range packed {
		moved[i] = rows[p&mask]
	}
	copy(rows, moved)
	s.stirred = true
	for lo := 0; lo < n; {
		hi := lo + 1
		for key := packed[lo] >> rowBits; hi < n && packed[hi]>>rowBits == key; hi++ {
		}
		if hi-lo > 1 {
			s.todo = append(s.todo, span{sp.lo + lo, sp.lo + hi, next, sp.depth + 1})
		}
		lo = hi
	}
}

// alike orders rows that are equal in all columns.
func (s *Sorter) alike(sp span) {
	if s.forms {
		s.compareAll(sp)
		return
	}
	for k := sp.lo + 1; k < sp.hi; k++ {
		s.mark(k)
	}
}

// insert orders a few rows by comparing them.
func (s *Sorter) insert(sp span) {
	rows := s.rows[sp.lo:sp.hi]
	same := false
	for i := 1; i < len(rows); i++ {
		x, j := rows[i], i
		for ; j > 0; j-- {
			r := s.compare(rows[j-1], x, sp.item)
			same = same || r == 0
			if r <= 0 {
				break
			}
			rows[j] = rows[j-1]
		}
		rows[j] = x
	}
	if same {
		s.markSame(sp)
	}
}

// compareAll orders any number of rows by comparing them.
func (s *Sorter) compareAll(sp span) {
	same := false
	slices.SortStableFunc(s.rows[sp.lo:sp.hi], func(x, y uint32) int {
		r := s.compare(x, y, sp.item)
		same = same || r == 0
		return r
	})
	if same {
		s.markSame(sp)
	}
}

// markSame notes which rows of sp, now in order, are identical to the one before.
func (s *Sorter) markSame(sp span) {
	for k := sp.lo + 1; k < sp.hi; k++ {
		if sp.hi-sp.lo == 2 || s.compare(s.rows[k-1], s.rows[k], sp.item) == 0 {
			s.mark(k)
		}
	}
}

// compare orders two rows that agree in the items before item; it is 0 only for
// identical rows.
func (s *Sorter) compare(x, y uint32, item int) int {
	i, j := int(x), int(y)
	for _, k := range s.order[item:] {
		c := &s.b.Cols[k.Col]
		if r := CompareColumns(c, i, c, j, k); r != 0 {
			return r
		}
	}
	if s.forms {
		for c := range s.b.Cols {
			if r := compareForm(&s.b.Cols[c], i, &s.b.Cols[c], j); r != 0 {
				return r
			}
		}
	}
	return 0
}

// mark notes that the k-th row in order is identical to the one before.
func (s *Sorter) mark(k int) {
	if s.same == nil {
		s.sameMem = NewBitmap(s.sameMem, len(s.rows))
		s.same = s.sameMem
	}
	s.same.Set(k)
}

// sortPacked sorts distinct words whose order is in used bits above the lowest
// rowBits; below, they ascend. It returns p or s.spare's memory.
func (s *Sorter) sortPacked(p []uint64, rowBits, used int) []uint64 {
	descents := 0
	for i := 1; i < len(p); i++ {
		if p[i] < p[i-1] {
			descents++
		}
	}
	switch {
	case descents == 0:
		return p
	case descents < mergeRuns:
		return mergeAscending(p, s.spare[:len(p)])
	case len(p) < radixRows:
		slices.Sort(p)
		return p
	}
	return radixSort(p, s.spare[:len(p)], rowBits, used)
}

// radixSort sorts p, whose order is in used bits above from, by the highest of
// these, digit by digit from the least, and then each run of rows in which they
// agree by the rest. The result is in p's memory or in q's.
func radixSort(p, q []uint64, from, used int) []uint64 {
	passes := (min(used, bits.Len(uint(len(p)))+spareBits) + digitBits - 1) / digitBits
	low := from + max(0, used-passes*digitBits) // the lowest bit sorted by
	for k := range passes {
		shift := low + k*digitBits
		var count [1 << digitBits]uint32
		for _, x := range p {
			count[uint8(x>>shift)]++
		}
		if count[uint8(p[0]>>shift)] == uint32(len(p)) {
			continue
		}
		at := uint32(0)
		for d, n := range count {
			count[d] = at
			at += n
		}
		for _, x := range p {
			d := uint8(x >> shift)
			q[count[d]] = x
			count[d]++
		}
		p, q = q, p
	}
	if low > from {
		sortRuns(p, q, from, low)
	}
	return p
}

// sortRuns sorts p, whose bits from low on are in order already, by those between
// from and low. q is scratch.
func sortRuns(p, q []uint64, from, low int) {
	for lo := 0; lo < len(p); {
		hi := lo + 1
		for key := p[lo] >> low; hi < len(p) && p[hi]>>low == key; hi++ {
		}
		switch run := p[lo:hi]; {
		case len(run) <= smallRun:
			for i := 1; i < len(run); i++ {
				x, j := run[i], i
				for ; j > 0 && run[j-1] > x; j-- {
					run[j] = run[j-1]
				}
				run[j] = x
			}
		case len(run) < radixRows:
			slices.Sort(run)
		default:
			copy(run, radixSort(run, q[lo:hi], from, low-from))
		}
		lo = hi
	}
}

// mergeAscending sorts p by merging its few ascending runs. The result is in p's
// memory or in q's.
func mergeAscending(p, q []uint64) []uint64 {
	for {
		out, runs := 0, 0
		for lo := 0; lo < len(p); runs++ {
			mid := ascent(p, lo)
			hi := mid
			if mid < len(p) {
				hi = ascent(p, mid)
			}
			i, j := lo, mid
			for i < mid && j < hi {
				x, y := p[i], p[j]
				if x < y {
					i++
				} else {
					x = y
					j++
				}
				q[out] = x
				out++
			}
			out += copy(q[out:], p[i:mid])
			out += copy(q[out:], p[j:hi])
			lo = hi
		}
		if runs < 2 {
			return q
		}
		p, q = q, p
	}
}

// ascent returns the end of the ascending run that begins at lo.
func ascent(p []uint64, lo int) int {
	for lo++; lo < len(p) && p[lo] > p[lo-1]; lo++ {
	}
	return lo
}
