package plan

import (
	"strconv"

	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// typeName is the type without its modifier as messages print it.
func typeName(t types.Type) string { return t.WithoutMod().String() }

// maxTimePrecision is the most fractional digits of a time.
const maxTimePrecision = 6

// maxTypeMods bounds the modifiers of a type.
const maxTypeMods = 8

// resolveType turns a type's name in the syntax into a type.
func resolveType(tn *sql.TypeName) types.Type {
	name, schema := tn.Name.Last(), tn.Name.Schema()
	if tn.SetOf || tn.PercentTy {
		unsupported(tn.Pos(), "SETOF and %%TYPE")
	}
	switch name {
	case "serial", "bigserial", "smallserial", "serial2", "serial4", "serial8":
		unsupported(tn.Pos(), "type %s", name)
	}
	if schema != "" && schema != "pg_catalog" {
		fail(tn.Pos(), types.CodeUndefinedObject, "type %q does not exist", schema+"."+name)
	}
	if len(tn.ArrayDims) > 1 {
		unsupported(tn.Pos(), "an array of more than one dimension")
	}
	if len(tn.Mods) > maxTypeMods {
		fail(tn.Pos(), types.CodeInvalidParameter, "invalid type modifier")
	}
	mods := make([]int32, len(tn.Mods))
	for i, m := range tn.Mods {
		n, ok := m.(*sql.NumberLit)
		if !ok {
			fail(m.Pos(), types.CodeInvalidParameter, "type modifiers must be simple constants or identifiers")
		}
		v, err := strconv.ParseInt(n.Text, 10, 32)
		if err != nil {
			fail(m.Pos(), types.CodeInvalidParameter, "invalid type modifier %s", n.Text)
		}
		mods[i] = int32(v)
	}
	t, err := types.ParseTypeName(name, mods, len(tn.ArrayDims) > 0)
	check(tn.Pos(), err)
	return t
}
