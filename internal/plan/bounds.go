package plan

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
)

// Bounds says of each operator of q how its state grows, from what the catalog
// knows of the relations that it reads.
func (p *Planner) Bounds(q *Query) (*flow.Bounds, error) {
	rel := func(key string) *catalog.Relation {
		id, _ := catalog.ParseKey(key)
		return p.Catalog.ByID(id)
	}
	return q.Spec.Bounds(
		func(key string, col int) bool { r := rel(key); return r != nil && r.HasMark(col) },
		func(key string) flow.Growth {
			switch r := rel(key); {
			case r == nil || r.Kind == catalog.Virtual:
				return flow.Fixed
			case r.Kind == catalog.Source || r.Kind == catalog.Table && r.AppendOnly:
				return flow.ByRows
			default:
				return flow.Growth(r.Growth)
			}
		})
}

// noteBounds puts down in r, a materialized view or sink over q, which columns of it
// have watermarks, how it grows, and which operators hold on to every row.
func (d *ddl) noteBounds(r *catalog.Relation, q *Query) {
	b, err := d.b.p.Bounds(q)
	check(noPos, err)
	last := len(q.Spec.Nodes) - 1
	for c, marked := range b.TimeColumns[last] {
		if marked && c < len(r.Columns) {
			r.TimeColumns = append(r.TimeColumns, c)
		}
	}
	r.Growth, r.Unbounded = uint8(b.Content[last]), q.Spec.Unbounded(b)
}
