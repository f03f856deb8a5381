package expr

import (
	"fmt"
	"math"
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

func makeDate(f *frame, i int) {
	y, mo, d := f.int(0, i), f.int(1, i), f.int(2, i)
	day, ok := dayOf(y, mo, d)
	if !ok {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("date field value out of range: %d-%02d-%02d", y, mo, d))
		return
	}
	f.setInt(i, day)
}

// dayOf is the day of a year (negative ones BC), month and day; ok is false if there is none.
func dayOf(y, mo, d int64) (int64, bool) {
	if y < 0 {
		y++
	} else if y == 0 {
		return 0, false
	}
	if y > 6000000 || y < -5000 || mo < 1 || mo > 12 || d < 1 || d > int64(daysInMonth(y, int(mo))) {
		return 0, false
	}
	day := civil{y, int(mo), int(d)}.days()
	return day, types.ValidDate(day)
}

func timeOf(h, mi int64, sec float64) (int64, *types.Error) {
	if h < 0 || mi < 0 || mi > 59 || !(sec >= 0) || sec > 60 || h > 24 || h == 24 && (mi > 0 || sec > 0) {
		return 0, &types.Error{Code: types.CodeDatetimeOverflow, Message: fmt.Sprintf("time field value out of range: %d:%02d:%02g", h, mi, sec)}
	}
	return h*types.MicrosPerHour + mi*types.MicrosPerMinute + int64(math.RoundToEven(sec*1e6)), nil
}

func makeStamp(f *frame, i int, loc *time.Location) {
	y, mo, d := f.int(0, i), f.int(1, i), f.int(2, i)
	day, ok := dayOf(y, mo, d)
	if !ok {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("date field value out of range: %d-%02d-%02d", y, mo, d))
		return
	}
	t, err := timeOf(f.int(3, i), f.int(4, i), f.float(5, i))
	if err == nil && !types.ValidTimestamp(day*types.MicrosPerDay+t) {
		err = errTimestampRange()
	}
	f.setTime(i, fromLocal(day*types.MicrosPerDay+t, loc), err)
}

// fromEpoch is to_timestamp of seconds since 1970.
func fromEpoch(f *frame, i int) {
	x := f.float(0, i)
	switch {
	case math.IsNaN(x):
		f.failf(i, types.CodeDatetimeOverflow, "timestamp cannot be NaN")
		return
	case math.IsInf(x, 1):
		f.setInt(i, tsPosInf)
		return
	case math.IsInf(x, -1):
		f.setInt(i, tsNegInf)
		return
	}
	r := math.RoundToEven(float64((x - unixOffset) * 1e6))
	if !(math.Abs(r) < math.MaxInt64) || !types.ValidTimestamp(int64(r)) {
		f.failf(i, types.CodeDatetimeOverflow, fmt.Sprintf("timestamp out of range: \"%g\"", x))
		return
	}
	f.setInt(i, int64(r))
}

// overlaps is (s1, e1) OVERLAPS (s2, e2), with SQL's rules for NULL; lengths may
// stand for ends.
func overlaps(f *frame, i int, lengths bool) {
	var p [4]int64
	var null [4]bool
	for k := range p {
		if null[k] = f.null(k, i); null[k] {
			continue
		}
		if k%2 == 0 || !lengths {
			p[k] = f.int(k, i)
			continue
		}
		if null[k] = null[k-1]; null[k] {
			continue
		}
		if f.from[k-1].Kind == types.Time {
			p[k] = floorMod(p[k-1]+f.ivl(k, i).Micros%types.MicrosPerDay, types.MicrosPerDay)
			continue
		}
		var loc *time.Location
		if f.from[k-1].Kind == types.TimestampTZ {
			loc = f.r.ctx.Zone
		}
		end, err := addInterval(p[k-1], f.ivl(k, i), 1, loc)
		if err != nil {
			f.fail(i, err)
			return
		}
		p[k] = end
	}
	for k := 0; k < 4; k += 2 { // put the lesser first; one NULL end is the later one
		switch {
		case null[k] && null[k+1]:
			f.setNull(i)
			return
		case null[k], !null[k+1] && p[k] > p[k+1]:
			p[k], p[k+1], null[k], null[k+1] = p[k+1], p[k], null[k+1], null[k]
		}
	}
	yes, unknown := false, false
	switch {
	case p[0] > p[2]:
		yes, unknown = !null[3] && p[0] < p[3], null[3]
	case p[0] < p[2]:
		yes, unknown = !null[1] && p[2] < p[1], null[1]
	default:
		yes, unknown = !null[1] && !null[3], null[1] || null[3]
	}
	if !yes && unknown {
		f.setNull(i)
		return
	}
	f.setBool(i, yes)
}
