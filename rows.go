package tidemill

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// Rows is the result of a query, read row by row. It is not safe for concurrent
// use. Close it, also after an error.
type Rows struct {
	ctx    context.Context
	s      session.Session
	cur    session.Cursor
	b      *batch.Batch
	row    int
	err    error
	closed bool
}

// Columns returns the names of the columns.
func (r *Rows) Columns() []string {
	var names []string
	for _, c := range r.cur.Columns() {
		names = append(names, c.Name)
	}
	return names
}

// Next moves to the next row and reports whether there is one; see Err.
func (r *Rows) Next() bool { return r.next(r.ctx) }

func (r *Rows) next(ctx context.Context) bool {
	if r.err != nil || r.closed {
		return false
	}
	for r.row++; r.b == nil || r.row >= r.b.N; r.row = 0 {
		b, err := r.cur.Next(ctx, true)
		if err != nil || b == nil {
			r.err = wrap(err)
			return false
		}
		r.b = b
	}
	return true
}

// Err returns the error that ended Next, nil at the end of the rows.
func (r *Rows) Err() error { return r.err }

// Values returns the current row: nil for NULL, bool, int64, float64, string,
// time.Time for date, timestamp and timestamptz, and text for every other type.
func (r *Rows) Values() []any {
	out := make([]any, len(r.b.Cols))
	for i := range r.b.Cols {
		out[i] = fromValue(r.b.Cols[i].Value(r.row))
	}
	return out
}

// Scan copies the current row into the variables that dest points at: *int, *int32, *int64,
// *float64, *string, *bool, *time.Time, *any, or a pointer to a pointer of those for
// values that may be NULL. A string takes any type's text.
func (r *Rows) Scan(dest ...any) error {
	if len(dest) != len(r.b.Cols) {
		return fmt.Errorf("scan: %d variables for %d columns", len(dest), len(r.b.Cols))
	}
	for i, d := range dest {
		if err := scan(d, r.b.Cols[i].Value(r.row)); err != nil {
			return fmt.Errorf("scan column %d: %w", i+1, err)
		}
	}
	return nil
}

// Close frees the rows and returns the error that ended them, if any.
func (r *Rows) Close() error {
	if !r.closed {
		r.closed = true
		r.cur.Close()
		r.s.Close()
	}
	return r.err
}

// epoch is the time that dates and times are counted from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// fromValue turns a SQL value into a Go one.
func fromValue(v types.Value) any {
	if v.Null {
		return nil
	}
	switch v.T.Kind {
	case types.Bool:
		return v.I != 0
	case types.Int2, types.Int4, types.Int8, types.Oid:
		return v.I
	case types.Float4, types.Float8:
		return v.F
	case types.Timestamp, types.TimestampTZ:
		if v.I != infinite && v.I != -infinite-1 {
			return time.UnixMicro(v.I + epoch.UnixMicro()).UTC()
		}
	case types.Date:
		if v.I != infiniteDate && v.I != -infiniteDate-1 {
			return epoch.AddDate(0, 0, int(v.I))
		}
	}
	return string(types.AppendText(nil, v, types.Style{}))
}

// The values that stand for infinity.
const (
	infinite     = 1<<63 - 1
	infiniteDate = 1<<31 - 1
)

// toValue turns a Go value into one of type t, by way of its text unless it is NULL.
func toValue(a any, t types.Type, st types.Style) (types.Value, error) {
	text := ""
	switch a := a.(type) {
	case nil:
		return types.NullOf(t), nil
	case string:
		text = a
	case []byte:
		if t.Kind == types.Bytea {
			text = `\x` + hex.EncodeToString(a)
		} else {
			text = string(a)
		}
	case bool:
		text = strconv.FormatBool(a)
	case float64:
		text = strconv.FormatFloat(a, 'g', -1, 64)
	case float32:
		text = strconv.FormatFloat(float64(a), 'g', -1, 32)
	case time.Time:
		text = a.UTC().Format("2006-01-02 15:04:05.999999-07")
	case time.Duration:
		text = strconv.FormatInt(a.Microseconds(), 10) + " microseconds"
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, fmt.Stringer:
		text = fmt.Sprint(a)
	default:
		return types.Value{}, fmt.Errorf("cannot pass a %T", a)
	}
	return types.Parse(t, text, st)
}

// scan stores v in what dest points at.
func scan(dest any, v types.Value) error {
	got := fromValue(v)
	switch d := dest.(type) {
	case *any:
		*d = got
		return nil
	case **int64:
		return scanPointer(d, v)
	case **float64:
		return scanPointer(d, v)
	case **string:
		return scanPointer(d, v)
	case **bool:
		return scanPointer(d, v)
	case **time.Time:
		return scanPointer(d, v)
	}
	if v.Null {
		return fmt.Errorf("NULL into %T; use a pointer to a pointer", dest)
	}
	switch d := dest.(type) {
	case *string:
		*d = string(types.AppendText(nil, v, types.Style{}))
		return nil
	case *int:
		if i, ok := got.(int64); ok {
			*d = int(i)
			return nil
		}
	case *int32:
		if i, ok := got.(int64); ok && i == int64(int32(i)) {
			*d = int32(i)
			return nil
		}
	case *int64:
		if i, ok := got.(int64); ok {
			*d = i
			return nil
		}
	case *float64:
		if f, err := strconv.ParseFloat(string(types.AppendText(nil, v, types.Style{})), 64); err == nil {
			*d = f
			return nil
		}
	case *bool:
		if b, ok := got.(bool); ok {
			*d = b
			return nil
		}
	case *time.Time:
		if t, ok := got.(time.Time); ok {
			*d = t
			return nil
		}
	}
	return fmt.Errorf("cannot store %s in %T", v.T, dest)
}

// scanPointer stores NULL as a nil pointer.
func scanPointer[T any](dest **T, v types.Value) error {
	if v.Null {
		*dest = nil
		return nil
	}
	*dest = new(T)
	return scan(*dest, v)
}
