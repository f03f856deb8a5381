package flow

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/pattern"
	"github.com/tidemill/tidemill/internal/types"
)

// Match is MATCH_RECOGNIZE: it looks for a pattern in the rows of each partition, in
// their order, ties broken by the whole row. Its output is Pass || Measures: a row for
// each match, or for each row of a match.
//
// Conditions and measures are expressions over slots, which stand for what can be
// known of a match: a column of one of its rows, an aggregate of some of them.
type Match struct {
	Partition []int
	Order     []SortKey
	Pattern   *pattern.Node
	Vars      []string    // names of the variables
	Define    []expr.Expr // by variable: what a row must fulfil; nil: nothing
	Slots     []MatchSlot
	// Pass are input columns: of each row with AllRows, else of a match's first row.
	Pass     []int
	Measures []expr.Expr
	AllRows  bool
	// With AllRows: Empty shows matches without rows, as the row where they were found,
	// Unmatched the rows of no match. Otherwise Empty must be set.
	Empty, Unmatched bool
	Skip             MatchSkip
	SkipVars         uint64 // of SkipToFirst and SkipToLast: the variables
	// Within bounds a match: its last row comes less than this after its first, by the
	// first column of Order and in its units. 0: no bound.
	Within     int64
	WithinText string // Within for people; "" prints the number
	// Final gives matches once, when the watermark of the first column of Order has passed
	// all rows that they depend on. Else matches are of the rows there are, and are
	// corrected. The input of a final Match must be append-only; rows whose time is
	// NULL are left out.
	Final bool
}

// MatchSkip says where the search goes on after a match that has rows.
type MatchSkip uint8

// The ways to go on.
const (
	SkipPastLast MatchSkip = iota
	SkipToNext
	SkipToFirst
	SkipToLast
)

// MatchSlot is a value that conditions and measures use.
type MatchSlot struct {
	Give MatchGive
	Row  MatchRow  // of GiveColumn, GiveThere and GiveLabel
	Col  int       // of GiveColumn: of the input
	Agg  *MatchAgg // of GiveTotal
	T    types.Type
}

// MatchGive says what a slot is.
type MatchGive uint8

// What slots give.
const (
	GiveColumn MatchGive = iota // a column of a row, NULL if there is no such row
	GiveThere                   // whether there is such a row
	GiveLabel                   // the variable that the row was taken as
	GiveNumber                  // the number of the match in its partition, from 1
	GiveTotal                   // an aggregate
)

// MatchRow names a row of the partition by way of a match.
type MatchRow struct {
	// Kind and Vars choose among the rows taken as variables Vars: the first ones or the
	// last ones, without Offset of them. RowCurrent is the row that a condition is
	// about, or for which an output row is made.
	Kind   MatchRowKind
	Vars   uint64
	Offset int
	Shift  int  // how many rows further in the partition; below 0 before
	Final  bool // of all of the match, not only of the rows up to the current one
}

// MatchRowKind is how a MatchRow begins.
type MatchRowKind uint8

// The kinds of rows.
const (
	RowCurrent MatchRowKind = iota
	RowFirst
	RowLast
)

// MatchAgg is an aggregate of the rows of a match taken as variables Vars.
type MatchAgg struct {
	Vars  uint64
	Final bool
	Args  []expr.Expr // over the input
	Call  AggCall     // its columns are of Args
}

func (*Match) isOp() {}

// all is the set of all variables.
func (op *Match) all() uint64 { return 1<<len(op.Vars) - 1 }

func checkMatch(op *Match, n *Node, in []types.Type) error {
	if len(op.Vars) > pattern.MaxVars || len(op.Define) != len(op.Vars) {
		return fmt.Errorf("has %d variables and %d conditions", len(op.Vars), len(op.Define))
	}
	if len(n.Out) != len(op.Pass)+len(op.Measures) {
		return fmt.Errorf("emits %d columns for %d passed on and %d measures", len(n.Out), len(op.Pass), len(op.Measures))
	}
	err := firstError(inRange(op.Partition, in), inRange(op.Pass, in))
	for _, k := range op.Order {
		err = firstError(err, inRange([]int{k.Col}, in))
	}
	for i := range op.Slots {
		if s := &op.Slots[i]; s.Give == GiveColumn {
			err = firstError(err, inRange([]int{s.Col}, in))
		}
	}
	if err == nil && (op.Final || op.Within > 0) {
		if len(op.Order) == 0 || op.Order[0].Desc || in[op.Order[0].Col].Layout() != types.LayoutInt {
			return fmt.Errorf("has no time to go by")
		}
	}
	return err
}

// Describe implements Op.
func (op *Match) Describe() string {
	var b strings.Builder
	b.WriteString("Match")
	if op.Final {
		b.WriteString(" final")
	} else {
		b.WriteString(" retracting")
	}
	if len(op.Partition) > 0 {
		b.WriteString(" partition=" + columns(op.Partition))
	}
	b.WriteString(" order=" + orderList(op.Order) + " pattern=(" + op.Pattern.Format(op.Vars) + ")")
	switch {
	case op.WithinText != "":
		b.WriteString(" within=" + op.WithinText)
	case op.Within > 0:
		fmt.Fprintf(&b, " within=%d", op.Within)
	}
	sep := " define=["
	for v, d := range op.Define {
		if d != nil {
			b.WriteString(sep + op.Vars[v] + ": " + op.slotText(d))
			sep = ", "
		}
	}
	if sep == ", " {
		b.WriteString("]")
	}
	b.WriteString(" measures=[")
	for i, m := range op.Measures {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(op.slotText(m))
	}
	b.WriteString("] pass=" + columns(op.Pass) + op.rowsText() + op.skipText())
	return b.String()
}

// slotText prints an expression with what its slots stand for in their place.
// Text in quotes stays as it is.
func (op *Match) slotText(e expr.Expr) string {
	var b strings.Builder
	text, quoted := e.String(), false
	for i := 0; i < len(text); i++ {
		end := i + 1
		for !quoted && text[i] == '#' && end < len(text) && '0' <= text[end] && text[end] <= '9' {
			end++
		}
		if k, err := strconv.Atoi(text[i+1 : end]); err == nil && k < len(op.Slots) {
			b.WriteString(op.slotString(&op.Slots[k]))
			i = end - 1
			continue
		}
		quoted = quoted != (text[i] == '\'')
		b.WriteByte(text[i])
	}
	return b.String()
}

func (op *Match) slotString(s *MatchSlot) string {
	switch s.Give {
	case GiveNumber:
		return "match_number"
	case GiveTotal:
		args := make([]string, len(s.Agg.Args))
		for i, a := range s.Agg.Args {
			args[i] = a.String()
		}
		return final(s.Agg.Final) + s.Agg.Call.String() + " of " + exprWords(args) + " in " + op.set(s.Agg.Vars)
	case GiveThere:
		return "there " + op.rowString(&s.Row)
	case GiveLabel:
		return "classifier " + op.rowString(&s.Row)
	}
	return op.rowString(&s.Row) + ".#" + strconv.Itoa(s.Col)
}

func exprWords(s []string) string { return "[" + strings.Join(s, ", ") + "]" }

func final(f bool) string {
	if f {
		return "final "
	}
	return ""
}

func (op *Match) rowString(r *MatchRow) string {
	s := "row"
	switch r.Kind {
	case RowFirst:
		s = final(r.Final) + "first " + op.set(r.Vars)
	case RowLast:
		s = final(r.Final) + "last " + op.set(r.Vars)
	}
	if r.Offset > 0 {
		s += "," + strconv.Itoa(r.Offset)
	}
	if r.Shift != 0 {
		s += fmt.Sprintf("%+d", r.Shift)
	}
	return s
}

// set prints a set of variables.
func (op *Match) set(vars uint64) string {
	if vars == op.all() {
		return "*"
	}
	var names []string
	for v, name := range op.Vars {
		if vars>>v&1 != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

func (op *Match) rowsText() string {
	switch {
	case !op.AllRows:
		return " one row"
	case op.Unmatched:
		return " all rows and unmatched"
	case op.Empty:
		return " all rows"
	}
	return " all rows but empty"
}

func (op *Match) skipText() string {
	switch op.Skip {
	case SkipToNext:
		return " skip to next"
	case SkipToFirst:
		return " skip to first " + op.set(op.SkipVars)
	case SkipToLast:
		return " skip to last " + op.set(op.SkipVars)
	}
	return ""
}
