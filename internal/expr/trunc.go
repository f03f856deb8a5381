package expr

import (
	"time"

	"github.com/tidemill/tidemill/internal/types"
)

// truncTo rounds a local time down to a unit.
func truncTo(u unit, local int64) (int64, bool) {
	day := floorDiv(local, types.MicrosPerDay)
	c := civilOf(day)
	to := func(y int64, m int) (int64, bool) { return civil{y, m, 1}.days() * types.MicrosPerDay, true }
	switch u {
	case unitMicros:
		return local, true
	case unitMillis:
		return local - floorMod(local, 1000), true
	case unitSecond:
		return local - floorMod(local, types.MicrosPerSecond), true
	case unitMinute:
		return local - floorMod(local, types.MicrosPerMinute), true
	case unitHour:
		return local - floorMod(local, types.MicrosPerHour), true
	case unitDay:
		return day * types.MicrosPerDay, true
	case unitWeek:
		return (day - floorMod(day+5, 7)) * types.MicrosPerDay, true
	case unitMonth:
		return to(c.year, c.month)
	case unitQuarter:
		return to(c.year, (c.month-1)/3*3+1)
	case unitYear:
		return to(c.year, 1)
	case unitDecade:
		return to(floorDiv(c.year, 10)*10, 1)
	case unitCentury:
		return to(floorDiv(c.year-1, 100)*100+1, 1)
	case unitMillennium:
		return to(floorDiv(c.year-1, 1000)*1000+1, 1)
	}
	return 0, false
}

func truncStamp(f *frame, i int, loc *time.Location, zoned bool) {
	u, ts := f.unit(0, i), f.int(1, i)
	kind := types.Timestamp
	if zoned {
		kind = types.TimestampTZ
	}
	if infinite(ts) {
		f.setInt(i, ts)
		return
	}
	if u == unitNone || u == unitEpoch {
		f.badUnit(i, kind, false)
		return
	}
	local := toLocal(ts, loc)
	r, ok := truncTo(u, local)
	switch {
	case !ok:
		f.badUnit(i, kind, true)
	case u <= unitHour: // the offset stays
		f.setInt(i, ts-(local-r))
	default:
		f.setInt(i, fromLocal(r, loc))
	}
}

func truncInterval(f *frame, i int) {
	u, v := f.unit(0, i), f.ivl(1, i)
	cut := func(n int64) { v.Micros -= v.Micros % n }
	months := func(n int32) { v.Months, v.Days, v.Micros = v.Months/n*n, 0, 0 }
	switch u {
	case unitMicros:
	case unitMillis:
		cut(1000)
	case unitSecond:
		cut(types.MicrosPerSecond)
	case unitMinute:
		cut(types.MicrosPerMinute)
	case unitHour:
		cut(types.MicrosPerHour)
	case unitDay:
		v.Micros = 0
	case unitMonth:
		months(1)
	case unitQuarter:
		months(3)
	case unitYear:
		months(12)
	case unitDecade:
		months(120)
	case unitCentury:
		months(1200)
	case unitMillennium:
		months(12000)
	default:
		f.badUnit(i, types.Interval, u != unitNone && u != unitEpoch)
		return
	}
	f.setIvl(i, v)
}

func dateBin(f *frame, i int) {
	v, ts, origin := f.ivl(0, i), f.int(1, i), f.int(2, i)
	if infinite(ts) {
		f.setInt(i, ts)
		return
	}
	switch {
	case infinite(origin):
		f.failf(i, types.CodeDatetimeOverflow, "origin out of range")
		return
	case v.Months != 0:
		f.failf(i, types.CodeFeature, "timestamps cannot be binned into intervals containing months or years")
		return
	}
	stride := int64(v.Days)*types.MicrosPerDay + v.Micros
	if stride <= 0 {
		f.failf(i, types.CodeDatetimeOverflow, "stride must be greater than zero")
		return
	}
	d := ts - origin
	if (ts^origin)&(ts^d) < 0 {
		f.fail(i, errIntervalRange())
		return
	}
	r := ts - floorMod(d, stride)
	if !types.ValidTimestamp(r) {
		f.fail(i, errTimestampRange())
		return
	}
	f.setInt(i, r)
}
