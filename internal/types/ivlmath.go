package types

import "math"

func add32(a, b int32) (int32, bool) {
	s := int64(a) + int64(b)
	return int32(s), s == int64(int32(s))
}

// AddIntervals returns a + b, field by field; error 22008 on overflow.
func AddIntervals(a, b IntervalVal) (IntervalVal, error) {
	m, ok1 := add32(a.Months, b.Months)
	d, ok2 := add32(a.Days, b.Days)
	us, ok3 := add64(a.Micros, b.Micros)
	if !ok1 || !ok2 || !ok3 {
		return IntervalVal{}, errIntervalRange
	}
	return IntervalVal{us, d, m}, nil
}

// SubIntervals returns a - b, field by field; error 22008 on overflow.
func SubIntervals(a, b IntervalVal) (IntervalVal, error) {
	m, d := int64(a.Months)-int64(b.Months), int64(a.Days)-int64(b.Days)
	us := a.Micros - b.Micros
	if m != int64(int32(m)) || d != int64(int32(d)) || (a.Micros^b.Micros)&(a.Micros^us) < 0 {
		return IntervalVal{}, errIntervalRange
	}
	return IntervalVal{us, int32(d), int32(m)}, nil
}

// MulInterval returns v * f: what is left of months becomes days, and of days
// time, as PostgreSQL cascades it; error 22008 on overflow.
func MulInterval(v IntervalVal, f float64) (IntervalVal, error) {
	return cascade(float64(float64(v.Months)*f), float64(float64(v.Days)*f), float64(float64(v.Micros)*f))
}

// DivInterval returns v / f; see MulInterval.
func DivInterval(v IntervalVal, f float64) (IntervalVal, error) {
	if f == 0 {
		return IntervalVal{}, ErrDivisionByZero
	}
	return cascade(float64(v.Months)/f, float64(v.Days)/f, float64(v.Micros)/f)
}

// roundMicro rounds seconds to microseconds.
func roundMicro(x float64) float64 { return math.RoundToEven(x*MicrosPerSecond) / MicrosPerSecond }

// cascade puts together scaled fields, of which the fractions go to the next finer one.
func cascade(months, days, micros float64) (IntervalVal, error) {
	fits := func(x float64) bool { return x >= math.MinInt32 && x <= math.MaxInt32 }
	if !fits(months) || !fits(days) {
		return IntervalVal{}, errIntervalRange
	}
	m, d := int32(months), int32(days)
	// The remainder of the months in days, and of those and the days in seconds.
	monthRest := (months - float64(m)) * daysPerMonth
	monthRest = roundMicro(monthRest)
	secRest := (days - float64(d) + monthRest - float64(int64(monthRest))) * (MicrosPerDay / MicrosPerSecond)
	secRest = roundMicro(secRest)
	if abs := math.Abs(secRest); abs >= MicrosPerDay/MicrosPerSecond {
		whole := int64(secRest / (MicrosPerDay / MicrosPerSecond))
		d += int32(whole)
		secRest -= float64(whole * (MicrosPerDay / MicrosPerSecond))
	}
	sum := int64(d) + int64(monthRest)
	if sum != int64(int32(sum)) {
		return IntervalVal{}, errIntervalRange
	}
	us := math.RoundToEven(micros + float64(secRest*MicrosPerSecond))
	if us != us || us < math.MinInt64 || us >= math.MaxInt64 {
		return IntervalVal{}, errIntervalRange
	}
	return IntervalVal{int64(us), int32(sum), m}, nil
}

// JustifyHours moves whole days out of the microseconds, signs made alike.
func JustifyHours(v IntervalVal) (IntervalVal, error) {
	whole := v.Micros / MicrosPerDay
	v.Micros -= whole * MicrosPerDay
	days := int64(v.Days) + whole
	switch {
	case days > 0 && v.Micros < 0:
		v.Micros += MicrosPerDay
		days--
	case days < 0 && v.Micros > 0:
		v.Micros -= MicrosPerDay
		days++
	}
	if days != int64(int32(days)) {
		return IntervalVal{}, errIntervalRange
	}
	v.Days = int32(days)
	return v, nil
}

// JustifyDays moves whole months of 30 days out of the days, signs made alike.
func JustifyDays(v IntervalVal) (IntervalVal, error) {
	whole := v.Days / daysPerMonth
	v.Days -= whole * daysPerMonth
	months := int64(v.Months) + int64(whole)
	switch {
	case months > 0 && v.Days < 0:
		v.Days += daysPerMonth
		months--
	case months < 0 && v.Days > 0:
		v.Days -= daysPerMonth
		months++
	}
	if months != int64(int32(months)) {
		return IntervalVal{}, errIntervalRange
	}
	v.Months = int32(months)
	return v, nil
}

// JustifyInterval does both, and makes all signs alike.
func JustifyInterval(v IntervalVal) (IntervalVal, error) {
	days, months := int64(v.Days), int64(v.Months)
	if days > 0 && v.Micros > 0 || days < 0 && v.Micros < 0 { // pre-justify days, lest they overflow
		whole := days / daysPerMonth
		days -= whole * daysPerMonth
		months += whole
	}
	whole := v.Micros / MicrosPerDay
	us := v.Micros - whole*MicrosPerDay
	days += whole
	whole = days / daysPerMonth
	days -= whole * daysPerMonth
	months += whole
	switch {
	case months > 0 && (days < 0 || days == 0 && us < 0):
		days += daysPerMonth
		months--
	case months < 0 && (days > 0 || days == 0 && us > 0):
		days -= daysPerMonth
		months++
	}
	switch {
	case days > 0 && us < 0:
		us += MicrosPerDay
		days--
	case days < 0 && us > 0:
		us -= MicrosPerDay
		days++
	}
	if months != int64(int32(months)) {
		return IntervalVal{}, errIntervalRange
	}
	return IntervalVal{us, int32(days), int32(months)}, nil
}

// Age returns a - b in years, months, days and time, by the calendar.
func Age(a, b int64) (IntervalVal, error) {
	if isInfiniteTS(a) || isInfiniteTS(b) {
		return IntervalVal{}, errTimestampRange
	}
	neg := a < b
	if neg {
		a, b = b, a
	}
	da, db := floorDiv(a, MicrosPerDay), floorDiv(b, MicrosPerDay)
	ya, ma, dda := civil(da)
	yb, mb, ddb := civil(db)
	us := (a - da*MicrosPerDay) - (b - db*MicrosPerDay)
	days, months := int64(dda-ddb), (ya-yb)*monthsPerYear+int64(ma-mb)
	if us < 0 {
		us += MicrosPerDay
		days--
	}
	for days < 0 { // borrowed from the month of the earlier time
		days += int64(DaysInMonth(yb, mb))
		months--
	}
	if neg {
		return IntervalVal{-us, int32(-days), int32(-months)}, nil
	}
	return IntervalVal{us, int32(days), int32(months)}, nil
}
