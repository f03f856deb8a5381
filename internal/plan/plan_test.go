package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// TestPlans runs testdata/*: "exec" changes the catalog, "plan" prints what a
// statement becomes, or its error with the text that it points at.
func TestPlans(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		cat := catalog.New([]catalog.Relation{{Schema: "pg_catalog", Name: "pg_class", ID: 1259, Columns: []catalog.Column{
			{Name: "oid", Type: types.T(types.Oid)}, {Name: "relname", Type: types.T(types.Name)}}}})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			stmts, err := sql.Parse(d.Input, sql.Options{})
			if err != nil {
				return "PARSE ERROR: " + err.Error() + "\n"
			}
			var out strings.Builder
			for _, s := range stmts {
				p := testPlanner(cat)
				if d.Cmd == "exec" {
					cat = execDDL(p, cat, s, d.Input, &out)
					continue
				}
				text, err := describe(p, s, d.Cmd)
				if q, ok := s.(*sql.Query); ok && d.Cmd == "rows" {
					text, err = "", nil
					var planned *Query
					if planned, err = p.PlanSelect(q); err == nil {
						text, err = evaluate(t, planned, testRows(cat))
					}
				}
				if err != nil {
					text = describeError(err, d.Input)
				}
				out.WriteString(text)
			}
			return out.String()
		})
	})
}

// testRows fills the integer tables of testdata/rows: a NULL, a duplicate and
// gaps on both sides of every join.
func testRows(cat *catalog.Catalog) map[string][][]types.Value {
	data := map[string][][]any{
		"l": {{1, 10}, {2, 20}, {2, 20}, {3, nil}, {nil, 40}, {5, 50}},
		"r": {{1, 100}, {1, 101}, {2, nil}, {4, 400}, {nil, 500}},
		"e": {},
	}
	out := map[string][][]types.Value{}
	for name, rows := range data {
		rel := cat.Lookup([]string{"public"}, "", name)
		if rel == nil {
			continue
		}
		for _, r := range rows {
			var row []types.Value
			for i, x := range r {
				v := types.NullOf(rel.Columns[i].Type)
				if n, ok := x.(int); ok {
					v = types.Value{T: rel.Columns[i].Type, I: int64(n)}
				}
				row = append(row, v)
			}
			out[rel.Key()] = append(out[rel.Key()], row)
		}
	}
	return out
}

func testPlanner(cat *catalog.Catalog) *Planner {
	return &Planner{Catalog: cat, Session: Session{User: "tidemill", Database: "tidemill", SearchPath: []string{"public"}, Version: "Tidemill"},
		Macros: map[string]Macro{"pg_table_is_visible": {Params: []types.Type{types.T(types.Oid)}, SQL: "SELECT true FROM pg_class WHERE oid = $1"}}}
}

func execDDL(p *Planner, cat *catalog.Catalog, s sql.Stmt, text string, out *strings.Builder) *catalog.Catalog {
	cmd, err := p.PlanDDL(s, text)
	if err != nil {
		out.WriteString(describeError(err, text))
		return cat
	}
	next, eff, err := cat.With(cmd)
	if err != nil {
		out.WriteString(describeError(err, text))
		return cat
	}
	for _, n := range eff.Notices {
		fmt.Fprintf(out, "NOTICE: %s\n", n.Message)
	}
	for _, id := range eff.Created {
		if r := next.ByID(id); r != nil {
			fmt.Fprintf(out, "%d %s(%s)", id, r.Describe(), columnText(r))
			for _, c := range r.Checks {
				fmt.Fprintf(out, " %s: %s", c.Name, c.SQL)
			}
			if len(r.DependsOn) > 0 {
				fmt.Fprintf(out, " needs %d", r.DependsOn)
			}
			out.WriteString("\n")
		}
	}
	return next
}

func columnText(r *catalog.Relation) string {
	var parts []string
	for _, c := range r.Columns {
		s := c.Name + " " + c.Type.String()
		if c.NotNull {
			s += " not null"
		}
		if c.Default != "" {
			s += " default " + c.Default
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func describe(p *Planner, s sql.Stmt, cmd string) (string, error) {
	switch s := s.(type) {
	case *sql.Query:
		f := p.PlanSelect
		if cmd == "view" {
			f = p.PlanView
		}
		q, err := f(s)
		if err != nil {
			return "", err
		}
		return queryText(q), nil
	case *sql.Insert:
		i, err := p.PlanInsert(s)
		if err != nil {
			return "", err
		}
		out := queryText(i.Source) + targetText(i.Target)
		if i.OnConflict != nil {
			out += fmt.Sprintf("on conflict: %v where %v\n", i.OnConflict.Set, i.OnConflict.Where)
		}
		return out + returningText(i.Returning), nil
	case *sql.Update:
		u, err := p.PlanUpdate(s)
		if err != nil {
			return "", err
		}
		return queryText(u.Query) + targetText(u.Target) + returningText(u.Returning), nil
	case *sql.Delete:
		x, err := p.PlanDelete(s)
		if err != nil {
			return "", err
		}
		return queryText(x.Query) + returningText(x.Returning), nil
	}
	return "", fmt.Errorf("test: cannot plan %T", s)
}

func targetText(t Target) string {
	out := fmt.Sprintf("not null: %v\n", t.NotNull)
	for _, c := range t.Checks {
		out += fmt.Sprintf("check %s: %v\n", c.Name, c.Pred)
	}
	return out
}

func returningText(r *Returning) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("returning: %v\n", r.Exprs)
}

func describeError(err error, text string) string {
	var e *types.Error
	if !errors.As(err, &e) {
		return "ERROR: " + err.Error() + "\n"
	}
	out := fmt.Sprintf("ERROR %s: %s", e.Code, e.Message)
	if e.Pos > 0 {
		rest := strings.Fields(text[e.Pos-1:])
		if len(rest) > 0 {
			out += fmt.Sprintf(" -- at %s", rest[0])
		}
	}
	out += "\n"
	if e.Detail != "" {
		out += "DETAIL: " + e.Detail + "\n"
	}
	if e.Hint != "" {
		out += "HINT: " + e.Hint + "\n"
	}
	return out
}

func queryText(q *Query) string {
	var out strings.Builder
	for i, c := range q.Columns {
		if i > 0 {
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%s %s", c.Name, c.Type)
		if c.Relation != 0 {
			fmt.Fprintf(&out, " (%d.%d)", c.Relation, c.Attr)
		}
	}
	out.WriteString("\n")
	if len(q.OrderBy) > 0 {
		fmt.Fprintf(&out, "order by %s\n", keysText(q.OrderBy))
	}
	if q.Limit != nil || q.Offset != nil {
		fmt.Fprintf(&out, "limit %v offset %v\n", q.Limit, q.Offset)
	}
	if len(q.Params) > 0 {
		fmt.Fprintf(&out, "params %v\n", q.Params)
	}
	if q.AppendOnly {
		out.WriteString("append only\n")
	}
	tree(&out, q.Spec, len(q.Spec.Nodes)-1, 0, map[int]bool{})
	return out.String()
}

func keysText(ks []flow.SortKey) string {
	var parts []string
	for _, k := range ks {
		s := fmt.Sprintf("#%d", k.Col)
		if k.Desc {
			s += " desc"
		}
		if k.NullsFirst != k.Desc {
			s += fmt.Sprintf(" nulls first=%v", k.NullsFirst)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// tree prints a circuit from its output down; a node read twice is printed once.
func tree(out *strings.Builder, s *flow.Spec, n, depth int, seen map[int]bool) {
	node := s.Nodes[n]
	fmt.Fprintf(out, "%s%d: %s -> %d\n", strings.Repeat("  ", depth), n, opText(node.Op), len(node.Out))
	if seen[n] && len(node.In) > 0 {
		fmt.Fprintf(out, "%s...\n", strings.Repeat("  ", depth+1))
		return
	}
	seen[n] = true
	for _, in := range node.In {
		tree(out, s, in, depth+1, seen)
	}
}

func opText(op flow.Op) string {
	switch o := op.(type) {
	case *flow.Input:
		return "input " + o.Rel
	case *flow.Values:
		return fmt.Sprintf("values %d", o.Rows.N)
	case *flow.Filter:
		return fmt.Sprintf("filter %v", o.Pred)
	case *flow.Project:
		return "project " + exprsText(o.Exprs)
	case *flow.ProjectSet:
		return fmt.Sprintf("project set %s(%s) ordinality=%v", o.Fn.Name, exprsText(o.Args), o.Ordinality)
	case *flow.Window:
		return fmt.Sprintf("window #%d slide %d size %d offset %d", o.Time, o.Slide, o.Size, o.Offset)
	case *flow.Union:
		return "union"
	case *flow.Distinct:
		return "distinct"
	case *flow.SetOp:
		return fmt.Sprintf("set op except=%v all=%v", o.Except, o.All)
	case *flow.Join:
		kind := [...]string{"inner", "left", "right", "full", "semi", "anti", "anti-null"}[o.Kind]
		s := fmt.Sprintf("%s join %v = %v", kind, o.LeftKeys, o.RightKeys)
		if o.NullSafe {
			s += " null-safe"
		}
		if o.On != nil {
			s += fmt.Sprintf(" on %v", o.On)
		}
		return s
	case *flow.Aggregate:
		s := fmt.Sprintf("aggregate %v", o.Keys)
		if o.Scalar {
			s += " scalar"
		}
		if o.OnClose {
			s += fmt.Sprintf(" on close of %d", o.Keys[o.CloseKey])
		}
		for _, c := range o.Calls {
			s += fmt.Sprintf(" %s%v", c.Fn.Name, c.Args)
			if c.Distinct {
				s += " distinct"
			}
			if c.Filter >= 0 {
				s += fmt.Sprintf(" filter #%d", c.Filter)
			}
			if len(c.Order) > 0 {
				s += " order " + keysText(c.Order)
			}
		}
		return s
	case *flow.TopN:
		return fmt.Sprintf("top %v by %s limit %d offset %d", o.Partition, keysText(o.Order), o.Limit, o.Offset)
	case *flow.Output:
		return "output"
	}
	return op.Describe()
}

func exprsText(es []expr.Expr) string {
	parts := make([]string, len(es))
	for i, e := range es {
		parts[i] = e.String()
	}
	return strings.Join(parts, ", ")
}
