package expr

import (
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// OwnerName is the role that owns everything.
const OwnerName = "tidemill"

// encodings are PostgreSQL's numbers of the encodings that clients may ask about.
var encodings = []struct {
	name string
	id   int64
}{{"SQL_ASCII", 0}, {"UTF8", 6}, {"LATIN1", 8}}

func systemKernels(m map[string]kernels, specs []spec) {
	row := func(sig string, r rowKernel) { m[sig] = kernels{row: r} }
	for _, s := range specs {
		switch {
		case strings.HasSuffix(s.name, "_is_visible"):
			row(s.name, func(f *frame, i int) { f.setBool(i, true) })
		case strings.HasSuffix(s.name, "_description"):
			row(s.name, func(f *frame, i int) { f.setNull(i) })
		}
	}
	row("pg_typeof", func(f *frame, i int) { f.setString(i, typeName(f.from[0])) })
	row("format_type", formatType)
	row("pg_get_userbyid", func(f *frame, i int) { f.setString(i, OwnerName) })
	row("pg_encoding_to_char", func(f *frame, i int) {
		for _, e := range encodings {
			if e.id == f.int(0, i) {
				f.setString(i, e.name)
				return
			}
		}
		f.setString(i, "")
	})
	row("pg_char_to_encoding", func(f *frame, i int) {
		for _, e := range encodings {
			if strings.EqualFold(e.name, string(f.str(0, i))) {
				f.setInt(i, e.id)
				return
			}
		}
		f.setInt(i, -1)
	})
	row("pg_client_encoding", func(f *frame, i int) { f.setString(i, "UTF8") })
	row("pg_relation_is_publishable", func(f *frame, i int) { f.setBool(i, true) })
	row("pg_index_column_has_property", func(f *frame, i int) { f.setNull(i) })
	// The catalogs hold expressions as the text that defines them.
	row("pg_get_expr", func(f *frame, i int) { f.setStr(i, f.str(0, i)) })
	row("txid_current", func(f *frame, i int) { f.setInt(i, f.r.ctx.Now) })
	row("clock_timestamp", func(f *frame, i int) { f.setInt(i, f.r.ctx.Now) })
}

// formatType is format_type(oid, typmod): the type's name as SQL writes it.
func formatType(f *frame, i int) {
	if f.null(0, i) {
		f.setNull(i)
		return
	}
	t, ok := types.FromOID(uint32(f.int(0, i)))
	switch {
	case f.int(0, i) == 0:
		f.setString(i, "-")
		return
	case !ok:
		f.setString(i, "???")
		return
	}
	if !f.null(1, i) && f.int(1, i) >= 0 {
		mod := int32(f.int(1, i))
		switch t.Kind {
		case types.Varchar, types.Numeric:
			t.Mod = mod
		case types.Time, types.Timestamp, types.TimestampTZ, types.Interval:
			if mod <= types.MaxTimePrecision {
				t.Mod = mod + 1
			}
		}
	}
	f.setString(i, t.String())
}
