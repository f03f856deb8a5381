package format

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/types"
)

// appendText appends the value that text v, valid UTF-8, stands for, as
// PostgreSQL's input functions read it. If v is a JSON number, one with a
// fraction of zero is an integer too.
func appendText(c *batch.Column, n int, t types.Type, v []byte, isNumber bool) error {
	switch t.Kind {
	case types.Text:
		c.AppendStr(n, v)
		return nil
	case types.Varchar:
		if t.Mod == 0 {
			c.AppendStr(n, v)
			return nil
		}
	case types.Int2, types.Int4, types.Int8:
		if i, ok := types.ParseIntBytes(v); ok && inRange(t.Kind, i) {
			c.AppendInt(n, i)
			return nil
		}
		if isNumber {
			return appendWhole(c, n, t, v)
		}
	case types.Float8:
		if f, ok := types.ParseFloatBytes(v); ok {
			c.AppendFloat(n, f)
			return nil
		}
	case types.Numeric:
		if t.Mod == 0 {
			if d, ok := types.ParseDecimalBytes(v); ok {
				c.AppendDec(n, d, nil)
				return nil
			}
		}
	case types.Timestamp:
		if t.Mod == 0 {
			if ts, ok := types.ParseTimestampBytes(v); ok {
				c.AppendInt(n, ts)
				return nil
			}
		}
	case types.TimestampTZ:
		if t.Mod == 0 {
			if ts, ok := types.ParseTimestampTZBytes(v); ok {
				c.AppendInt(n, ts)
				return nil
			}
		}
	case types.Date:
		if day, ok := types.ParseDateBytes(v); ok {
			c.AppendInt(n, day)
			return nil
		}
	}
	val, err := types.Parse(t, string(v), types.Style{})
	if err != nil {
		return err
	}
	c.AppendValue(n, val)
	return nil
}

// appendWhole appends an integer written as a number with fraction or exponent.
func appendWhole(c *batch.Column, n int, t types.Type, v []byte) error {
	num, err := types.Parse(types.T(types.Numeric), string(v), types.Style{})
	if err != nil {
		return err
	}
	i, err := types.DecToInt64Exact(num.D, []byte(num.S))
	if err != nil || !inRange(t.Kind, i) {
		return fmt.Errorf("value %q is not in the range of type %s", v, t)
	}
	c.AppendInt(n, i)
	return nil
}
