package types

// tokenClass is what a word means within a date.
type tokenClass uint8

const (
	tokNone tokenClass = iota
	tokReserved
	tokMonth
	tokIgnore
	tokDOW
	tokAMPM
	tokADBC
	tokUnits
	tokISOTime
	tokDSTMod
	tokAgo
)

// unit names a field of a date, time or interval.
type unit uint8

const (
	unitNone unit = iota
	unitMicrosecond
	unitMillisecond
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
	unitDecade
	unitCentury
	unitMillennium
	unitJulian
	unitDOW
	unitDOY
	unitISODOW
	unitISOYear
	unitEpoch
	unitTimezone
	unitTimezoneHour
	unitTimezoneMinute
	unitTime // the ISO "t" before a time
)

// Values of reserved words.
const (
	wordNow = iota
	wordToday
	wordTomorrow
	wordYesterday
	wordEpoch
	wordLate
	wordEarly
	wordZulu
)

// Values of AM and PM, AD and BC.
const (
	clock24 = iota
	clockAM
	clockPM
)

type token struct {
	class tokenClass
	val   int
}

// dateTokens are the words of dates, cut to maxTokenLen.
var dateTokens = map[string]token{
	"-infinity": {tokReserved, wordEarly}, "infinity": {tokReserved, wordLate},
	"now": {tokReserved, wordNow}, "today": {tokReserved, wordToday}, "tomorrow": {tokReserved, wordTomorrow},
	"yesterday": {tokReserved, wordYesterday}, "epoch": {tokReserved, wordEpoch}, "allballs": {tokReserved, wordZulu},
	"ad": {tokADBC, 0}, "bc": {tokADBC, 1}, "am": {tokAMPM, clockAM}, "pm": {tokAMPM, clockPM},
	"at": {tokIgnore, 0}, "on": {tokIgnore, 0}, "dst": {tokDSTMod, 3600}, "t": {tokISOTime, int(unitTime)},
	"jan": {tokMonth, 1}, "january": {tokMonth, 1}, "feb": {tokMonth, 2}, "february": {tokMonth, 2}, "mar": {tokMonth, 3}, "march": {tokMonth, 3},
	"apr": {tokMonth, 4}, "april": {tokMonth, 4}, "may": {tokMonth, 5}, "jun": {tokMonth, 6}, "june": {tokMonth, 6},
	"jul": {tokMonth, 7}, "july": {tokMonth, 7}, "aug": {tokMonth, 8}, "august": {tokMonth, 8},
	"sep": {tokMonth, 9}, "sept": {tokMonth, 9}, "september": {tokMonth, 9}, "oct": {tokMonth, 10}, "october": {tokMonth, 10},
	"nov": {tokMonth, 11}, "november": {tokMonth, 11}, "dec": {tokMonth, 12}, "december": {tokMonth, 12},
	"sun": {tokDOW, 0}, "sunday": {tokDOW, 0}, "mon": {tokDOW, 1}, "monday": {tokDOW, 1}, "tue": {tokDOW, 2}, "tues": {tokDOW, 2}, "tuesday": {tokDOW, 2},
	"wed": {tokDOW, 3}, "weds": {tokDOW, 3}, "wednesday": {tokDOW, 3}, "thu": {tokDOW, 4}, "thur": {tokDOW, 4}, "thurs": {tokDOW, 4}, "thursday": {tokDOW, 4},
	"fri": {tokDOW, 5}, "friday": {tokDOW, 5}, "sat": {tokDOW, 6}, "saturday": {tokDOW, 6},
	"d": {tokUnits, int(unitDay)}, "dow": {tokUnits, int(unitDOW)}, "doy": {tokUnits, int(unitDOY)}, "h": {tokUnits, int(unitHour)},
	"isodow": {tokUnits, int(unitISODOW)}, "isoyear": {tokUnits, int(unitISOYear)}, "j": {tokUnits, int(unitJulian)}, "jd": {tokUnits, int(unitJulian)},
	"julian": {tokUnits, int(unitJulian)}, "m": {tokUnits, int(unitMonth)}, "mm": {tokUnits, int(unitMinute)}, "s": {tokUnits, int(unitSecond)},
	"y": {tokUnits, int(unitYear)},
}

// unitTokens are the units of intervals and of extract, cut to maxTokenLen.
var unitTokens = map[string]token{
	"ago": {tokAgo, 0},
	"c":   {tokUnits, int(unitCentury)}, "cent": {tokUnits, int(unitCentury)}, "centuries": {tokUnits, int(unitCentury)}, "century": {tokUnits, int(unitCentury)},
	"d": {tokUnits, int(unitDay)}, "day": {tokUnits, int(unitDay)}, "days": {tokUnits, int(unitDay)},
	"dec": {tokUnits, int(unitDecade)}, "decade": {tokUnits, int(unitDecade)}, "decades": {tokUnits, int(unitDecade)}, "decs": {tokUnits, int(unitDecade)},
	"h": {tokUnits, int(unitHour)}, "hour": {tokUnits, int(unitHour)}, "hours": {tokUnits, int(unitHour)}, "hr": {tokUnits, int(unitHour)}, "hrs": {tokUnits, int(unitHour)},
	"m": {tokUnits, int(unitMinute)}, "min": {tokUnits, int(unitMinute)}, "mins": {tokUnits, int(unitMinute)}, "minute": {tokUnits, int(unitMinute)}, "minutes": {tokUnits, int(unitMinute)},
	"microsecon": {tokUnits, int(unitMicrosecond)}, "us": {tokUnits, int(unitMicrosecond)}, "usec": {tokUnits, int(unitMicrosecond)}, "usecs": {tokUnits, int(unitMicrosecond)}, "usecond": {tokUnits, int(unitMicrosecond)}, "useconds": {tokUnits, int(unitMicrosecond)},
	"millisecon": {tokUnits, int(unitMillisecond)}, "ms": {tokUnits, int(unitMillisecond)}, "msec": {tokUnits, int(unitMillisecond)}, "msecs": {tokUnits, int(unitMillisecond)}, "mseconds": {tokUnits, int(unitMillisecond)},
	"mil": {tokUnits, int(unitMillennium)}, "mils": {tokUnits, int(unitMillennium)}, "millennia": {tokUnits, int(unitMillennium)}, "millennium": {tokUnits, int(unitMillennium)},
	"mon": {tokUnits, int(unitMonth)}, "mons": {tokUnits, int(unitMonth)}, "month": {tokUnits, int(unitMonth)}, "months": {tokUnits, int(unitMonth)},
	"qtr": {tokUnits, int(unitQuarter)}, "quarter": {tokUnits, int(unitQuarter)},
	"s": {tokUnits, int(unitSecond)}, "sec": {tokUnits, int(unitSecond)}, "secs": {tokUnits, int(unitSecond)}, "second": {tokUnits, int(unitSecond)}, "seconds": {tokUnits, int(unitSecond)},
	"timezone": {tokUnits, int(unitTimezone)}, "timezone_h": {tokUnits, int(unitTimezoneHour)}, "timezone_m": {tokUnits, int(unitTimezoneMinute)},
	"w": {tokUnits, int(unitWeek)}, "week": {tokUnits, int(unitWeek)}, "weeks": {tokUnits, int(unitWeek)},
	"y": {tokUnits, int(unitYear)}, "year": {tokUnits, int(unitYear)}, "years": {tokUnits, int(unitYear)}, "yr": {tokUnits, int(unitYear)}, "yrs": {tokUnits, int(unitYear)},
}
