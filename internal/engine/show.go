package engine

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// showKinds are the lists that SHOW gives.
var showKinds = map[string]catalog.Kind{
	"sources": catalog.Source, "tables": catalog.Table, "views": catalog.View, "materialized views": catalog.MaterializedView,
	"sinks": catalog.Sink, "indexes": catalog.Index,
}

func (s *Session) showColumns(st *sql.Show) ([]session.Column, error) {
	switch {
	case st.What == "":
		name := st.Name
		if known, ok := settings[name]; ok {
			name = known.name
		}
		return textColumns(name), nil
	case st.What == "all":
		return textColumns("name", "setting", "description"), nil
	case st.What == "columns":
		return textColumns("name", "type", "nullable"), nil
	case st.What == "indexes":
		return textColumns("schema", "name", "on", "columns"), nil
	case strings.HasPrefix(st.What, "create "):
		return textColumns("name", "create_sql"), nil
	case st.What == "schemas" || st.What == "databases":
		return textColumns("name"), nil
	}
	if _, ok := showKinds[st.What]; ok {
		return textColumns("schema", "name"), nil
	}
	return nil, unsupported(st, "SHOW "+strings.ToUpper(st.What))
}

// show answers SHOW.
func (s *Session) show(st *sql.Show) (session.Cursor, error) {
	cols, err := s.showColumns(st)
	if err != nil {
		return nil, err
	}
	rows, err := s.showRows(st)
	if err != nil {
		return nil, err
	}
	if st.Like != nil {
		col := 0
		if len(rows) > 0 && len(rows[0]) > 1 && cols[0].Name == "schema" {
			col = 1
		}
		kept := rows[:0]
		for _, r := range rows {
			if like(r[col], st.Like.Value) {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	var boxed [][]types.Value
	for _, r := range rows {
		var vals []types.Value
		for _, v := range r {
			vals = append(vals, types.TextValue(v))
		}
		boxed = append(boxed, vals)
	}
	c := textRows("SHOW", cols, boxed)
	c.tag = "SHOW"
	return c, nil
}

func (s *Session) showRows(st *sql.Show) ([][]string, error) {
	cat := s.snapshot().Catalog
	var rows [][]string
	switch {
	case st.What == "":
		v, ok := s.params.get(st.Name)
		if !ok {
			return nil, &types.Error{Code: types.CodeUndefinedObject, Message: fmt.Sprintf("unrecognized configuration parameter %q", st.Name)}
		}
		return [][]string{{v}}, nil
	case st.What == "all":
		for _, p := range s.params.list() {
			rows = append(rows, []string{p.Name, p.Value, p.Description})
		}
	case st.What == "databases":
		rows = append(rows, []string{s.e.cfg.Name})
	case st.What == "schemas":
		for _, sc := range cat.Schemas() {
			rows = append(rows, []string{sc.Name})
		}
	case st.What == "columns":
		def, err := cat.Resolve(s.params.path, st.From.Schema(), st.From.Last())
		if err != nil {
			return nil, at(err, st.From.Pos())
		}
		for _, c := range def.Columns {
			null := "true"
			if c.NotNull {
				null = "false"
			}
			rows = append(rows, []string{c.Name, c.Type.String(), null})
		}
	case strings.HasPrefix(st.What, "create "):
		def, err := cat.Resolve(s.params.path, st.From.Schema(), st.From.Last())
		if err != nil {
			return nil, at(err, st.From.Pos())
		}
		if want := strings.TrimPrefix(st.What, "create "); want != def.Kind.String() {
			return nil, at(&types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%q is not a %s", def.Name, want)}, st.From.Pos())
		}
		rows = append(rows, []string{def.Schema + "." + def.Name, def.SQL})
	default:
		return s.showList(st, cat), nil
	}
	return rows, nil
}

// showList lists the relations of a kind.
func (s *Session) showList(st *sql.Show, cat *catalog.Catalog) [][]string {
	var rows [][]string
	for _, r := range cat.Relations() {
		if r.Kind != showKinds[st.What] || r.Kind == catalog.Virtual {
			continue
		}
		if r.Kind == catalog.Index {
			on := cat.ByID(r.Index.On)
			if !st.From.IsZero() && on != nil && on.Name != st.From.Last() {
				continue
			}
			var names []string
			for _, c := range r.Columns {
				names = append(names, c.Name)
			}
			rows = append(rows, []string{r.Schema, r.Name, on.Name, strings.Join(names, ", ")})
			continue
		}
		if !st.From.IsZero() && r.Schema != st.From.Last() {
			continue
		}
		rows = append(rows, []string{r.Schema, r.Name})
	}
	return rows
}

// like matches SQL's LIKE with its escape character. Work is bounded by
// len(s) * len(pattern).
func like(s, pattern string) bool {
	back, from := -1, 0 // where the last % was, and the text it reached
	i, k := 0, 0
	for i < len(s) {
		switch {
		case k < len(pattern) && pattern[k] == '%':
			back, from = k, i
			k++
			continue
		case k < len(pattern) && pattern[k] == '\\' && k+1 < len(pattern) && pattern[k+1] == s[i]:
			i, k = i+1, k+2
			continue
		case k < len(pattern) && pattern[k] != '\\' && (pattern[k] == '_' || pattern[k] == s[i]):
			i, k = i+1, k+1
			continue
		}
		if back < 0 {
			return false
		}
		from++
		i, k = from, back+1
	}
	for k < len(pattern) && pattern[k] == '%' {
		k++
	}
	return k == len(pattern)
}

// setting runs SET, RESET, SET TRANSACTION and DISCARD.
func (s *Session) setting(stmt sql.Stmt) (session.Cursor, error) {
	switch st := stmt.(type) {
	case *sql.SetTransaction:
		s.modes(st.Modes)
		return done("SET"), nil
	case *sql.Discard:
		if st.What == "all" {
			if s.tx != nil && s.tx.explicit {
				return nil, &types.Error{Code: "25001", Message: "DISCARD ALL cannot run inside a transaction block"}
			}
			s.closeCursors(true)
			clear(s.prepared)
			s.params.resetAll()
		}
		return done("DISCARD " + strings.ToUpper(st.What)), nil
	case *sql.Set:
		return s.set(st)
	}
	return nil, unsupported(stmt, "this statement")
}

func (s *Session) set(st *sql.Set) (session.Cursor, error) {
	if st.Reset && st.Name == "all" {
		s.params.resetAll()
		return done("RESET"), nil
	}
	old, had := s.params.get(st.Name)
	var err error
	if st.Reset || st.Default {
		err = s.params.reset(st.Name)
	} else {
		var v string
		if v, err = setText(st); err == nil {
			err = s.params.set(st.Name, v, false)
		}
	}
	if err != nil {
		return nil, at(err, st.Pos())
	}
	if st.Scope == sql.ScopeLocal && had {
		if s.tx == nil || !s.tx.explicit {
			s.notice("WARNING", "25P01", "SET LOCAL can only be used in transaction blocks")
			s.params.restore(st.Name, old)
		} else {
			if s.tx.local == nil {
				s.tx.local = map[string]string{}
			}
			if _, again := s.tx.local[st.Name]; !again {
				s.tx.local[st.Name] = old
			}
		}
	}
	if st.Reset {
		return done("RESET"), nil
	}
	return done("SET"), nil
}

// setText puts the values of SET together.
func setText(st *sql.Set) (string, error) {
	var parts []string
	for _, v := range st.Values {
		switch v := v.(type) {
		case *sql.StringLit:
			if st.Name == "search_path" && len(st.Values) > 0 {
				parts = append(parts, catalog.QuoteIdent(v.Value))
			} else {
				parts = append(parts, v.Value)
			}
		case *sql.NumberLit:
			parts = append(parts, v.Text)
		case *sql.Word:
			if v.Quoted && st.Name == "search_path" {
				parts = append(parts, catalog.QuoteIdent(v.Text))
			} else {
				parts = append(parts, v.Text)
			}
		case *sql.BoolLit:
			parts = append(parts, map[bool]string{true: "on", false: "off"}[v.Value])
		case *sql.TypedLit: // SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE
			t, err := types.Parse(types.T(types.Interval), v.Value, types.Style{})
			if err != nil {
				return "", err
			}
			parts = append(parts, fmt.Sprint(float64(t.V.Micros)/3.6e9))
		default:
			return "", &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid value for parameter %q", st.Name)}
		}
	}
	return strings.Join(parts, ", "), nil
}

// modes notes the modes of a transaction; the isolation is always the same.
func (s *Session) modes(m sql.TxModes) {
	if m.ReadOnly == sql.Unset || s.tx == nil {
		return
	}
	if s.tx.local == nil {
		s.tx.local = map[string]string{}
	}
	if _, again := s.tx.local["transaction_read_only"]; !again {
		s.tx.local["transaction_read_only"] = s.params.value("transaction_read_only")
	}
	v := "off"
	if m.ReadOnly == sql.Yes {
		v = "on"
	}
	s.params.restore("transaction_read_only", v)
}

// planExplained binds the statement of EXPLAIN.
func (s *Session) planExplained(text string, stmt sql.Stmt, given []types.Type) (*prepared, error) {
	var q *sql.Query
	switch st := stmt.(type) {
	case *sql.CreateMatView:
		q = st.Query
	case *sql.CreateView:
		q = st.Query
	case *sql.CreateSink:
		q = st.Query
	case *sql.DeclareCursor:
		return s.planExplained(text, st.Stmt, given)
	}
	if q == nil {
		return s.plan(text, stmt, given)
	}
	p := &prepared{text: text, stmt: q, given: given, version: s.snapshot().Catalog.Version()}
	var err error
	p.query, err = s.planner(nil).PlanView(q)
	return p, err
}

// explained is the query whose circuit is printed.
func (s *Session) explained(p *prepared, st *sql.Explain) (*plan.Query, error) {
	if st.Stmt == nil {
		def, err := s.snapshot().Catalog.Resolve(s.params.path, st.ViewName.Schema(), st.ViewName.Last())
		if err != nil {
			return nil, at(err, st.ViewName.Pos())
		}
		if def.Query == "" {
			return nil, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%s has no circuit", def.Describe())}
		}
		return s.planner(nil).PlanRelation(def)
	}
	in := p.inner
	switch {
	case in.query != nil:
		return in.query, nil
	case in.insert != nil:
		return in.insert.Source, nil
	case in.update != nil:
		return in.update.Query, nil
	case in.remove != nil:
		return in.remove.Query, nil
	case in.sub != nil && in.sub.query != nil:
		return in.sub.query, nil
	}
	return nil, unsupported(st.Stmt, "EXPLAIN of this statement")
}

// named writes relations' names and kinds where a circuit has their keys.
func named(cat *catalog.Catalog, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		before, rest, ok := strings.Cut(line, "Input ")
		if !ok {
			continue
		}
		key, after, _ := strings.Cut(rest, " ")
		id, ok := catalog.ParseKey(key)
		if !ok {
			continue
		}
		if r := cat.ByID(id); r != nil {
			lines[i] = strings.TrimRight(before+"Input "+r.Describe()+" "+after, " ")
		}
	}
	return strings.Join(lines, "\n")
}

func digestOf(b *batch.Batch) batch.Digest { return batch.DigestOf(b) }

// planShowNodes takes SHOW NODES for a query of tidemill.nodes.
func (s *Session) planShowNodes(st *sql.Show) (*prepared, error) {
	text := "SELECT n.name, n.state, n.version, n.sql, string_agg(r.pipeline, ', ' ORDER BY r.pipeline) AS leads FROM tidemill.nodes n" +
		" LEFT JOIN tidemill.replicas r ON r.node = n.name AND r.role = 'leader'"
	if st.Like != nil {
		text += " WHERE n.name LIKE '" + strings.ReplaceAll(st.Like.Value, "'", "''") + "'"
	}
	text += " GROUP BY n.name, n.state, n.version, n.sql ORDER BY n.name"
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return nil, err
	}
	return s.plan(text, stmts[0], nil)
}
