package plan

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// RowPlan is what a source or table computes of each row that comes to it. Column i
// of the expressions is column i of the relation.
type RowPlan struct {
	// Generated are the columns that are computed, none of which reads another.
	Generated []Generated
	// Watermark is the value of WATERMARK FOR ... AS; nil if there is none.
	Watermark expr.Expr
}

// Generated is a column that is computed from the others.
type Generated struct {
	Column int
	Expr   expr.Expr
}

// PlanRow binds what rel computes of each row.
func (p *Planner) PlanRow(rel *catalog.Relation) (out RowPlan, err error) {
	defer guard(&err)
	b := p.binder()
	v, ids := b.rowScope(rel, rel.Name, false)
	sc := &scope{vars: []*rangeVar{v}, cols: v.cols}
	for i, c := range rel.Columns {
		if c.Generated == "" || c.ProcTime {
			continue
		}
		e := b.assign(b.expr(&exprCtx{sc: sc, clause: generatedClause}, storedExpr(c.Generated, "column "+c.Name+" of "+rel.Describe())), c, noPos)
		out.Generated = append(out.Generated, Generated{i, b.placed(e, ids)})
	}
	if w := rel.Watermark; w != nil {
		e := b.expr(&exprCtx{sc: sc, clause: "WATERMARK"}, storedExpr(w.SQL, "the watermark of "+rel.Describe()))
		out.Watermark = b.placed(e, ids)
	}
	return out, nil
}

// storedExpr parses an expression that the catalog keeps as text.
func storedExpr(text, what string) sql.Expr {
	x, err := sql.ParseExpr(text, sql.Options{})
	if err != nil {
		fail(noPos, types.CodeInternal, "%s does not read: %v", what, err)
	}
	return x
}

const generatedClause = "column generation expressions"
