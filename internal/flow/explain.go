package flow

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// Hash identifies what the circuit computes: equal hashes mean the same nodes with
// the same parameters and types. Names of columns have no part in it.
func (s *Spec) Hash() [32]byte {
	h := sha256.New()
	for i := range s.Nodes {
		n := &s.Nodes[i]
		fmt.Fprintf(h, "%d %q in=%v out=[", i, n.Op.Describe(), n.In)
		for _, t := range n.Out {
			fmt.Fprintf(h, "%d.%d.%d ", t.Kind, t.Elem, t.Mod)
		}
		fmt.Fprint(h, "]\n")
	}
	return [32]byte(h.Sum(nil))
}

// ExplainOptions say what Explain prints besides the operators.
type ExplainOptions struct {
	// Workers, if above 1, shows the circuit as so many workers run it, with exchanges.
	Workers int
	// Counters, of a group with as many workers, are printed next to the operators.
	Counters []Counters
	// Before are the counters as they were the time Over ago; rates are printed if
	// there are any.
	Before []Counters
	Over   time.Duration
	// Bounds, if not nil, says how the operators' states grow.
	Bounds *Bounds
}

// Explain prints the circuit as a tree, outputs at the top and below each operator
// the ones it reads, indented. An operator that several read is printed once,
// with a number, and referred to after that.
func (s *Spec) Explain(opt ExplainOptions) string {
	e := s.explainer(opt)
	e.readers = make([]int, len(e.nodes))
	for _, n := range e.nodes {
		for _, x := range n.in {
			e.readers[x]++
		}
	}
	e.number = make([]int, len(e.nodes))
	for i := range e.nodes {
		if e.readers[i] == 0 {
			e.print(i, 0)
		}
	}
	return e.out.String()
}

// Unbounded names the operators whose state grows with every row, as Explain does,
// with the reason.
func (s *Spec) Unbounded(b *Bounds) []string {
	e := s.explainer(ExplainOptions{})
	var out []string
	for i, n := range b.Nodes {
		if n.Growth == ByRows && n.Why != "" {
			out = append(out, e.text(&e.nodes[i])+": "+e.why(&e.nodes[i], n))
		}
	}
	return out
}

// OperatorText is how EXPLAIN names a running operator and its state.
type OperatorText struct {
	Text  string
	State string // "" if it has none
}

// Operators names the operators as so many workers run them, in the order of
// Group.Counters. b may be nil.
func (s *Spec) Operators(workers int, b *Bounds) []OperatorText {
	e := &explainer{spec: s, nodes: place(s, max(workers, 1))}
	out := make([]OperatorText, len(e.nodes))
	for i := range e.nodes {
		n := &e.nodes[i]
		out[i].Text = e.text(n)
		if b != nil && n.op == s.Nodes[n.node].Op {
			out[i].State = e.why(n, b.Nodes[n.node])
		}
	}
	return out
}

func (s *Spec) explainer(opt ExplainOptions) *explainer {
	e := &explainer{spec: s, nodes: place(s, max(opt.Workers, 1)), opt: opt}
	if opt.Workers <= 1 && opt.Counters == nil {
		e.nodes = asWritten(s)
	}
	return e
}

// asWritten takes the nodes of a spec as they are.
func asWritten(s *Spec) []placed {
	out := make([]placed, len(s.Nodes))
	for i := range s.Nodes {
		n := &s.Nodes[i]
		out[i] = placed{node: i, op: n.Op, in: n.In, out: n.Out}
	}
	return out
}

type explainer struct {
	spec    *Spec
	nodes   []placed
	opt     ExplainOptions
	readers []int
	number  []int // of nodes with several readers that are printed; 0 if not yet
	last    int
	out     strings.Builder
}

func (e *explainer) print(i, depth int) {
	n := &e.nodes[i]
	e.out.WriteString(strings.Repeat("  ", depth))
	if e.number[i] > 0 {
		fmt.Fprintf(&e.out, "[%d] as above\n", e.number[i])
		return
	}
	if e.readers[i] > 1 {
		e.last++
		e.number[i] = e.last
		fmt.Fprintf(&e.out, "[%d] ", e.last)
	}
	e.out.WriteString(e.text(n))
	if b := e.opt.Bounds; b != nil && n.op == e.spec.Nodes[n.node].Op && b.Nodes[n.node].Why != "" {
		e.out.WriteString(" [state: " + e.why(n, b.Nodes[n.node]) + "]")
	}
	e.out.WriteString(e.watermarks(i))
	if i < len(e.opt.Counters) {
		e.out.WriteString(" (" + e.opt.Counters[i].String() + e.rates(i) + ")")
	}
	e.out.WriteByte('\n')
	for _, x := range n.in {
		e.print(x, depth+1)
	}
}

// rates says how fast node i has been since Before.
func (e *explainer) rates(i int) string {
	secs := e.opt.Over.Seconds()
	if i >= len(e.opt.Before) || secs <= 0 {
		return ""
	}
	was, is := e.opt.Before[i], e.opt.Counters[i]
	return fmt.Sprintf("; now in=%.0f/s out=%.0f/s busy=%.1f%%", float64(is.RowsIn-was.RowsIn)/secs,
		float64(is.RowsOut-was.RowsOut)/secs, float64(is.Nanos-was.Nanos)/secs/1e7)
}

// watermarks names the columns that have watermarks, with what they are if that is known.
func (e *explainer) watermarks(i int) string {
	n := &e.nodes[i]
	b := e.opt.Bounds
	if b == nil || n.op != e.spec.Nodes[n.node].Op {
		return ""
	}
	var list []string
	names := e.names(i)
	for c, has := range b.TimeColumns[n.node] {
		if !has {
			continue
		}
		s := "#" + strconv.Itoa(c)
		if c < len(names) && names[c] != "" {
			s = word(names[c])
		}
		if t := n.out[c]; i < len(e.opt.Counters) && (t.Kind == types.Timestamp || t.Kind == types.TimestampTZ) {
			switch m := e.opt.Counters[i].Marks[c]; m {
			case NoMark:
				s += " none yet"
			case FinalMark:
				s += " final"
			default:
				s += " " + string(types.AppendText(nil, types.IntValue(types.Timestamp, m), types.Style{}))
			}
		}
		list = append(list, s)
	}
	if list == nil {
		return ""
	}
	return " [watermark: " + strings.Join(list, ", ") + "]"
}

// why is the reason of a bound with names in place of column numbers.
func (e *explainer) why(n *placed, b Bound) string {
	var all []string
	for _, x := range n.in {
		all = append(all, e.names(x)...)
	}
	return named(b.Why, all)
}

// text is the operator's description with names in place of column numbers.
func (e *explainer) text(n *placed) string {
	var in [][]string
	var all []string
	for _, x := range n.in {
		names := e.names(x)
		in = append(in, names)
		all = append(all, names...)
	}
	if j, ok := n.op.(*Join); ok && len(in) == 2 {
		keys := *j
		keys.On, keys.Between = nil, nil
		s := keys.Describe()
		if at := strings.Index(s, " right="); at >= 0 {
			s = named(s[:at], in[0]) + named(s[at:], in[1])
		}
		if b := j.Between; b != nil {
			s += named(b.text(strconv.Itoa(b.Left), strconv.Itoa(len(in[0])+b.Right)), all)
		}
		if j.On != nil {
			s += named(" on="+j.On.String(), all)
		}
		return s
	}
	if d, ok := n.op.(sided); ok && len(in) == 2 {
		return named(d.describe(len(in[0])), all)
	}
	return named(n.op.Describe(), all)
}

// names returns the column names of a node, as far as its spec node says.
func (e *explainer) names(at int) []string {
	for {
		n := &e.nodes[at]
		spec := &e.spec.Nodes[n.node]
		switch {
		case spec.Op == n.op && (spec.Names != nil || len(n.in) == 0):
			return spec.Names
		case len(n.in) == 0 || len(e.nodes[n.in[0]].out) != len(n.out):
			return make([]string, len(n.out))
		}
		at = n.in[0] // an operator that was put in, or one that passes its columns on
		if _, ok := n.op.(*Project); ok {
			return make([]string, len(n.out))
		}
	}
}

// named replaces #i outside of quotes by the i-th name, where there is one.
func named(s string, names []string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); {
		ch := s[i]
		switch {
		case quote != 0:
			if ch == quote {
				quote = 0
			}
		case ch == '\'' || ch == '"':
			quote = ch
		case ch == '[' && overload(s[:i]):
			i += strings.IndexByte(s[i:], ']') + 1
			continue
		case ch == '#':
			end := i + 1
			for end < len(s) && '0' <= s[end] && s[end] <= '9' {
				end++
			}
			if k, err := strconv.Atoi(s[i+1 : end]); err == nil && k < len(names) && names[k] != "" {
				b.WriteString(word(names[k]))
				i = end
				continue
			}
		}
		b.WriteByte(ch)
		i++
	}
	return b.String()
}

// overload reports whether a bracket behind s begins the argument types of an
// operator or function, which the hash needs and people do not: it follows a symbol
// or a name, but not a parameter's equals sign.
func overload(s string) bool {
	if s == "" || s[len(s)-1] == ' ' || s[len(s)-1] == '[' {
		return false
	}
	if s[len(s)-1] != '=' {
		return true
	}
	return len(s) > 1 && !('a' <= s[len(s)-2] && s[len(s)-2] <= 'z')
}
