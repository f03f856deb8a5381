package engine

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// subscribePlan is a bound SUBSCRIBE.
type subscribePlan struct {
	// rel is a table or materialized view that is followed as it is; nil: query.
	rel        *catalog.Relation
	query      *plan.Query
	rows       []session.Column // of what is followed
	columns    []session.Column // of the result
	params     []types.Type
	noSnapshot bool
	progress   bool
	envelope   string // "": the changes themselves; "upsert", "debezium"
	key        []int  // of rows, for an envelope
	rest       []int  // the columns of rows that are not in key
	asOf       *stepArg
	upTo       *stepArg
}

// stepArg is a step that is written in the statement, or one of its parameters.
type stepArg struct {
	step  uint64
	param int // from 0, -1: step
	pos   int
}

// value is the step that the statement is run with.
func (a *stepArg) value(args []types.Value) (*uint64, error) {
	switch {
	case a == nil:
		return nil, nil
	case a.param < 0:
		return &a.step, nil
	case a.param >= len(args):
		return nil, at(&types.Error{Code: "42P02", Message: fmt.Sprintf("there is no parameter $%d", a.param+1)}, a.pos)
	}
	v := args[a.param]
	if v.Null || v.I < 0 {
		return nil, at(&types.Error{Code: types.CodeInvalidParameter, Message: "a step is a whole number", Detail: fmt.Sprintf("It is the value of $%d.", a.param+1)}, a.pos)
	}
	step := uint64(v.I)
	return &step, nil
}

// followed are the relations that a subscription reads the changes of.
func (sp *subscribePlan) followed() []plan.Input {
	if sp.rel != nil {
		return []plan.Input{{ID: sp.rel.ID, Key: sp.rel.Key()}}
	}
	return sp.query.Inputs
}

// rowTypes are the types of what is followed.
func (sp *subscribePlan) rowTypes() []types.Type { return typesOf(sp.rows) }

func typesOf(cols []session.Column) []types.Type {
	ts := make([]types.Type, len(cols))
	for i := range cols {
		ts[i] = cols[i].Type
	}
	return ts
}

// planSubscribe binds SUBSCRIBE.
func (s *Session) planSubscribe(pl *plan.Planner, st *sql.Subscribe) (*subscribePlan, error) {
	sp := &subscribePlan{}
	q := st.Query
	if q == nil {
		def, err := pl.Catalog.Resolve(s.params.path, st.Name.Schema(), st.Name.Last())
		if err != nil {
			return nil, at(err, st.Name.Pos())
		}
		switch def.Kind {
		case catalog.Table, catalog.MaterializedView:
			sp.rel = def
			for i, c := range def.Columns {
				sp.rows = append(sp.rows, session.Column{Name: c.Name, Type: c.Type, Table: uint32(def.ID), Attnum: int16(i + 1)})
			}
		case catalog.Source, catalog.View:
			q = &sql.Query{Body: &sql.Select{Items: []sql.SelectItem{{X: &sql.StarExpr{}}}, From: []sql.TableExpr{&sql.TableRef{Name: st.Name}}}}
		default:
			return nil, at(&types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("cannot subscribe to %s", def.Describe())}, st.Name.Pos())
		}
	}
	if sp.rel == nil {
		var err error
		if sp.query, err = pl.PlanView(q); err != nil {
			return nil, err
		}
		for _, in := range sp.query.Inputs {
			if r := pl.Catalog.ByID(in.ID); r != nil && r.Kind == catalog.Virtual {
				return nil, &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("cannot subscribe to the system catalog %q", r.Name)}
			}
		}
		sp.rows = columnsOf(sp.query.Columns)
	}
	if err := sp.options(st); err != nil {
		return nil, err
	}
	if err := sp.keyColumns(st); err != nil {
		return nil, err
	}
	sp.resultColumns()
	if sp.asOf != nil && sp.query != nil && timed(sp.query.Spec) {
		return nil, at(&types.Error{Code: types.CodeFeature, Message: "AS OF of a query whose answers come or go by time passing is not supported",
			Hint: "Make a materialized view of it, and subscribe to that."}, sp.asOf.pos)
	}
	return sp, nil
}

// timed reports whether what a circuit gives in a step depends on watermarks or the
// time, which are not kept of past steps.
func timed(spec *flow.Spec) bool {
	for i := range spec.Nodes {
		switch op := spec.Nodes[i].Op.(type) {
		case *flow.Finalize, *flow.Match, *flow.TimeFilter, *flow.Expire, *flow.Lookup:
			return true
		case *flow.Aggregate:
			if op.OnClose {
				return true
			}
		}
	}
	return false
}

func (sp *subscribePlan) options(st *sql.Subscribe) error {
	seen := map[string]bool{}
	for _, o := range st.Options {
		v, ok := o.Text()
		if o.Value == nil {
			v, ok = "true", true // the bare word
		}
		if on, err := strconv.ParseBool(v); err == nil && ok && !seen[o.Name] && (o.Name == "snapshot" || o.Name == "progress") {
			seen[o.Name] = true
			if o.Name == "snapshot" {
				sp.noSnapshot = !on
			} else {
				sp.progress = on
			}
			continue
		}
		return at(&types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("invalid option %q of SUBSCRIBE", o.Name),
			Hint: "The options are snapshot and progress, once each: true or false."}, o.Pos())
	}
	var err error
	if sp.asOf, err = sp.stepArg(st.AsOf); err != nil {
		return err
	}
	if sp.upTo, err = sp.stepArg(st.UpTo); err != nil {
		return err
	}
	for i, t := range sp.params {
		if t.Kind == types.Unknown {
			return &types.Error{Code: "42P18", Message: fmt.Sprintf("could not determine data type of parameter $%d", i+1)}
		}
	}
	return nil
}

// stepArg reads a step: a number, also as text, or a parameter.
func (sp *subscribePlan) stepArg(x sql.Expr) (*stepArg, error) {
	if x == nil {
		return nil, nil
	}
	text := ""
	switch x := x.(type) {
	case *sql.NumberLit:
		text = x.Text
	case *sql.StringLit:
		text = x.Value
	case *sql.Param:
		if x.N < 1 || x.N > maxStepParams {
			return nil, at(&types.Error{Code: "42P02", Message: fmt.Sprintf("there is no parameter $%d", x.N)}, x.Pos())
		}
		for len(sp.params) < x.N {
			sp.params = append(sp.params, types.Type{Kind: types.Unknown})
		}
		sp.params[x.N-1] = types.T(types.Int8)
		return &stepArg{param: x.N - 1, pos: x.Pos()}, nil
	}
	step, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return nil, at(&types.Error{Code: types.CodeInvalidParameter, Message: "a step is a whole number"}, x.Pos())
	}
	return &stepArg{step: step, param: -1, pos: x.Pos()}, nil
}

// maxStepParams is how many parameters SUBSCRIBE can have: AS OF and UP TO.
const maxStepParams = 2

// keyColumns finds the columns of an envelope's KEY.
func (sp *subscribePlan) keyColumns(st *sql.Subscribe) error {
	sp.envelope = st.Envelope
	if st.Envelope == "" {
		return nil
	}
	for _, id := range st.Key {
		c := slices.IndexFunc(sp.rows, func(c session.Column) bool { return c.Name == id.Text })
		if c < 0 {
			return at(&types.Error{Code: types.CodeUndefinedColumn, Message: fmt.Sprintf("column %q of KEY does not exist", id.Text)}, id.Pos())
		}
		if slices.Contains(sp.key, c) {
			return at(&types.Error{Code: types.CodeDuplicateColumn, Message: fmt.Sprintf("column %q appears twice in KEY", id.Text)}, id.Pos())
		}
		sp.key = append(sp.key, c)
	}
	for c := range sp.rows {
		if !slices.Contains(sp.key, c) {
			sp.rest = append(sp.rest, c)
		}
	}
	return nil
}

// resultColumns puts the columns of the result together.
func (sp *subscribePlan) resultColumns() {
	sp.columns = []session.Column{{Name: "step", Type: types.T(types.Int8)}}
	if sp.progress {
		sp.columns = append(sp.columns, session.Column{Name: "progressed", Type: types.T(types.Bool)})
	}
	if sp.envelope == "" {
		sp.columns = append(append(sp.columns, session.Column{Name: "weight", Type: types.T(types.Int8)}), sp.rows...)
		return
	}
	sp.columns = append(sp.columns, session.Column{Name: "state", Type: types.T(types.Text)})
	for _, c := range sp.key {
		sp.columns = append(sp.columns, sp.rows[c])
	}
	prefixes := []string{""}
	if sp.envelope == "debezium" {
		prefixes = []string{"before_", "after_"}
	}
	for _, prefix := range prefixes {
		for _, c := range sp.rest {
			col := sp.rows[c]
			col.Name = prefix + col.Name
			sp.columns = append(sp.columns, col)
		}
	}
}

// lead is how many columns come before those of the rows and their keys: the step,
// progressed if it is there, and the weight or state.
func (sp *subscribePlan) lead() int {
	if sp.progress {
		return 3
	}
	return 2
}
