package flow

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
)

// Describe implements Op.
func (op *Input) Describe() string {
	s := "Input " + word(op.Rel)
	if op.AppendOnly {
		s += " append-only"
	}
	return s
}

// maxValuesShown is how many rows of a constant relation are printed; what is not
// printed is told apart by the digest.
const maxValuesShown = 4

// Describe implements Op.
func (op *Values) Describe() string {
	var b strings.Builder
	d := batch.DigestOf(op.Rows)
	n := op.Rows.Len()
	fmt.Fprintf(&b, "Values rows=%d digest=%016x%016x", n, d.Hi, d.Lo)
	for k := range min(n, maxValuesShown) {
		i := op.Rows.Row(k)
		cells := make([]string, len(op.Rows.Cols))
		for c := range op.Rows.Cols {
			cells[c] = expr.Const{V: op.Rows.Cols[c].Value(i)}.String()
		}
		b.WriteString(" (" + strings.Join(cells, ", ") + ")")
		if w := op.Rows.Weight(i); w != 1 {
			fmt.Fprintf(&b, "x%d", w)
		}
	}
	if n > maxValuesShown {
		b.WriteString(" ...")
	}
	return b.String()
}

// Describe implements Op.
func (op *Filter) Describe() string { return "Filter " + op.Pred.String() }

// Describe implements Op.
func (op *Project) Describe() string { return "Project " + exprList(op.Exprs) }

func exprList(es []expr.Expr) string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = e.String()
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Describe implements Op.
func (op *ProjectSet) Describe() string {
	parts := make([]string, len(op.Args))
	for i, e := range op.Args {
		parts[i] = e.String()
	}
	s := "ProjectSet " + op.Fn.Name + "(" + strings.Join(parts, ", ") + ")"
	if op.Ordinality {
		s += " with ordinality"
	}
	return s
}

// Describe implements Op.
func (op *Window) Describe() string {
	kind := "hop"
	switch {
	case op.Step > 0:
		kind = "cumulate"
	case op.Slide == op.Size:
		kind = "tumble"
	}
	s := fmt.Sprintf("Window %s on #%d size=%s", kind, op.Time, micros(op.Size))
	if op.Slide != op.Size {
		s += " slide=" + micros(op.Slide)
	}
	if op.Step > 0 {
		s += " step=" + micros(op.Step)
	}
	if op.Offset != 0 {
		s += " offset=" + micros(op.Offset)
	}
	return s
}

// micros prints a duration exactly.
func micros(us int64) string {
	if us%1000 != 0 || us > int64(time.Duration(1<<63-1)/time.Microsecond) || us < -int64(time.Duration(1<<63-1)/time.Microsecond) {
		return strconv.FormatInt(us, 10) + "us"
	}
	return (time.Duration(us) * time.Microsecond).String()
}

// Describe implements Op.
func (op *Union) Describe() string { return "Union" }

// Describe implements Op.
func (op *Distinct) Describe() string { return "Distinct" }

// Describe implements Op.
func (op *SetOp) Describe() string {
	s := "Intersect"
	if op.Except {
		s = "Except"
	}
	if op.All {
		s += " all"
	}
	return s
}

var joinNames = [...]string{
	JoinInner: "inner", JoinLeft: "left", JoinRight: "right", JoinFull: "full",
	JoinSemi: "semi", JoinAnti: "anti", JoinAntiNull: "anti-null",
}

// String names the join as EXPLAIN does.
func (k JoinKind) String() string { return joinNames[k] }

// Describe implements Op.
func (op *Join) Describe() string {
	s := "Join " + op.Kind.String()
	if len(op.LeftKeys) == 0 {
		s += " cross"
	} else {
		s += " left=" + columns(op.LeftKeys) + " right=" + columns(op.RightKeys)
	}
	if op.NullSafe {
		s += " null-safe"
	}
	if b := op.Between; b != nil {
		s += b.text(strconv.Itoa(b.Left), strconv.Itoa(b.Right))
	}
	if op.On != nil {
		s += " on=" + op.On.String()
	}
	return s
}

// text prints the range for the difference of two columns.
func (b *Between) text(left, right string) string {
	lo, hi := "-", "-"
	if b.Lo != -Unbounded {
		lo = micros(b.Lo)
	}
	if b.Hi != Unbounded {
		hi = micros(b.Hi)
	}
	return fmt.Sprintf(" between=#%s-#%s in [%s, %s]", left, right, lo, hi)
}

func columns(cols []int) string {
	parts := make([]string, len(cols))
	for i, c := range cols {
		parts[i] = "#" + strconv.Itoa(c)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Describe implements Op.
func (op *Aggregate) Describe() string {
	calls := make([]string, len(op.Calls))
	for i := range op.Calls {
		calls[i] = op.Calls[i].String()
	}
	s := "Aggregate keys=" + columns(op.Keys) + " calls=[" + strings.Join(calls, ", ") + "]"
	if op.Scalar {
		s += " scalar"
	}
	if op.OnClose {
		s += " on close of #" + strconv.Itoa(op.Keys[op.CloseKey])
	}
	return s
}

// String prints the call with its parameters.
func (c *AggCall) String() string {
	var b strings.Builder
	b.WriteString(c.Fn.Name + "(")
	if c.Distinct {
		b.WriteString("distinct ")
	}
	if len(c.Args) == 0 {
		b.WriteString("*")
	}
	for i, a := range c.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("#" + strconv.Itoa(a))
	}
	if len(c.Order) > 0 {
		b.WriteString(" order=" + orderList(c.Order))
	}
	b.WriteString(")")
	if c.Filter >= 0 {
		b.WriteString(" filter #" + strconv.Itoa(c.Filter))
	}
	return b.String()
}

func orderList(keys []SortKey) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = "#" + strconv.Itoa(k.Col)
		if k.Desc {
			parts[i] += " desc"
		}
		if k.NullsFirst {
			parts[i] += " nulls first"
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Describe implements Op.
func (op *TopN) Describe() string {
	s := "TopN"
	if len(op.Partition) > 0 {
		s += " partition=" + columns(op.Partition)
	}
	s += " order=" + orderList(op.Order)
	if op.Limit >= 0 {
		s += " limit=" + strconv.FormatInt(op.Limit, 10)
	}
	if op.Offset > 0 {
		s += " offset=" + strconv.FormatInt(op.Offset, 10)
	}
	s += [...]string{RankRows: "", RankGaps: " by rank", RankDense: " by dense_rank"}[op.Rank]
	if op.Number {
		s += " numbered"
	}
	return s
}

// Describe implements Op.
func (op *Exchange) Describe() string {
	if len(op.Keys) == 0 {
		return "Exchange to one shard"
	}
	return "Exchange by " + columns(op.Keys)
}

// Describe implements Op.
func (op *Output) Describe() string { return "Output " + word(op.Name) }

// word prints a name, in quotes unless it is of letters, digits, "_" and "." alone.
func word(s string) string {
	for _, r := range s {
		if r != '_' && r != '.' && !('a' <= r && r <= 'z') && !('A' <= r && r <= 'Z') && !('0' <= r && r <= '9') {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}
