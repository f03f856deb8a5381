package plan

import (
	"fmt"

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
	out.Generated = b.generatedOf(rel)
	if w := rel.Watermark; w != nil {
		sc := &scope{vars: []*rangeVar{v}, cols: v.cols}
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

// generatedOf binds the columns of rel that are computed from others. The time at
// which a row comes is not one.
func (b *binder) generatedOf(rel *catalog.Relation) (out []Generated) {
	v, ids := b.rowScope(rel, rel.Name, false)
	sc := &scope{vars: []*rangeVar{v}, cols: v.cols}
	for i, c := range rel.Columns {
		if c.Generated == "" || c.ProcTime {
			continue
		}
		e := b.assign(b.expr(&exprCtx{sc: sc, clause: generatedClause}, storedExpr(c.Generated, "column "+c.Name+" of "+rel.Describe())), c, noPos)
		out = append(out, Generated{i, b.placed(e, ids)})
	}
	return out
}

// generated takes a column's GENERATED ALWAYS AS (x) STORED, or AS x.
func (d *ddl) generated(r *catalog.Relation, i int, x sql.Expr, sc *scope) {
	col := &r.Columns[i]
	if col.Default != "" {
		fail(x.Pos(), types.CodeSyntax, "both default and generation expression specified for column %q of table %q", col.Name, r.Name)
	}
	if col.Generated != "" {
		fail(x.Pos(), types.CodeSyntax, "multiple generation clauses specified for column %q of table %q", col.Name, r.Name)
	}
	if isProcTime(x) {
		if col.Type.Kind == types.Unknown {
			col.Type = types.T(types.TimestampTZ)
		}
		if col.Type.Kind != types.TimestampTZ {
			fail(x.Pos(), types.CodeDatatypeMismatch, "column %q is of type %s but PROCTIME() is of type timestamp with time zone", col.Name, typeName(col.Type))
		}
		if !r.AppendOnly {
			failHint(x.Pos(), types.CodeFeature, "Write APPEND ONLY behind the columns, or use DEFAULT now().",
				"a column of PROCTIME() of table %q, whose rows may change, is not possible", r.Name)
		}
		col.ProcTime, col.Generated = true, sql.Format(x)
		return
	}
	sql.Walk(x, func(x sql.Expr) bool {
		ref, ok := x.(*sql.ColumnRef)
		if !ok {
			return true
		}
		if c := r.Column(ref.Parts[len(ref.Parts)-1].Text); c >= 0 && (r.Columns[c].Generated != "" || c == i || d.computed[c]) {
			failDetail(ref.Pos(), "42P17", "A generated column cannot reference another generated column.",
				"cannot use generated column %q in column generation expression", r.Columns[c].Name)
		}
		return true
	})
	used := d.b.usesNow
	d.b.usesNow = false
	e := d.b.settle(d.b.expr(&exprCtx{sc: sc, clause: generatedClause}, x), x.Pos())
	if hasVolatile(e) || d.b.usesNow {
		failHint(x.Pos(), "42P17", "The time at which a row comes is PROCTIME() alone.", "generation expression is not immutable")
	}
	d.b.usesNow = used
	if col.Type.Kind == types.Unknown {
		col.Type = e.Type()
	}
	if !castable(e.Type(), col.Type, castAssignment) {
		failHint(x.Pos(), types.CodeDatatypeMismatch, "You will need to rewrite or cast the expression.",
			"column %q is of type %s but generation expression is of type %s", col.Name, typeName(col.Type), typeName(e.Type()))
	}
	col.Generated = sql.Format(x)
}

// isProcTime reports whether x is PROCTIME().
func isProcTime(x sql.Expr) bool {
	f, ok := x.(*sql.FuncCall)
	return ok && len(f.Args) == 0 && f.Name.Last() == "proctime"
}

const codeGenerated = "428C9"

func generatedDetail(rel *catalog.Relation, c int) string {
	return fmt.Sprintf("Column %q is a generated column.", rel.Columns[c].Name)
}

// noValueFor refuses a value for a generated column.
func noValueFor(rel *catalog.Relation, c, pos int) {
	if rel.Columns[c].Generated != "" {
		failDetail(pos, codeGenerated, generatedDetail(rel, c), "cannot insert a non-DEFAULT value into column %q", rel.Columns[c].Name)
	}
}

// copyColumns resolves the columns of a COPY, which are none that are generated.
func copyColumns(rel *catalog.Relation, list []sql.Ident) []int {
	var out []int
	for k, c := range columns(rel, list) {
		switch {
		case rel.Columns[c].Generated == "":
			out = append(out, c)
		case len(list) > 0:
			failDetail(list[k].Pos(), "42P10", "Generated columns cannot be used in COPY.", "column %q is a generated column", rel.Columns[c].Name)
		}
	}
	return out
}

const generatedClause = "column generation expressions"
