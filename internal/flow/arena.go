package flow

import "math/bits"

// arena keeps byte strings outside of the garbage collector's sight. What is freed
// is used again for strings of like size, so that it does not grow under change.
type arena struct {
	chunks [][]byte
	spare  []uint32 // numbers of chunks of large strings that were freed
	free   [arenaClasses]uint64
	at     uint32 // fill of the last shared chunk
	cur    int    // 1 + number of the shared chunk being filled
	bytes  int64
}

// Offsets count units of 8 bytes: a chunk's number, and the place in it. They share
// a word with the length.
const (
	arenaUnit    = 8
	chunkUnits   = 1 << chunkBits
	chunkBits    = 17 // a chunk is 1 MB
	lenBits      = 28
	maxString    = 1<<lenBits - 1
	arenaClasses = 4 * 18 // four a doubling, up to a chunk
)

// class returns the size class for n units, and its size.
func class(n uint32) (int, uint32) {
	if n <= 4 {
		return int(n) - 1, n
	}
	top := bits.Len32(n-1) - 1           // n is in (2^top, 2^(top+1)]
	step := uint32(1) << (top - 2)       // four classes between
	k := (n - 1 - uint32(1)<<top) / step // 0..3
	return 4*(top-1) + int(k), uint32(1)<<top + (k+1)*step
}

// put copies s in and returns the word that stands for it.
func (a *arena) put(s []byte) uint64 {
	if len(s) == 0 {
		return 0
	}
	if len(s) > maxString {
		panic("flow: string too long for state")
	}
	units := uint32(len(s)+arenaUnit-1) / arenaUnit
	off := a.alloc(units)
	copy(a.bytesAt(off, len(s)), s)
	return off<<lenBits | uint64(len(s))
}

func (a *arena) bytesAt(off uint64, n int) []byte {
	at := int(off&(chunkUnits-1)) * arenaUnit
	return a.chunks[off>>chunkBits][at : at+n : at+n]
}

// get returns the string of a word, borrowed until it is freed.
func (a *arena) get(word uint64) []byte {
	n := int(word & maxString)
	if n == 0 {
		return nil
	}
	return a.bytesAt(word>>lenBits, n)
}

func (a *arena) alloc(units uint32) uint64 {
	if units > chunkUnits/4 {
		return a.large(units)
	}
	c, size := class(units)
	if head := a.free[c]; head != 0 {
		off := head - 1
		a.free[c] = readWord(a.bytesAt(off, arenaUnit))
		return off
	}
	if a.cur == 0 || a.at+size > chunkUnits {
		a.cur = 1 + a.chunk(make([]byte, chunkUnits*arenaUnit))
		a.at = 0
	}
	off := uint64(a.cur-1)<<chunkBits | uint64(a.at)
	a.at += size
	return off
}

// large gives a string a chunk of its own.
func (a *arena) large(units uint32) uint64 {
	return uint64(a.chunk(make([]byte, int(units)*arenaUnit))) << chunkBits
}

func (a *arena) chunk(c []byte) int {
	a.bytes += int64(len(c))
	if n := len(a.spare); n > 0 {
		i := a.spare[n-1]
		a.spare = a.spare[:n-1]
		a.chunks[i] = c
		return int(i)
	}
	a.chunks = append(a.chunks, c)
	return len(a.chunks) - 1
}

// release frees the string of a word.
func (a *arena) release(w uint64) {
	n := uint32(w & maxString)
	if n == 0 {
		return
	}
	off := w >> lenBits
	units := (n + arenaUnit - 1) / arenaUnit
	if units > chunkUnits/4 {
		i := off >> chunkBits
		a.bytes -= int64(len(a.chunks[i]))
		a.chunks[i] = nil
		a.spare = append(a.spare, uint32(i))
		return
	}
	c, _ := class(units)
	setWord(a.bytesAt(off, arenaUnit), a.free[c])
	a.free[c] = off + 1
}

func readWord(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func setWord(b []byte, v uint64) {
	_ = b[7]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
}
