package pattern

import "fmt"

// A search for a match from one start row keeps a list of threads, ordered by
// preference, each a way to go on with the pattern: all take the next row at once,
// and a thread that has come to the pattern's end makes those behind it needless.
// So the search never goes back over rows, a match is known once no thread is before
// it, and a search can be left and taken up when more rows come.
// Source: Pike's machine, in Cox, "Regular expression matching: the virtual machine
// approach", 2009, with what threads remember of the rows they took.
//
// Two threads at one place of the pattern have the same future if they remember the
// same, so the less preferred one is dropped. Without memory there are at most as
// many threads as the pattern has parts.

const (
	// MaxThreads bounds the threads of one search.
	MaxThreads = 4096
	// MaxRows bounds the rows of one search.
	MaxRows = 1 << 20
	// A search may take freeSteps steps, and rowSteps more for each of its rows: a
	// pattern that needs more has ways that multiply with every row.
	freeSteps = 1 << 18
	rowSteps  = 256
)

// Track is something that threads remember of their rows.
type Track struct {
	Kind  TrackKind
	Vars  uint64 // of rows that fit these variables
	Rows  int    // how many of them, at least 1; not for Every
	Label bool   // rows of different variables are different
}

// TrackKind says which rows a Track is about.
type TrackKind uint8

// The kinds of tracks.
const (
	Firsts TrackKind = iota // the first rows, in order; -1 where there is none yet
	Lasts                   // the last rows, latest first; -1 where there is none yet
	Every                   // a digest of all rows
)

// words is how many words of a thread's memory the track takes.
func (t *Track) words() int {
	if t.Kind == Every {
		return 1
	}
	return t.Rows
}

// Tester tells whether the row being fed fits variable v, for a thread that took the
// rows of history node hist and remembers regs.
type Tester interface {
	Test(v int, hist int32, regs []int64) bool
}

// Machine runs a program. It has scratch memory of its own: one goroutine at a time.
type Machine struct {
	prog   *Program
	tracks []Track
	offs   []int
	words  int // of a thread's memory
	stamp  []uint32
	turn   uint32
	at     []int32 // by instruction: 1 + index of the last thread there, with words > 0
	cut    bool
	atEnd  bool
	first  bool
	limit  Limit
	regs   []int64 // of the thread being followed
	// Threads for the row after the one being fed.
	next    []thread
	nextReg []int64

	// What is known of searches that began earlier, with Remember.
	wide   int      // words of a set of instructions; 0: nothing is remembered
	dead   []uint64 // sets, by row: threads that wait there for a row find no match
	deadAt int64    // row of the first set
	row    int      // where in dead the row is that threads are entered for, -1 if it is not
}

// NewMachine returns a machine whose threads remember tracks. The i-th track's
// words are at Offset(i) of a thread's memory.
func NewMachine(p *Program, tracks []Track) *Machine {
	m := &Machine{prog: p, tracks: tracks, stamp: make([]uint32, len(p.code))}
	for i := range tracks {
		m.offs = append(m.offs, m.words)
		m.words += tracks[i].words()
	}
	if m.words > 0 {
		m.at = make([]int32, len(p.code))
	}
	m.regs = make([]int64, m.words)
	return m
}

// Offset returns where the words of track i begin.
func (m *Machine) Offset(i int) int { return m.offs[i] }

// Taken is a row that a thread took.
type Taken struct {
	before   int32 // history node of the row before, -1 if none
	Row      int32 // number of the row from the start row on
	Var      uint8
	Excluded bool
}

// Search is the state of the search from one start row. The zero value is ready for
// Begin and keeps its memory for the next one. Nothing in it is a pointer but its lists.
type Search struct {
	threads []thread
	regs    []int64 // what threads remember
	hist    []Taken
	best    int32 // history node of the best match, or one of the values below
	rows    int32 // fed so far
	first   int64 // row of the partition that it began at
	steps   int64
	gen     int      // rises when history nodes get other numbers
	seen    []uint64 // sets of instructions at which threads waited, by row
	squeeze int      // length of hist at which what no thread needs is dropped
}

type thread struct {
	pc   int32
	hist int32
	prev int32 // 1 + index of the thread before at the same place, with memory
}

// Values of best.
const (
	emptyMatch = -1
	noMatch    = -2
)

// Limit says why a search had to be given up.
type Limit uint8

// The limits.
const (
	NoLimit Limit = iota
	LimitThreads
	LimitSteps
	LimitRows
)

// String names the limit for an error message.
func (l Limit) String() string {
	switch l {
	case LimitThreads:
		return fmt.Sprintf("more than %d ways to go on at one row", MaxThreads)
	case LimitSteps:
		return fmt.Sprintf("more than %d steps, and %d for each row", freeSteps, rowSteps)
	case LimitRows:
		return fmt.Sprintf("more than %d rows in one match", MaxRows)
	}
	return "none"
}

// Begin starts a search from row at of the partition, counted from 0. It
// reports whether the search is over: what is preferred is an empty match.
func (m *Machine) Begin(s *Search, at int64) bool {
	s.threads, s.regs, s.hist = s.threads[:0], s.regs[:0], s.hist[:0]
	s.best, s.rows, s.steps, s.squeeze = noMatch, 0, 0, 1<<12
	s.gen++
	for i := range m.tracks {
		init := int64(-1)
		if m.tracks[i].Kind == Every {
			init = 0
		}
		for k := range m.tracks[i].words() {
			m.regs[m.offs[i]+k] = init
		}
	}
	s.first, s.seen = at, s.seen[:0]
	m.begin(at == 0, false)
	m.aim(s, 0)
	m.follow(s, 0, emptyMatch)
	m.swap(s)
	m.see(s)
	return len(s.threads) == 0
}

// begin starts a round of follow.
func (m *Machine) begin(first, end bool) {
	m.cut, m.first, m.atEnd, m.limit = false, first, end, NoLimit
	m.newTurn()
}

func (m *Machine) newTurn() {
	if m.turn++; m.turn == 0 {
		clear(m.stamp)
		m.turn = 1
	}
}

// swap makes the threads that were entered those of s.
func (m *Machine) swap(s *Search) {
	if m.at != nil {
		for _, t := range m.next {
			m.at[t.pc] = 0
		}
	}
	s.threads, m.next = append(s.threads[:0], m.next...), m.next[:0]
	s.regs, m.nextReg = append(s.regs[:0], m.nextReg...), m.nextReg[:0]
}

// follow goes on from instruction pc, with hist and m.regs, to all instructions
// that need a row, in order of preference.
func (m *Machine) follow(s *Search, pc, hist int32) {
	for !m.cut {
		s.steps++
		in := &m.prog.code[pc]
		if in.op == opVar || in.op == opEnd && !m.atEnd {
			m.wait(s, pc, hist)
			return
		}
		if m.stamp[pc] == m.turn {
			return
		}
		m.stamp[pc] = m.turn
		switch in.op {
		case opSplit:
			m.follow(s, in.x, hist)
			pc = in.y
		case opJump:
			pc = in.x
		case opStart:
			if !m.first {
				return
			}
			pc++
		case opEnd:
			pc++
		case opMatch:
			s.best, m.cut = hist, true
		}
	}
}

// wait enters a thread that needs the next row, unless one like it is there.
func (m *Machine) wait(s *Search, pc, hist int32) {
	if m.atEnd {
		return
	}
	if m.words == 0 {
		if m.stamp[pc] == m.turn {
			return
		}
		m.stamp[pc] = m.turn
		if m.row >= 0 && m.dead[m.row+int(pc>>6)]>>(pc&63)&1 != 0 {
			return
		}
	} else if m.known(s, pc) {
		return
	}
	if len(m.next) >= MaxThreads {
		m.limit = LimitThreads
		m.cut = true
		return
	}
	if m.words == 0 {
		m.next = append(m.next, thread{pc: pc, hist: hist})
		return
	}
	m.next = append(m.next, thread{pc, hist, m.at[pc]})
	m.nextReg = append(m.nextReg, m.regs...)
	m.at[pc] = int32(len(m.next))
}

// known reports whether a thread at pc remembers what m.regs does.
func (m *Machine) known(s *Search, pc int32) bool {
next:
	for k := m.at[pc]; k != 0; k = m.next[k-1].prev {
		s.steps++
		for i, v := range m.nextReg[int(k-1)*m.words : int(k)*m.words] {
			if v != m.regs[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// Feed gives the search its next row. It reports whether the search is over, and
// why, if it had to be given up.
func (m *Machine) Feed(s *Search, t Tester) (over bool, limit Limit) {
	m.begin(false, false)
	m.aim(s, s.rows+1)
	for k := range s.threads {
		th := s.threads[k]
		in := &m.prog.code[th.pc]
		if in.op == opEnd {
			continue
		}
		s.steps++
		regs := s.regs[k*m.words : (k+1)*m.words]
		if !t.Test(int(in.v), th.hist, regs) {
			continue
		}
		if m.words > 0 {
			copy(m.regs, regs)
			m.remember(in.v, int64(s.rows))
			m.newTurn()
		}
		s.hist = append(s.hist, Taken{before: th.hist, Row: s.rows, Var: in.v, Excluded: in.excl})
		m.follow(s, th.pc+1, int32(len(s.hist)-1))
		if m.cut {
			break
		}
	}
	m.swap(s)
	m.see(s)
	s.rows++
	switch {
	case m.limit != NoLimit:
		return true, m.limit
	case len(s.threads) == 0:
		return true, NoLimit
	case s.rows >= MaxRows:
		return true, LimitRows
	case s.steps > freeSteps+rowSteps*int64(s.rows):
		return true, LimitSteps
	}
	if len(s.hist) > s.squeeze {
		s.drop()
	}
	return false, NoLimit
}

// remember notes in m.regs that row was taken as variable v.
func (m *Machine) remember(v uint8, row int64) {
	for i := range m.tracks {
		t := &m.tracks[i]
		if t.Vars&(1<<v) == 0 {
			continue
		}
		r := m.regs[m.offs[i] : m.offs[i]+t.words()]
		x := row << 8
		if t.Label {
			x |= int64(v) + 1
		}
		switch t.Kind {
		case Firsts:
			for k := range r {
				if r[k] < 0 {
					r[k] = x
					break
				}
			}
		case Lasts:
			copy(r[1:], r)
			r[0] = x
		case Every:
			r[0] = int64(mix(uint64(r[0]) ^ mix(uint64(x)+1)))
		}
	}
}

// Row returns the row that a word of a Firsts or Lasts track stands for, from the
// start row on, and its variable if the track has labels; -1 if there is none.
func Row(word int64) (row int, label int) {
	if word < 0 {
		return -1, -1
	}
	return int(word >> 8), int(word&0xff) - 1
}

// mix spreads the bits of x.
// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// End ends a search after the rows it has been fed; last says that no more rows come
// in the partition, which is what $ waits for.
func (m *Machine) End(s *Search, last bool) {
	if last {
		for k := range s.threads {
			th := s.threads[k]
			if m.prog.code[th.pc].op != opEnd {
				continue
			}
			m.begin(false, true)
			if m.follow(s, th.pc, th.hist); m.cut {
				break
			}
		}
	}
	s.threads = s.threads[:0]
}

// Rows returns how many rows the search has been fed.
func (s *Search) Rows() int { return int(s.rows) }

// Generation changes when the numbers of history nodes do.
func (s *Search) Generation() int { return s.gen }

// Steps returns how much work the search was.
func (s *Search) Steps() int64 { return s.steps }

// Open reports whether the search needs more rows.
func (s *Search) Open() bool { return len(s.threads) > 0 }

// Match appends the rows of the match to dst, in order; false if there is none.
func (s *Search) Match(dst []Taken) ([]Taken, bool) {
	if s.best == noMatch {
		return dst, false
	}
	return s.Path(dst, s.best), true
}

// Path appends the rows that lead to history node hist to dst, in order.
func (s *Search) Path(dst []Taken, hist int32) []Taken {
	from := len(dst)
	for h := hist; h >= 0; h = s.hist[h].before {
		dst = append(dst, s.hist[h])
	}
	for i, j := from, len(dst)-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}

// Last returns the row of history node hist, and the node before it.
func (s *Search) Last(hist int32) (Taken, int32) { return s.hist[hist], s.hist[hist].before }

// Bytes returns the memory held.
func (s *Search) Bytes() int64 {
	return int64(cap(s.threads))*12 + int64(cap(s.regs))*8 + int64(cap(s.hist))*12 + int64(cap(s.seen))*8
}

// drop forgets the rows that no thread and no match has. A node comes after the one
// before it, so one pass from the end finds what is needed, and one from the start
// moves it.
func (s *Search) drop() {
	keep := make([]int32, len(s.hist))
	for _, t := range s.threads {
		if t.hist >= 0 {
			keep[t.hist] = 1
		}
	}
	if s.best >= 0 {
		keep[s.best] = 1
	}
	for h := len(s.hist) - 1; h >= 0; h-- {
		if b := s.hist[h].before; keep[h] != 0 && b >= 0 {
			keep[b] = 1
		}
	}
	n := int32(0)
	for h := range s.hist {
		if keep[h] == 0 {
			continue
		}
		x := s.hist[h]
		if x.before >= 0 {
			x.before = keep[x.before] - 1
		}
		s.hist[n] = x
		n++
		keep[h] = n
	}
	for k := range s.threads {
		if h := s.threads[k].hist; h >= 0 {
			s.threads[k].hist = keep[h] - 1
		}
	}
	if s.best >= 0 {
		s.best = keep[s.best] - 1
	}
	s.hist = s.hist[:n]
	s.gen++
	s.squeeze = max(1<<12, 2*int(n))
}

// Charge counts n more steps of work for the search.
func (s *Search) Charge(n int) { s.steps += int64(n) }
