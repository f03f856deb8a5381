package expr

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// MaxSetRows bounds the values that one call of a set-returning function gives.
const MaxSetRows = 10_000_000

// A setKernel gives the values of one row to add, until they end or add says stop.
type setKernel func(s *setCall) *types.Error

// setCall is one call of a set-returning function.
type setCall struct {
	ctx   *Ctx
	args  []batch.Column
	row   int
	dst   *batch.Column
	n     int // values in dst so far
	skip  int // values to pass over
	limit int // values still wanted
	total int // values passed over or appended
	more  bool
}

// next reports whether the coming value is to be appended. When it is not, stop
// says whether the others are not wanted either.
func (s *setCall) next() (take, stop bool, err *types.Error) {
	if s.total++; s.total > MaxSetRows {
		return false, true, &types.Error{Code: types.CodeTooComplex, Message: "set-returning function gives more than 10000000 rows"}
	}
	if s.skip > 0 {
		s.skip--
		return false, false, nil
	}
	if s.limit == 0 {
		s.more = true
		return false, true, nil
	}
	s.limit--
	return true, false, nil
}

// Expand appends values of the function for physical row row of args to dst, which
// holds n values already and has the function's result type. The first skip values
// are passed over and at most limit appended, so that a caller can fill blocks of
// bounded size: it calls again with skip increased by count while more is true. A
// row with a NULL argument has no values. The error, such as of a step of zero or
// of more than MaxSetRows values, is that of the row; what was appended stays.
func (fn *SetFunc) Expand(ctx *Ctx, args []batch.Column, row int, dst *batch.Column, n, skip, limit int) (count int, more bool, err *types.Error) {
	for k := range args {
		if args[k].Null(row) {
			return 0, false, nil
		}
	}
	s := setCall{ctx: ctx, args: args, row: row, dst: dst, n: n, skip: skip, limit: limit}
	err = fn.expand(&s)
	return s.n - n, s.more, err
}

// setFuncs lists the set-returning functions.
func setFuncs() map[string][]*SetFunc {
	out := map[string][]*SetFunc{}
	add := func(name, args, ret string, k setKernel) {
		out[name] = append(out[name], &SetFunc{Name: name, Args: parseTypes(args), Ret: parseTypes(ret)[0], expand: k})
	}
	for _, t := range []string{"int4", "int8"} {
		add("generate_series", t+","+t, t, seriesInt)
		add("generate_series", t+","+t+","+t, t, seriesInt)
	}
	add("generate_series", "numeric,numeric", "numeric", seriesDec)
	add("generate_series", "numeric,numeric,numeric", "numeric", seriesDec)
	add("generate_series", "timestamp,timestamp,interval", "timestamp", seriesTime)
	add("generate_series", "timestamptz,timestamptz,interval", "timestamptz", seriesTime)
	add("unnest", "anyarray", "anyelement", unnest)
	return out
}

func errZeroStep() *types.Error {
	return &types.Error{Code: types.CodeInvalidParameter, Message: "step size cannot equal zero"}
}

func seriesInt(s *setCall) *types.Error {
	x, end, step := s.args[0].I64[s.row], s.args[1].I64[s.row], int64(1)
	if len(s.args) > 2 {
		step = s.args[2].I64[s.row]
	}
	if step == 0 {
		return errZeroStep()
	}
	if s.skip > 0 { // go there at once
		d, ok := types.MulInt64(step, int64(s.skip)).Int64()
		y := x + d
		if !ok || (x^y)&(d^y) < 0 {
			return nil
		}
		x, s.total, s.skip = y, s.skip, 0
	}
	for step > 0 && x <= end || step < 0 && x >= end {
		take, stop, err := s.next()
		if stop {
			return err
		}
		if take {
			s.dst.AppendInt(s.n, x)
			s.n++
		}
		y := x + step
		if (x^y)&(step^y) < 0 {
			return nil // past the last integer
		}
		x = y
	}
	return nil
}

func seriesDec(s *setCall) *types.Error {
	var bufs [3][]byte
	arg := func(k int) types.Decimal {
		return types.DecCopy(s.args[k].Dec[s.row], s.args[k].Bytes, &bufs[k])
	}
	x, end, step := arg(0), arg(1), types.DecFromInt64(1)
	if len(s.args) > 2 {
		step = arg(2)
	}
	for _, d := range []types.Decimal{x, end, step} {
		if !d.IsFinite() {
			return &types.Error{Code: types.CodeInvalidParameter, Message: "start, stop and step must be finite numbers"}
		}
	}
	sign := types.DecSign(step, bufs[2])
	if sign == 0 {
		return errZeroStep()
	}
	for cur, other := bufs[0], []byte(nil); sign*types.CompareDec(x, cur, end, bufs[1]) <= 0; cur, other = other, cur[:0] {
		take, stop, err := s.next()
		if stop {
			return err
		}
		if take {
			s.dst.AppendDec(s.n, x, cur)
			s.n++
		}
		y, e := types.DecAdd(x, cur, step, bufs[2], &other)
		if e != nil {
			return errNumRange
		}
		x = y
	}
	return nil
}

func seriesTime(s *setCall) *types.Error {
	x, end, step := s.args[0].I64[s.row], s.args[1].I64[s.row], s.args[2].Ivl[s.row]
	loc := s.ctx.Zone
	if s.dst.Type.Kind != types.TimestampTZ {
		loc = nil
	}
	sign := types.CompareIvl(step, types.IntervalVal{})
	if sign == 0 {
		return errZeroStep()
	}
	if infinite(x) || infinite(end) {
		return &types.Error{Code: types.CodeInvalidParameter, Message: "start and stop of generate_series must be finite"}
	}
	for sign > 0 && x <= end || sign < 0 && x >= end {
		take, stop, err := s.next()
		if stop {
			return err
		}
		if take {
			s.dst.AppendInt(s.n, x)
			s.n++
		}
		y, err := addInterval(x, step, 1, loc)
		if err != nil {
			return err
		}
		x = y
	}
	return nil
}

func unnest(s *setCall) *types.Error {
	for r := types.ReadArray(s.args[0].StrAt(s.row)); ; {
		v, ok := r.Next()
		if !ok {
			return nil
		}
		take, stop, err := s.next()
		if stop {
			return err
		}
		if take {
			s.dst.AppendValue(s.n, v)
			s.n++
		}
	}
}
