package types

import "time"

// DateStyle is how dates and times are printed.
type DateStyle uint8

// PostgreSQL's date styles.
const (
	DateISO      DateStyle = iota // 2001-02-03 04:05:06+00
	DateSQL                       // 02/03/2001 04:05:06 UTC
	DatePostgres                  // Sat Feb 03 04:05:06 2001 UTC
	DateGerman                    // 03.02.2001 04:05:06 UTC
)

// DateOrder says how 1/2/2003 is read, and printed by the styles that have an order.
type DateOrder uint8

// PostgreSQL's date orders.
const (
	OrderMDY DateOrder = iota
	OrderDMY
	OrderYMD
)

// IntervalStyle is how intervals are printed.
type IntervalStyle uint8

// PostgreSQL's interval styles.
const (
	IntervalPostgres        IntervalStyle = iota // 1 year 2 mons 3 days 04:05:06
	IntervalPostgresVerbose                      // @ 1 year 2 mons 3 days 4 hours 5 mins 6 secs
	IntervalSQLStandard                          // +1-2 +3 +4:05:06
	IntervalISO8601                              // P1Y2M3DT4H5M6S
)

// Style says how values are read and printed. The zero Style is ISO, MDY, UTC,
// shortest floats, hexadecimal bytea: what views and records use.
type Style struct {
	DateStyle     DateStyle
	DateOrder     DateOrder
	IntervalStyle IntervalStyle
	ByteaEscape   bool           // bytea_output = escape
	Location      *time.Location // TimeZone; nil means UTC
	// Now is the time that 'now', 'today', 'tomorrow' and 'yesterday' refer to, as
	// TimestampTZ, when HasNow; without it these words are refused.
	Now    int64
	HasNow bool
	// FewerFloatDigits is 0 for the shortest text that reads back as the same
	// number (extra_float_digits > 0), else 1 - extra_float_digits.
	FewerFloatDigits int8
	// RegclassName gives the name that a regclass prints as; nil prints the number.
	RegclassName func(oid uint32) (string, bool)
}

// SetExtraFloatDigits sets the style as the parameter extra_float_digits = n does.
func (st *Style) SetExtraFloatDigits(n int) {
	st.FewerFloatDigits = int8(max(0, 1-n))
}

// zone is the style's location.
func (st *Style) zone() *time.Location {
	if st.Location == nil {
		return time.UTC
	}
	return st.Location
}
