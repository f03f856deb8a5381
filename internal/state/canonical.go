package state

import (
	"github.com/tidemill/tidemill/internal/types"
)

const microsPerDay = 86400 * 1000000

// canonicalIvl returns the form in which a key keeps the intervals that SQL calls
// equal (a month is 30 days, a day 24 hours): as many months as fit, then days,
// then microseconds, all of one sign. A span of more than 2^31-1 months keeps the
// rest in days.
func canonicalIvl(v types.IntervalVal) types.IntervalVal {
	days := v.Micros/microsPerDay + int64(v.Days) + 30*int64(v.Months)
	micros := v.Micros % microsPerDay
	switch {
	case days > 0 && micros < 0:
		days, micros = days-1, micros+microsPerDay
	case days < 0 && micros > 0:
		days, micros = days+1, micros-microsPerDay
	}
	months := min(max(days/30, -1<<31), 1<<31-1)
	return types.IntervalVal{Months: int32(months), Days: int32(days - 30*months), Micros: micros}
}
