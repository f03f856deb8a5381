package pattern

// An iteration of a quantified part that may be left out must take a row: else a
// loop need not end. Where the part may match without rows, the machine's way of
// dropping threads that come where one has been would also drop ways that are
// preferred, since a thread may come back to a loop's begin before it has tried all
// that is behind it. So such a part is replaced, in iterations that may be left out,
// by one that has its matches with rows only, in their order of preference.
//
// To that end a part is written as a list of alternatives, preferred first: ones that
// always take a row, and ones that take none and at most ask for the partition's start
// or end. ((a?) b?) has a b?, b, and nothing.

// way is one alternative.
type way struct {
	node *Node // takes a row; nil: none is taken
	ask  ask   // of a way without rows
}

// ask is what a way without rows needs.
type ask uint8

const (
	askStart ask = 1 << iota
	askEnd
)

// splitter writes parts as ways. Parts are the same node wherever they are repeated,
// so each is split once.
type splitter struct {
	done map[*Node][]way
	size int // ways made
	full bool
}

// nonEmpty returns n's matches with rows, nil if there are none. It reports false if
// there are too many ways.
func (s *splitter) nonEmpty(n *Node) (*Node, bool) {
	alt := &Node{Op: Alt}
	for _, w := range s.ways(n) {
		if w.node != nil {
			alt.Kids = append(alt.Kids, w.node)
		}
	}
	if len(alt.Kids) == 0 {
		return nil, !s.full
	}
	return alt, !s.full
}

func (s *splitter) ways(n *Node) []way {
	if ws, ok := s.done[n]; ok {
		return ws
	}
	var ws []way
	switch n.Op {
	case Var:
		ws = []way{{node: n}}
	case Start:
		ws = []way{{ask: askStart}}
	case End:
		ws = []way{{ask: askEnd}}
	case Alt:
		for _, k := range n.Kids {
			ws = append(ws, s.ways(k)...)
		}
	case Exclude:
		for _, w := range s.ways(n.Kids[0]) {
			if w.node != nil {
				w.node = &Node{Op: Exclude, Kids: []*Node{w.node}}
			}
			ws = append(ws, w)
		}
	case Concat:
		ws = s.concat(n.Kids)
	case Permute:
		ws = s.permute(nil, n.Kids)
	case Repeat:
		ws = s.repeat(n)
	}
	ws = s.prune(ws)
	if s.done == nil {
		s.done = map[*Node][]way{}
	}
	s.done[n] = ws
	return ws
}

// prune drops ways without rows that ask for no less than one before them.
func (s *splitter) prune(ws []way) []way {
	var out []way
	var asked []ask
next:
	for _, w := range ws {
		if w.node == nil {
			for _, a := range asked {
				if a&w.ask == a {
					continue next
				}
			}
			asked = append(asked, w.ask)
		}
		out = append(out, w)
	}
	if s.size += len(out); s.size > MaxCode {
		s.full = true
		return nil
	}
	return out
}

// concat combines the ways of the first of kids with those of the others.
func (s *splitter) concat(kids []*Node) []way {
	if len(kids) == 0 {
		return []way{{}}
	}
	if len(kids) == 1 {
		return s.ways(kids[0])
	}
	rest := &Node{Op: Concat, Kids: kids[1:]}
	var out []way
	for _, w := range s.ways(kids[0]) {
		if s.full {
			return nil
		}
		if w.node != nil {
			out = append(out, way{node: &Node{Op: Concat, Kids: []*Node{w.node, rest}}})
			continue
		}
		for _, v := range s.ways(rest) {
			if v.node != nil {
				v.node = w.ask.before(v.node)
			}
			v.ask |= w.ask
			out = append(out, v)
		}
	}
	return out
}

// before returns n with what is asked for ahead of it.
func (a ask) before(n *Node) *Node {
	if a&askEnd != 0 {
		n = &Node{Op: Concat, Kids: []*Node{{Op: End}, n}}
	}
	if a&askStart != 0 {
		n = &Node{Op: Concat, Kids: []*Node{{Op: Start}, n}}
	}
	return n
}

// permute lists the orders of kids behind the parts chosen already.
func (s *splitter) permute(chosen, kids []*Node) []way {
	if len(kids) == 0 {
		return s.ways(&Node{Op: Concat, Kids: chosen})
	}
	var out []way
	for i, k := range kids {
		if s.full {
			return nil
		}
		rest := append(append([]*Node(nil), kids[:i]...), kids[i+1:]...)
		out = append(out, s.permute(append(append([]*Node(nil), chosen...), k), rest)...)
	}
	return out
}

// repeat has n.Min parts that may be without rows, and then iterations that may not.
func (s *splitter) repeat(n *Node) []way {
	x := n.Kids[0]
	var more []way
	if full, _ := s.nonEmpty(x); full != nil && n.Max != n.Min {
		most := n.Max
		if most > 0 {
			most -= n.Min
		}
		more = []way{{node: &Node{Op: Repeat, Kids: []*Node{full}, Min: 1, Max: most, Reluctant: n.Reluctant}}}
	}
	nothing := way{}
	if n.Reluctant {
		more = append([]way{nothing}, more...)
	} else {
		more = append(more, nothing)
	}
	if n.Min == 0 {
		return more
	}
	if n.Min > MaxCode {
		s.full = true
		return nil
	}
	kids := make([]*Node, n.Min, n.Min+1)
	for i := range kids {
		kids[i] = x
	}
	rest := &Node{Op: Repeat, Kids: n.Kids, Max: n.Max, Reluctant: n.Reluctant}
	if rest.Max > 0 {
		rest.Max -= n.Min
	}
	if rest.Max != 0 {
		kids = append(kids, rest)
	}
	return s.concat(kids)
}
