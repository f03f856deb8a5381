package flow

import (
	"encoding/binary"
	"math"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// errSingle is the error of a scalar subquery that gives more than one row.
var errSingle = &types.Error{
	Code: types.CodeCardinality, Message: "more than one row returned by a subquery used as an expression",
}

// aggSingle gives the only row's value. Words: the number of rows, of NULLs among
// them, and for layouts of one word the sum of all values: with one row that is it.
type aggSingle struct {
	words
	col  int
	vals *state.Ordered // of other layouts
	key  []byte
}

func newSingle(mem *state.Memory, t types.Type, col int) *aggSingle {
	a := &aggSingle{col: col}
	switch t.Layout() {
	case types.LayoutDec, types.LayoutIvl, types.LayoutStr:
		a.vals = state.NewOrdered(mem)
	}
	return a
}

func (a *aggSingle) place(groups *state.Table, at int) int { return a.set(groups, at, 3) }

func (a *aggSingle) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.col]
	for k, r := range in.refs {
		i := b.Row(k)
		w, weight := a.of(r), b.Weight(i)
		w[0] += uint64(weight)
		if col.Null(i) {
			w[1] += uint64(weight)
			continue
		}
		switch col.Type.Layout() {
		case types.LayoutBool:
			w[2] += uint64(col.U8[i]) * uint64(weight)
		case types.LayoutInt:
			w[2] += uint64(col.I64[i]) * uint64(weight)
		case types.LayoutFloat:
			w[2] += math.Float64bits(col.F64[i]) * uint64(weight)
		default:
			a.key = appendOrdered(a.key[:0], col, i)
			a.vals.Add(r, a.key, weight)
		}
	}
}

func (a *aggSingle) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		w := a.of(r)
		switch rows := int64(w[0]); {
		case rows > 1:
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errSingle})
		case rows < 1 || w[1] != 0:
			dst.AppendNull(n + k)
		default:
			a.one(r, w[2], dst, n+k)
		}
	}
	return errs
}

func (a *aggSingle) one(r state.Ref, v uint64, dst *batch.Column, n int) {
	switch dst.Type.Layout() {
	case types.LayoutBool:
		dst.AppendBool(n, v != 0)
	case types.LayoutInt:
		dst.AppendInt(n, int64(v))
	case types.LayoutFloat:
		dst.AppendFloat(n, math.Float64frombits(v))
	default:
		if e, ok := a.vals.Min(r); ok {
			takeOrdered(e.Key, dst, n)
		} else {
			dst.AppendNull(n)
		}
	}
}

func (a *aggSingle) forget(r state.Ref) {
	if a.vals != nil {
		a.vals.Clear(r)
	}
}

func (a *aggSingle) bytes() int64 {
	if a.vals == nil {
		return 0
	}
	return a.vals.Bytes()
}

func (a *aggSingle) persist(p *state.Persist) {
	if a.vals != nil {
		a.vals.Persist(p)
	}
}

// aggString is string_agg: the values of a group joined in order, each but the first
// after its own delimiter. The rows of a group are an ordered multiset, whose keys
// are the ORDER BY columns, the value and the delimiter; both follow once more as
// they are, with their lengths.
type aggString struct {
	words
	value, delim int // delim is -1 when there is none
	order        []SortKey
	rows         *state.Ordered
	key          []byte
	out          []byte
}

func newStringAgg(mem *state.Memory, in []types.Type, call *AggCall) *aggString {
	a := &aggString{value: call.Args[0], delim: -1, order: call.Order, rows: state.NewOrdered(mem)}
	if len(call.Args) > 1 && in[call.Args[1]].Layout() == types.LayoutStr {
		a.delim = call.Args[1]
	}
	return a
}

func (a *aggString) place(groups *state.Table, at int) int { return a.set(groups, at, 0) }

func (a *aggString) add(in *aggInput) {
	b, col := in.b, &in.b.Cols[a.value]
	for k, r := range in.refs {
		i := b.Row(k)
		if col.Null(i) {
			continue
		}
		key := a.key[:0]
		for _, o := range a.order {
			key = appendSortable(key, &b.Cols[o.Col], i, o.Desc, o.NullsFirst)
		}
		key = appendSortable(key, col, i, false, false)
		value, delim := col.StrAt(i), []byte(nil)
		if a.delim >= 0 && !b.Cols[a.delim].Null(i) {
			delim = b.Cols[a.delim].StrAt(i)
			key = appendSortable(key, &b.Cols[a.delim], i, false, false)
		}
		key = append(append(key, value...), delim...)
		key = binary.BigEndian.AppendUint32(key, uint32(len(value)))
		key = binary.BigEndian.AppendUint32(key, uint32(len(delim)))
		a.key = key
		a.rows.Add(r, key, b.Weight(i))
	}
}

// maxStringAgg bounds the length of a result in bytes, as PostgreSQL's 1 GB does.
const maxStringAgg = 1<<30 - 1

// errStringAgg is the error of results beyond maxStringAgg.
var errStringAgg = &types.Error{
	Code: "54000", Message: "string buffer exceeds maximum allowed length (1073741823 bytes)",
}

func (a *aggString) final(refs []state.Ref, dst *batch.Column, n int, errs []aggError) []aggError {
	for k, r := range refs {
		a.out = a.out[:0]
		rows, long := 0, false
		a.rows.Ascend(r, nil, func(e state.Entry) bool {
			end := len(e.Key) - 8
			lv := int(binary.BigEndian.Uint32(e.Key[end:]))
			ld := int(binary.BigEndian.Uint32(e.Key[end+4:]))
			value, delim := e.Key[end-ld-lv:end-ld], e.Key[end-ld:end]
			for range e.Weight {
				if rows++; rows > 1 {
					a.out = append(a.out, delim...)
				}
				a.out = append(a.out, value...)
				if long = len(a.out) > maxStringAgg; long {
					return false
				}
			}
			return true
		})
		switch {
		case long:
			dst.AppendNull(n + k)
			errs = append(errs, aggError{k, errStringAgg})
			a.out = nil
		case rows == 0:
			dst.AppendNull(n + k)
		default:
			dst.AppendStr(n+k, a.out)
		}
	}
	return errs
}

func (a *aggString) forget(r state.Ref)       { a.rows.Clear(r) }
func (a *aggString) bytes() int64             { return a.rows.Bytes() }
func (a *aggString) persist(p *state.Persist) { a.rows.Persist(p) }
