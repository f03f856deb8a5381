package expr

import "github.com/tidemill/tidemill/internal/types"

// valueText is v as text in the zero style, which has the zone UTC.
func valueText(v types.Value) string { return string(types.AppendText(nil, v, types.Style{})) }
