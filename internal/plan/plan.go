// Package plan turns statements into circuits: it binds names and types with
// PostgreSQL's rules, removes subqueries, moves filters down and emits a
// flow.Spec. It is pure: all it knows comes from the catalog version, the
// session and the statement it is given.
package plan

import (
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// Bounds of one plan.
const (
	maxPlanColumns = 1 << 20 // column identities
	maxViewDepth   = 64      // views within views
	maxPlanNodes   = 20000   // nodes of the circuit
	maxParams      = 65535   // parameters, as in the protocol
	maxColumns     = 1600    // columns of a table or query, as in PostgreSQL
)

// Session is what a statement may depend on besides the catalog.
type Session struct {
	User       string
	Database   string
	SearchPath []string       // without pg_catalog, which is searched first
	Zone       *time.Location // nil means UTC
	BackendPID int32
	Version    string // what version() answers
}

// Planner plans statements against one version of the catalog. It keeps no
// state between calls and may be used by several goroutines.
type Planner struct {
	Catalog *catalog.Catalog
	Session Session
	// ParamTypes are the types that the client declared for $1, $2 ...; Unknown
	// ones, and those past the end, are inferred.
	ParamTypes []types.Type
	// Options, if set, checks the connector, WITH and FORMAT options of a source
	// or sink before it is created.
	Options func(r *catalog.Relation) error
	// Macros are functions over system catalogs, by name: each is a query of one
	// column over its parameters $1, $2 ...
	Macros map[string]Macro
}

// Macro is a function written as a scalar query.
type Macro struct {
	Params []types.Type // the last may be omitted in a call if Optional
	// Optional is how many parameters at the end may be left out; they are NULL then.
	Optional int
	SQL      string // SELECT ... with $1, $2 ... for the arguments
}

// Column is a column that a statement returns.
type Column struct {
	Name     string
	Type     types.Type
	Relation catalog.ID // where it comes from unchanged; 0 if computed
	Attr     int        // its number there, from 1; 0 if computed
}

// Input is a relation that a circuit reads.
type Input struct {
	ID  catalog.ID
	Key string // flow.Input.Rel
}

// Query is a planned query: a circuit with one Output, and how to present it.
type Query struct {
	Spec   *flow.Spec
	Inputs []Input // each relation once, in order of ID
	// Columns are the visible columns, which are the output's first; the rest
	// are there to sort by.
	Columns []Column
	OrderBy []flow.SortKey // over the output's columns
	// Limit and Offset are for the reader to apply after sorting, where they are
	// not constants and so could not go into the circuit; nil if there is none.
	Limit, Offset expr.Expr
	AppendOnly    bool // the output never withdraws a row
	Params        []types.Type
	// EmitOnWindowClose was asked for: each row comes once, when it is final.
	EmitOnWindowClose bool
	// UsesNow says that the answer depends on the time of the statement.
	UsesNow bool
}

// binder is the state of planning one statement.
type binder struct {
	p *Planner
	timePlan
	cols      []colMeta
	params    []types.Type
	deps      map[catalog.ID]bool // all relations named, views included
	reads     map[catalog.ID]bool // relations the circuit reads
	inView    bool                // planning a view's own query
	path      []string            // search path in force
	viewDepth int
	usesNow   bool
	nowOK     bool        // now() is allowed here though the query is a view's
	macroArgs []expr.Expr // arguments of the macro being expanded
	inMacro   bool
	// Of the function whose body is being bound.
	funcArgs   []expr.Expr
	inFunction bool
	top        *sql.Query // the whole statement's query
	funcDepth  int
	siblings   []string // FROM items that a subquery without LATERAL cannot see, for messages
}

func (p *Planner) binder() *binder {
	b := &binder{p: p, deps: map[catalog.ID]bool{}, reads: map[catalog.ID]bool{}, path: p.Session.SearchPath}
	b.params = append(b.params, p.ParamTypes...)
	return b
}

// PlanSelect plans a query to be answered once.
func (p *Planner) PlanSelect(q *sql.Query) (out *Query, err error) {
	defer guard(&err)
	b := p.binder()
	b.top = q
	r := b.query(q, nil, nil)
	return b.finish(r, "result"), nil
}

// PlanView plans the query of a view that is kept up to date: ORDER BY without
// LIMIT means nothing, and what would change by itself is refused.
func (p *Planner) PlanView(q *sql.Query) (out *Query, err error) {
	defer guard(&err)
	b := p.binder()
	b.inView, b.top = true, q
	r := b.query(q, nil, nil)
	if len(b.params) > 0 {
		fail(q.Pos(), "42P02", "there is no parameter $1")
	}
	if r.limitX != nil || r.offsetX != nil {
		fail(q.Pos(), types.CodeFeature, "LIMIT and OFFSET of a view must be constants")
	}
	r.order = nil
	return b.finish(r, "view"), nil
}

// PlanValue binds an expression without columns, as in EXECUTE's arguments or
// SUBSCRIBE ... AS OF, as a value of type t; Unknown leaves it its own.
func (p *Planner) PlanValue(x sql.Expr, t types.Type) (out expr.Expr, err error) {
	defer guard(&err)
	b := p.binder()
	e := b.expr(&exprCtx{sc: &scope{}, clause: "this context"}, x)
	if t.Kind == types.Unknown {
		return b.settle(e, x.Pos()), nil
	}
	return b.coerce(e, t, castAssignment, x.Pos()), nil
}

// finish optimises and emits a bound query.
func (b *binder) finish(r *result, name string) *Query {
	q := &Query{Limit: r.limitX, Offset: r.offsetX, Params: b.finalParams(), UsesNow: b.usesNow, EmitOnWindowClose: r.onClose}
	var cols []int
	for _, c := range r.cols {
		cols = append(cols, c.id)
		q.Columns = append(q.Columns, Column{Name: c.name, Type: b.cols[c.id].typ, Relation: c.rel, Attr: c.att})
	}
	for _, k := range r.order {
		pos := indexOf(cols, k.col)
		if pos < 0 {
			pos = len(cols)
			cols = append(cols, k.col)
		}
		q.OrderBy = append(q.OrderBy, flow.SortKey{Col: pos, Desc: k.desc, NullsFirst: k.nullsFirst})
	}
	n := b.windowKeys(b.optimise(r.node), r.onClose, map[*shared]bool{})
	e := b.emitter()
	e.need(n, setOf(cols))
	q.Spec = e.output(n, cols, name)
	q.AppendOnly = appendOnly(n)
	if r.onClose {
		q.Spec, q.AppendOnly = b.onClose(q.Spec, r.closeAt), true
	}
	q.Inputs = e.inputs()
	if b.ttl > 0 {
		if q.EmitOnWindowClose {
			failHint(noPos, types.CodeFeature, "Watermarks bound the state of such a view.", "%s and EMIT ON WINDOW CLOSE exclude each other", ttlOption)
		}
		spec, any := expireInputs(q.Spec, b.ttl)
		q.Spec, q.AppendOnly = spec, q.AppendOnly && !any
	}
	return q
}

// finalParams are the parameters' types once all is bound.
func (b *binder) finalParams() []types.Type {
	for i, t := range b.params {
		if t.Kind == types.Unknown {
			fail(noPos, "42P18", "could not determine data type of parameter $%d", i+1)
		}
	}
	return b.params
}

func indexOf(xs []int, x int) int {
	for i, y := range xs {
		if y == x {
			return i
		}
	}
	return -1
}
