package types

import "time"

// TruncTimestamp returns date_trunc(f, ts); ok is false when timestamps cannot be
// truncated to f. An infinite ts stays as it is.
func TruncTimestamp(f Field, ts int64) (out int64, ok bool, err error) {
	if isInfiniteTS(ts) {
		return ts, true, nil
	}
	if step := truncStep(f.u); step != 0 {
		return ts - floorMod(ts, step), true, nil
	}
	days, ok := truncDate(f.u, floorDiv(ts, MicrosPerDay))
	if !ok {
		return 0, false, nil
	}
	if days < minTimestamp/MicrosPerDay {
		return 0, true, errTimestampRange
	}
	out, err = checkTS(days*MicrosPerDay, true)
	return out, true, err
}

// truncStep is the length of the fields that divide the day evenly.
func truncStep(u unit) int64 {
	switch u {
	case unitMicrosecond:
		return 1
	case unitMillisecond:
		return MicrosPerMilli
	case unitSecond:
		return MicrosPerSecond
	case unitMinute:
		return MicrosPerMinute
	case unitHour:
		return MicrosPerHour
	}
	return 0
}

// truncDate returns the first day of the period that days lies in.
func truncDate(u unit, days int64) (int64, bool) {
	y, m, _ := civil(days)
	switch u {
	case unitDay:
		return days, true
	case unitWeek:
		return days - floorMod(days+5, 7), true
	case unitMonth:
		return daysOf(y, m, 1), true
	case unitQuarter:
		return daysOf(y, (m-1)/3*3+1, 1), true
	case unitYear:
		return daysOf(y, 1, 1), true
	case unitDecade:
		return daysOf(floorDiv(y, 10)*10, 1, 1), true
	case unitCentury:
		return daysOf(floorDiv(y-1, 100)*100+1, 1, 1), true
	case unitMillennium:
		return daysOf(floorDiv(y-1, 1000)*1000+1, 1, 1), true
	}
	return 0, false
}

// TruncTimestampTZ is TruncTimestamp in the local time of loc.
func TruncTimestampTZ(f Field, ts int64, loc *time.Location) (out int64, ok bool, err error) {
	if isInfiniteTS(ts) || loc == time.UTC {
		return TruncTimestamp(f, ts)
	}
	_, off := ZoneOffset(ts, loc)
	local := ts + int64(off)*MicrosPerSecond
	cut, ok, err := TruncTimestamp(f, local)
	if !ok || err != nil {
		return 0, ok, err
	}
	if truncStep(f.u) != 0 {
		out, err = checkTS(cut-int64(off)*MicrosPerSecond, true) // within the hour the offset stays
		return out, true, err
	}
	out, err = checkTS(LocalToUTC(cut, loc), true)
	return out, true, err
}

// TruncInterval returns date_trunc(f, v); ok is false when intervals cannot be truncated to f.
func TruncInterval(f Field, v IntervalVal) (out IntervalVal, ok bool) {
	if step := truncStep(f.u); step != 0 {
		v.Micros -= v.Micros % step
		return v, true
	}
	months := int32(0)
	switch f.u {
	case unitDay:
		v.Micros = 0
		return v, true
	case unitMonth:
		months = 1
	case unitQuarter:
		months = 3
	case unitYear:
		months = monthsPerYear
	case unitDecade:
		months = 10 * monthsPerYear
	case unitCentury:
		months = 100 * monthsPerYear
	case unitMillennium:
		months = 1000 * monthsPerYear
	default:
		return IntervalVal{}, false
	}
	return IntervalVal{Months: v.Months / months * months}, true
}

// BinTimestamp returns date_bin(step, ts, origin): the start of the bin of step
// microseconds that ts lies in, counted from origin.
func BinTimestamp(step IntervalVal, ts, origin int64) (int64, error) {
	if isInfiniteTS(ts) {
		return ts, nil
	}
	if isInfiniteTS(origin) {
		return 0, &Error{Code: CodeDatetimeOverflow, Message: "origin out of range"}
	}
	if step.Months != 0 {
		return 0, &Error{Code: CodeFeature, Message: "timestamps cannot be binned into intervals containing months or years"}
	}
	us, ok := StepMicros(step)
	if !ok {
		return 0, errIntervalRange
	}
	if us <= 0 {
		return 0, &Error{Code: CodeDatetimeOverflow, Message: "stride must be greater than zero"}
	}
	return checkTS(FloorToStep(ts, us, origin), true)
}

// StepMicros returns an interval without months as microseconds; ok is false when
// it has months or does not fit.
func StepMicros(v IntervalVal) (us int64, ok bool) {
	day, ok1 := mul64(int64(v.Days), MicrosPerDay)
	us, ok2 := add64(day, v.Micros)
	return us, ok1 && ok2 && v.Months == 0
}
