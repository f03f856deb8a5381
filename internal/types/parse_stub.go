package types

// These read the ISO forms only, until the full parser of dates replaces this file.

func ParseDate(s string, st *Style) (int64, error) {
	if d, ok := ParseDateBytes([]byte(s)); ok {
		return d, nil
	}
	return 0, &Error{Code: CodeInvalidDatetime, Message: `invalid input syntax for type date: "` + s + `"`}
}

func ParseTime(s string, st *Style) (int64, error) {
	ts, err := ParseTimestamp("2000-01-01 "+s, st)
	return ts, err
}

func ParseTimestamp(s string, st *Style) (int64, error) {
	if d, ok := ParseTimestampBytes([]byte(s)); ok {
		return d, nil
	}
	if d, ok := ParseDateBytes([]byte(s)); ok {
		return d * MicrosPerDay, nil
	}
	return 0, &Error{Code: CodeInvalidDatetime, Message: `invalid input syntax for type timestamp: "` + s + `"`}
}

func ParseTimestampTZ(s string, st *Style) (int64, error) {
	if d, ok := ParseTimestampTZBytes([]byte(s)); ok {
		return d, nil
	}
	return ParseTimestamp(s, st)
}

func ParseInterval(s string, st *Style) (IntervalVal, error) {
	return IntervalVal{}, &Error{Code: CodeInvalidDatetime, Message: `invalid input syntax for type interval: "` + s + `"`}
}
