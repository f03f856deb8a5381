package flow

import (
	"math"

	"github.com/tidemill/tidemill/internal/state"
)

// wordList is a word for each of an operator's groups or the like, 0 unless it was set.
type wordList struct{ pages *state.Pages }

func newWordList(mem *state.Memory) wordList { return wordList{state.NewPages(mem, 1)} }

func (l wordList) at(i uint32) uint64 {
	if int(i) >= l.pages.Cap() {
		return 0
	}
	return l.pages.At(i)[0]
}

func (l wordList) set(i uint32, v uint64) {
	if l.at(i) == v {
		return
	}
	l.pages.Grow(int(i) + 1)
	l.pages.Edit(i)[0] = v
}

func (l wordList) persist(p *state.Persist) { p.Pages(l.pages) }

func (l wordList) bytes() int64 { return l.pages.Bytes() }

// agenda knows of each group when it is due, and so has it in a calendar once at a
// time: an earlier time takes the place of a later one.
type agenda struct{ words wordList } // times less notPlanned, so that 0 is that

// notPlanned is the time of groups that are not due.
const notPlanned = math.MaxInt64

func newAgenda(mem *state.Memory) agenda { return agenda{newWordList(mem)} }

// at is when group g is due.
func (a agenda) at(g uint32) int64 { return int64(a.words.at(g) ^ notPlanned) }

// set makes group g due at t.
func (a agenda) set(g uint32, t int64) { a.words.set(g, uint64(t)^notPlanned) }

// bring makes group g due at t and reports true, unless it is due before that.
func (a agenda) bring(g uint32, t int64) bool {
	if t >= a.at(g) {
		return false
	}
	a.set(g, t)
	return true
}

func (a agenda) persist(p *state.Persist) { a.words.persist(p) }

func (a agenda) bytes() int64 { return a.words.bytes() }
