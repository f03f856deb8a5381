package engine

import (
	"math/rand/v2"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/types"
)

// host answers the scalar functions that read the catalog, as of a statement's
// snapshot. What Tidemill has no such thing for is NULL, as PostgreSQL gives for
// an object that does not exist.
type host struct{ snap *Snapshot }

var _ expr.Host = host{}

// Call implements expr.Host.
func (h host) Call(name string, args []types.Value) (types.Value, *types.Error) {
	text := func(s string, ok bool) (types.Value, *types.Error) {
		if !ok {
			return types.NullOf(types.T(types.Text)), nil
		}
		return types.TextValue(s), nil
	}
	def := h.relation(args)
	switch name {
	case "pg_get_viewdef":
		return text(queryOfView(def))
	case "pg_get_indexdef":
		if def == nil || def.Kind != catalog.Index {
			return text("", false)
		}
		return text(def.SQL, def.SQL != "")
	case "pg_relation_size", "pg_table_size", "pg_total_relation_size":
		if def == nil {
			return types.NullOf(types.T(types.Int8)), nil
		}
		return types.IntValue(types.Int8, h.snap.Bytes(def.ID)), nil
	case "pg_get_function_result", "pg_get_function_arguments", "pg_get_functiondef", "pg_get_ruledef", "pg_get_triggerdef",
		"pg_get_statisticsobjdef_columns", "pg_get_partkeydef", "pg_get_serial_sequence", "pg_get_constraintdef":
		return text("", false)
	}
	return types.Value{}, &types.Error{Code: types.CodeFeature, Message: "function " + name + " is not supported here"}
}

// relation is the one whose oid is the first argument; nil if there is none.
func (h host) relation(args []types.Value) *catalog.Relation {
	if len(args) == 0 || args[0].T.Layout() != types.LayoutInt {
		return nil
	}
	return h.snap.Catalog.ByID(catalog.ID(uint32(args[0].I)))
}

func queryOfView(def *catalog.Relation) (string, bool) {
	if def == nil || def.Kind != catalog.View && def.Kind != catalog.MaterializedView {
		return "", false
	}
	return def.Query + ";", true
}

// random serves random() in statements; views may not call it.
func random() float64 { return rand.Float64() }
