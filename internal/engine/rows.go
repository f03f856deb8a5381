package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// rowsCursor hands out a finished result.
type rowsCursor struct {
	cols  []session.Column
	rows  *batch.Batch // weights above 1 are rows that come several times
	order []uint32     // physical rows in order
	skip  int64        // rows to leave out at the front
	left  int64        // rows to hand out; negative: all
	at    int          // index in order
	times int64        // how often order[at] was handed out
	out   *batch.Builder
	count int64
	verb  string // of the tag
	tag   string // if set, the tag as it is
	ended bool
}

// newRows returns a cursor over the rows of a query in its order.
func newRows(q *plan.Query, rows *batch.Batch, ctx *expr.Ctx) (*rowsCursor, error) {
	c := &rowsCursor{cols: columnsOf(q.Columns), rows: rows, left: -1, verb: "SELECT"}
	keys := make([]batch.Key, len(q.OrderBy))
	for i, k := range q.OrderBy {
		keys[i] = batch.Key{Col: k.Col, Desc: k.Desc, NullsFirst: k.NullsFirst}
	}
	c.order = (&batch.Sorter{}).Sort(nil, rows, keys)
	if err := c.bound(ctx, q); err != nil {
		return nil, err
	}
	c.open()
	return c, nil
}

// bound evaluates LIMIT and OFFSET where they are not part of the circuit.
func (c *rowsCursor) bound(ctx *expr.Ctx, q *plan.Query) error {
	for _, x := range []struct {
		e    expr.Expr
		to   *int64
		code string
		what string
	}{{q.Limit, &c.left, "2201W", "LIMIT"}, {q.Offset, &c.skip, "2201X", "OFFSET"}} {
		if x.e == nil {
			continue
		}
		v, err := expr.EvalConst(ctx, x.e)
		if err != nil {
			return err
		}
		if v.Null {
			continue
		}
		if v.I < 0 {
			return &types.Error{Code: x.code, Message: x.what + " must not be negative"}
		}
		*x.to = v.I
	}
	return nil
}

func (c *rowsCursor) open() {
	ts := make([]types.Type, len(c.cols))
	for i := range ts {
		ts[i] = c.cols[i].Type
	}
	c.out = batch.NewBuilder(ts)
}

// textRows returns a cursor over rows of boxed values.
func textRows(verb string, cols []session.Column, rows [][]types.Value) *rowsCursor {
	ts := make([]types.Type, len(cols))
	for i := range cols {
		ts[i] = cols[i].Type
	}
	b := batch.FromRows(ts, rows)
	c := &rowsCursor{cols: cols, rows: b, left: -1, verb: verb}
	for i := range b.N {
		c.order = append(c.order, uint32(i))
	}
	c.open()
	return c
}

func columnsOf(cols []plan.Column) []session.Column {
	out := make([]session.Column, len(cols))
	for i, c := range cols {
		out[i] = session.Column{Name: c.Name, Type: c.Type, Table: uint32(c.Relation), Attnum: int16(c.Attr)}
	}
	return out
}

// Columns implements session.Cursor.
func (c *rowsCursor) Columns() []session.Column { return c.cols }

// Next implements session.Cursor.
func (c *rowsCursor) Next(ctx context.Context, _ bool) (*batch.Batch, error) {
	return c.take(ctx, batch.BlockRows)
}

// take returns the next rows, at most most of them; nil at the end.
func (c *rowsCursor) take(ctx context.Context, most int64) (*batch.Batch, error) {
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	c.out.Reset()
	for c.at < len(c.order) && int64(c.out.Len()) < most && c.left != 0 {
		i := int(c.order[c.at])
		if c.times >= c.rows.Weight(i) {
			c.at, c.times = c.at+1, 0
			continue
		}
		c.times++
		if c.skip > 0 {
			c.skip--
			continue
		}
		c.out.AppendFrom(c.rows, i, 1)
		if c.left > 0 {
			c.left--
		}
	}
	n := c.out.Len()
	c.count += int64(n)
	if n == 0 {
		c.ended = true
		return nil, nil
	}
	return c.out.View(), nil
}

// Tag implements session.Cursor.
func (c *rowsCursor) Tag() string {
	if c.tag != "" {
		return c.tag
	}
	return fmt.Sprintf("%s %d", c.verb, c.count)
}

// Close implements session.Cursor.
func (c *rowsCursor) Close() { c.rows, c.order, c.at = nil, nil, 0 }

// done is the cursor of a statement without rows.
type done string

func (d done) Columns() []session.Column                        { return nil }
func (d done) Next(context.Context, bool) (*batch.Batch, error) { return nil, nil }
func (d done) Tag() string                                      { return string(d) }
func (d done) Close()                                           {}
func valueText(c *batch.Column, i int) string                   { return boxedText(c.Value(i)) }
func textColumn(name string) session.Column {
	return session.Column{Name: name, Type: types.T(types.Text)}
}
func textColumns(names ...string) (cols []session.Column) {
	for _, n := range names {
		cols = append(cols, textColumn(n))
	}
	return cols
}

// boxedText prints a value for messages, NULL as null.
func boxedText(v types.Value) string {
	if v.Null {
		return "null"
	}
	return string(types.AppendText(nil, v, types.Style{}))
}

// rowText prints the first n columns of a row as PostgreSQL does in messages.
func rowText(b *batch.Batch, i, n int) string {
	vals := make([]string, n)
	for c := range n {
		vals[c] = valueText(&b.Cols[c], i)
	}
	return "(" + strings.Join(vals, ", ") + ")"
}

// sliceColumns returns columns [lo, hi) of b as a batch of their own.
func sliceColumns(b *batch.Batch, lo, hi int) *batch.Batch {
	out := *b
	out.Cols = b.Cols[lo:hi:hi]
	return &out
}
