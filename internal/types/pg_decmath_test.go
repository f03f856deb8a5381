package types_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/types"
)

// TestDecimalFunctionsAgainstPostgres compares sqrt, exp, ln, log and power.
func TestDecimalFunctionsAgainstPostgres(t *testing.T) {
	ask := asker(t)
	args := append([]string{"2", "10", "100", "1000", "0.5", "0.99", "1.0001", "1.1", "0.9", "123.456", "1e-5", "1000000", "10000", "-3", "-2", "-0.5", "1e10", "1234567890123", "4.00", "0.333", "1.5", "50", "7"}, numbers...)
	for _, a := range args {
		x, xa := dec(t, a)
		for _, f := range []struct {
			sql string
			op  func(types.Decimal, []byte, *[]byte) (types.Decimal, error)
		}{{"sqrt", types.DecSqrt}, {"exp", types.DecExp}, {"ln", types.DecLn}} {
			var arena []byte
			r, err := f.op(x, xa, &arena)
			same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), f.sql+"(numeric '%s')", a)
		}
		for _, b := range args {
			y, ya := dec(t, b)
			var arena []byte
			r, err := types.DecLog(x, xa, y, ya, &arena)
			same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "log(numeric '%s', numeric '%s')", a, b)
			if len(a) > 12 && len(b) > 12 || len(b) == 7 && b[3:] == "0000" || b == "10000" {
				continue // thousands of digits, slow in PostgreSQL
			}
			arena = nil
			r, err = types.DecPower(x, xa, y, ya, &arena)
			same(t, ask, describe(string(types.AppendDecimal(nil, r, arena)), err), "power(numeric '%s', numeric '%s')", a, b)
		}
	}
}
