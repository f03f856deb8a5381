package sql

import "fmt"

// windowKinds are the window table functions by name.
var windowKinds = map[string]WindowKind{"tumble": Tumble, "hop": Hop, "cumulate": Cumulate, "session": Session}

// windowNames are the functions' names by kind.
var windowNames = [...]string{Tumble: "TUMBLE", Hop: "HOP", Cumulate: "CUMULATE", Session: "SESSION"}

// windowArgNames are the names of Flink's arguments behind the table and the time column, in order; the last one may be left out
// where optional says so.
var windowArgNames = [...][]string{
	Tumble:   {"size", "offset"},
	Hop:      {"slide", "size", "offset"},
	Cumulate: {"step", "size", "offset"},
	Session:  {"gap"},
}

// windowTable reads the arguments of TUMBLE, HOP, CUMULATE and SESSION, in RisingWave's or Flink's spelling.
func (p *parser) windowTable(at At, kind WindowKind) TableExpr {
	w := &WindowTable{At: at, Kind: kind}
	p.expectOp("(")
	names := windowArgNames[kind]
	args := make([]Expr, len(names))
	for i := 0; ; i++ {
		slot := i
		if n := p.peek(1); p.tok.isLabel() && (n.isOp("=>") || n.isOp(":=")) {
			slot = p.windowArgSlot(kind, names)
			p.advance()
			p.advance()
		}
		switch {
		case slot == 0:
			p.windowInput(w)
		case slot == 1:
			p.windowTimeCol(w)
		case slot-2 >= len(args):
			p.fail(p.tok.pos, "42601", fmt.Sprintf("too many arguments of %s%s", windowNames[kind], p.near()), "")
		default:
			p.plurals = true
			args[slot-2] = p.expr()
			p.plurals = false
		}
		if !p.acceptOp(",") {
			break
		}
	}
	end := p.tok
	p.expectOp(")")
	needed := len(names)
	if kind != Session {
		needed-- // the offset
	}
	for i, a := range args {
		if a == nil && i < needed {
			p.fail(end.pos, "42601", fmt.Sprintf("%s needs a table, a time column and %s", windowNames[kind], argList(names[:needed])),
				windowHints[kind])
		}
		if a != nil {
			w.Args = append(w.Args, a)
		}
	}
	if w.Input == nil || w.TimeCol == nil {
		p.fail(end.pos, "42601", fmt.Sprintf("%s needs a table, a time column and %s", windowNames[kind], argList(names[:needed])),
			windowHints[kind])
	}
	return w
}

// windowHints show how the functions are called.
var windowHints = [...]string{
	Tumble:   "For example, TUMBLE(bids, at, INTERVAL '10 s').",
	Hop:      "For example, HOP(bids, at, INTERVAL '2 s', INTERVAL '10 s'): slide, then size.",
	Cumulate: "For example, CUMULATE(bids, at, INTERVAL '2 s', INTERVAL '10 s'): step, then size.",
	Session:  "For example, SESSION(bids, at, INTERVAL '10 s').",
}

func argList(names []string) string {
	s := "a " + names[0]
	for _, n := range names[1:] {
		s += " and a " + n
	}
	return s
}

// windowArgSlot returns the place of the named argument at the current token.
func (p *parser) windowArgSlot(kind WindowKind, names []string) int {
	switch p.tok.text {
	case "data":
		return 0
	case "timecol":
		return 1
	}
	for i, n := range names {
		if n == p.tok.text {
			return i + 2
		}
	}
	p.fail(p.tok.pos, "42601", fmt.Sprintf("%s has no argument %q%s", windowNames[kind], p.tok.text, p.near()), windowHints[kind])
	return 0
}

// windowInput reads a table, TABLE t [PARTITION BY ..] or (query).
func (p *parser) windowInput(w *WindowTable) {
	at := p.here()
	switch {
	case p.isOp("("):
		w.Input = &SubqueryTable{At: at, Query: p.subquery()}
	case p.accept("table"):
		w.Flink = true
		if p.isOp("(") {
			w.Input = &SubqueryTable{At: at, Query: p.subquery()}
			break
		}
		w.Input = &TableRef{At: p.here(), Name: p.relName()}
	case p.tok.isColID():
		w.Input = &TableRef{At: at, Name: p.relName()}
		if !p.isOp(",") && !p.isOp(")") && !p.isWord("partition") {
			p.unexpected()
		}
	default:
		p.fail(p.tok.pos, "42601", fmt.Sprintf("the first argument of %s must be a table%s", windowNames[w.Kind], p.near()), windowHints[w.Kind])
	}
	if p.accept("partition") {
		p.expect("by")
		if p.isOp("(") {
			_, l := p.parenthesised()
			w.PartitionBy = l
		} else {
			w.PartitionBy = []Expr{p.expr()}
		}
	}
}

// windowTimeCol reads a column or DESCRIPTOR(column).
func (p *parser) windowTimeCol(w *WindowTable) {
	descriptor := p.isWord("descriptor") && p.peek(1).isOp("(")
	if descriptor {
		w.Flink = true
		p.advance()
		p.advance()
	}
	t := p.tok
	c, ok := p.expr().(*ColumnRef)
	if !ok {
		p.fail(t.pos, "42601", fmt.Sprintf("the second argument of %s must be a column", windowNames[w.Kind]), windowHints[w.Kind])
	}
	w.TimeCol = c
	if descriptor {
		p.expectOp(")")
	}
}
