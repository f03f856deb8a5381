// Package pattern holds row patterns, the regular expressions of SQL's
// MATCH_RECOGNIZE, and the machine that looks for them: it says which rows of a
// sequence a pattern takes, and as which variable, in the standard's order of
// preference. It knows nothing of rows: its caller tells whether a row fits a variable.
package pattern

import (
	"fmt"
	"strconv"
	"strings"
)

// Op is the kind of a Node.
type Op uint8

// The kinds of nodes.
const (
	Var     Op = iota // one row that fits Node.Var
	Concat            // Kids one after the other; none: the empty pattern
	Alt               // the first of Kids that leads to a match
	Permute           // Kids in any order, the order written preferred
	Repeat            // Kids[0], Min to Max times
	Exclude           // Kids[0], whose rows are not shown
	Start             // ^: before the first row
	End               // $: after the last row
)

// Node is a row pattern. Nodes are immutable once built.
type Node struct {
	Op        Op
	Var       int // of Var: its number
	Kids      []*Node
	Min, Max  int // of Repeat; Max < 0 is no bound
	Reluctant bool
}

// MaxVars is how many variables a pattern may have: sets of them are words.
const MaxVars = 64

// MaxCode bounds the length of a compiled pattern: x{n} is n times x, and
// PERMUTE of n parts has n! orders.
const MaxCode = 1 << 14

// Format prints the pattern with the variables' names.
func (n *Node) Format(names []string) string {
	var b strings.Builder
	n.print(&b, names, 0)
	return b.String()
}

// print writes n in parentheses where it binds less than level: 0 alternatives, 1
// concatenation, 2 quantified.
func (n *Node) print(b *strings.Builder, names []string, level int) {
	switch n.Op {
	case Var:
		b.WriteString(names[n.Var])
	case Start:
		b.WriteString("^")
	case End:
		b.WriteString("$")
	case Exclude:
		b.WriteString("{- ")
		n.Kids[0].print(b, names, 0)
		b.WriteString(" -}")
	case Permute:
		b.WriteString("PERMUTE(")
		n.list(b, names, ", ", 0)
		b.WriteString(")")
	case Alt:
		n.wrapped(b, names, " | ", level > 0, 1)
	case Concat:
		n.wrapped(b, names, " ", level > 1 || len(n.Kids) == 0, 2)
	case Repeat:
		if k := n.Kids[0]; k.Op == Repeat {
			b.WriteString("(")
			k.print(b, names, 0)
			b.WriteString(")")
		} else {
			k.print(b, names, 2)
		}
		b.WriteString(n.quantifier())
	}
}

func (n *Node) wrapped(b *strings.Builder, names []string, sep string, parens bool, level int) {
	if parens {
		b.WriteString("(")
	}
	n.list(b, names, sep, level)
	if parens {
		b.WriteString(")")
	}
}

func (n *Node) list(b *strings.Builder, names []string, sep string, level int) {
	for i, k := range n.Kids {
		if i > 0 {
			b.WriteString(sep)
		}
		k.print(b, names, level)
	}
}

func (n *Node) quantifier() string {
	q := ""
	switch {
	case n.Min == 0 && n.Max < 0:
		q = "*"
	case n.Min == 1 && n.Max < 0:
		q = "+"
	case n.Min == 0 && n.Max == 1:
		q = "?"
	case n.Max < 0:
		q = "{" + strconv.Itoa(n.Min) + ",}"
	case n.Min == n.Max:
		q = "{" + strconv.Itoa(n.Min) + "}"
	default:
		q = "{" + strconv.Itoa(n.Min) + "," + strconv.Itoa(n.Max) + "}"
	}
	if n.Reluctant {
		q += "?"
	}
	return q
}

// Program is a compiled pattern.
type Program struct {
	code     []inst
	first    uint64 // variables that may take the first row
	nullable bool
	ends     bool // there is a $
	starts   bool // there is a ^
	before   [MaxVars]int
}

// inst is one instruction.
type inst struct {
	op   opcode
	excl bool  // of opVar: the row is excluded from the output
	v    uint8 // of opVar
	x, y int32 // of opSplit: where to go on, preferred first; of opJump: x
}

type opcode uint8

const (
	opVar   opcode = iota // takes a row, then goes on with the next instruction
	opSplit               // goes on at x and, as the second choice, at y
	opJump                // goes on at x
	opStart               // goes on if no row of the partition comes before
	opEnd                 // goes on if no row comes any more
	opMatch
)

// ErrTooLarge says that a pattern is too large when it is written out.
type ErrTooLarge struct{}

// Error implements error.
func (ErrTooLarge) Error() string {
	return fmt.Sprintf("row pattern is too large: written out it has more than %d parts", MaxCode)
}

// Compile makes a program of a pattern whose variables are numbered below MaxVars.
// The error is ErrTooLarge.
func Compile(n *Node) (p *Program, err error) {
	c := &compiler{p: &Program{}}
	if !c.node(n) {
		return nil, ErrTooLarge{}
	}
	c.emit(inst{op: opMatch})
	c.p.analyse()
	return c.p, nil
}

type compiler struct {
	p     *Program
	excl  bool
	split splitter
}

func (c *compiler) emit(i inst) int {
	c.p.code = append(c.p.code, i)
	return len(c.p.code) - 1
}

func (c *compiler) at() int32 { return int32(len(c.p.code)) }

// node emits n; false if the program becomes too large.
func (c *compiler) node(n *Node) bool {
	if len(c.p.code) >= MaxCode {
		return false
	}
	switch n.Op {
	case Var:
		c.emit(inst{op: opVar, v: uint8(n.Var), excl: c.excl})
	case Start:
		c.p.starts = true
		c.emit(inst{op: opStart})
	case End:
		c.p.ends = true
		c.emit(inst{op: opEnd})
	case Concat:
		return c.all(n.Kids)
	case Alt:
		return c.alternatives(len(n.Kids), func(i int) bool { return c.node(n.Kids[i]) })
	case Exclude:
		was := c.excl
		c.excl = true
		ok := c.node(n.Kids[0])
		c.excl = was
		return ok
	case Permute:
		return c.permute(n.Kids)
	case Repeat:
		return c.repeat(n)
	}
	return true
}

func (c *compiler) all(kids []*Node) bool {
	for _, k := range kids {
		if !c.node(k) {
			return false
		}
	}
	return true
}

// alternatives emits n ways to go on, preferred first.
func (c *compiler) alternatives(n int, way func(i int) bool) bool {
	var ends []int
	for i := range n {
		split := -1
		if i < n-1 {
			split = c.emit(inst{op: opSplit, x: c.at() + 1})
		}
		if !way(i) {
			return false
		}
		if i < n-1 {
			ends = append(ends, c.emit(inst{op: opJump}))
			c.p.code[split].y = c.at()
		}
	}
	for _, e := range ends {
		c.p.code[e].x = c.at()
	}
	return true
}

// permute emits the kids in all orders, in lexicographic order: the first is one of
// them, and behind it are the permutations of the others.
func (c *compiler) permute(kids []*Node) bool {
	if len(kids) <= 1 {
		return c.all(kids)
	}
	return c.alternatives(len(kids), func(i int) bool {
		rest := append(append([]*Node(nil), kids[:i]...), kids[i+1:]...)
		return c.node(kids[i]) && c.permute(rest)
	})
}

// repeat emits a quantified part. An iteration that may be left out must take a row.
func (c *compiler) repeat(n *Node) bool {
	x := n.Kids[0]
	full := x // the part in iterations that may be left out
	if x.nullable() {
		var ok bool
		if full, ok = c.split.nonEmpty(x); !ok {
			return false
		}
	}
	copies := n.Min
	loops := n.Max < 0 && n.Min > 0 && full == x
	if loops {
		copies-- // the last is the loop's
	}
	for range copies {
		if !c.node(x) {
			return false
		}
	}
	switch {
	case full == nil || n.Max == n.Min:
	case loops:
		loop := c.at()
		if !c.node(x) {
			return false
		}
		split := c.emit(inst{op: opSplit})
		c.branch(split, loop, c.at(), n.Reluctant)
	case n.Max < 0:
		split := c.emit(inst{op: opSplit})
		if !c.node(full) {
			return false
		}
		c.emit(inst{op: opJump, x: int32(split)})
		c.branch(split, int32(split)+1, c.at(), n.Reluctant)
	default:
		var splits []int
		for range n.Max - n.Min {
			splits = append(splits, c.emit(inst{op: opSplit}))
			if !c.node(full) {
				return false
			}
		}
		for _, s := range splits {
			c.branch(s, int32(s)+1, c.at(), n.Reluctant)
		}
	}
	return true
}

// nullable reports whether n may take no row.
func (n *Node) nullable() bool {
	switch n.Op {
	case Var:
		return false
	case Start, End:
		return true
	case Alt:
		for _, k := range n.Kids {
			if k.nullable() {
				return true
			}
		}
		return false
	case Repeat:
		return n.Min == 0 || n.Kids[0].nullable()
	}
	for _, k := range n.Kids {
		if !k.nullable() {
			return false
		}
	}
	return true
}

// branch makes a split of going on with the part at more, and with what follows at out.
func (c *compiler) branch(split int, more, out int32, reluctant bool) {
	in := &c.p.code[split]
	if in.x, in.y = more, out; reluctant {
		in.x, in.y = out, more
	}
}

// analyse finds how few rows come before each variable.
func (p *Program) analyse() {
	for v := range p.before {
		p.before[v] = -1
	}
	seen := make([]bool, len(p.code))
	now, next := []int32{0}, []int32(nil)
	for rows := 0; len(now) > 0; rows++ {
		for len(now) > 0 {
			pc := now[len(now)-1]
			now = now[:len(now)-1]
			if seen[pc] {
				continue
			}
			seen[pc] = true
			switch in := p.code[pc]; in.op {
			case opVar:
				if p.before[in.v] < 0 {
					p.before[in.v] = rows
				}
				if rows == 0 {
					p.first |= 1 << in.v
				}
				next = append(next, pc+1)
			case opSplit:
				now = append(now, in.x, in.y)
			case opJump:
				now = append(now, in.x)
			case opMatch:
				p.nullable = p.nullable || rows == 0
			default:
				now = append(now, pc+1)
			}
		}
		now, next = next, now
	}
}

// First returns the set of variables that may take the first row of a match.
func (p *Program) First() uint64 { return p.first }

// Nullable reports whether a match may be empty.
func (p *Program) Nullable() bool { return p.nullable }

// Anchored reports whether the pattern asks for the partition's start, or its end.
func (p *Program) Anchored() (start, end bool) { return p.starts, p.ends }

// Before returns how many rows of a match at least come before the first that fits
// variable v; -1 if none ever does.
func (p *Program) Before(v int) int { return p.before[v] }
