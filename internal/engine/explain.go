package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// watchFor is how long EXPLAIN ANALYZE of a view counts changes for its rates.
const watchFor = time.Second

// explain prints the circuit of a statement, of a view, or of a view at work.
func (s *Session) explain(ctx context.Context, p *prepared, st *sql.Explain, args []types.Value) (session.Cursor, error) {
	if st.Stmt == nil && st.Analyze {
		return s.watch(ctx, st)
	}
	q, err := s.explained(p, st)
	if err != nil {
		return nil, err
	}
	var opt flow.ExplainOptions
	if st.Analyze {
		env := s.env(args)
		if _, err := env.query(ctx, q); err != nil {
			return nil, err
		}
		opt.Counters, opt.Workers = env.ran.Counters(), 1
	} else if opt.Bounds, err = s.planner(nil).Bounds(q); err != nil {
		return nil, err
	}
	return explainRows(named(s.snapshot().Catalog, q.Spec.Explain(opt))), nil
}

func explainRows(text string) *rowsCursor {
	var rows [][]types.Value
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		rows = append(rows, []types.Value{types.TextValue(line)})
	}
	c := textRows("EXPLAIN", textColumns("QUERY PLAN"), rows)
	c.tag = "EXPLAIN"
	return c
}

// watch prints the circuit that keeps a view, with what its operators hold, and
// with how fast they have been while it looked on.
func (s *Session) watch(ctx context.Context, st *sql.Explain) (session.Cursor, error) {
	def, err := s.snapshot().Catalog.Resolve(s.params.path, st.ViewName.Schema(), st.ViewName.Last())
	if err != nil {
		return nil, at(err, st.ViewName.Pos())
	}
	if def.Kind != catalog.MaterializedView && def.Kind != catalog.Sink {
		return nil, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%s does not run: only materialized views and sinks do", def.Describe()),
			Hint: "EXPLAIN VIEW shows what it would be in a query."}
	}
	var before, after []flow.Counters
	var spec *flow.Spec
	var last time.Time
	sample := func(to *[]flow.Counters) bool {
		return s.e.inspect(ctx, func(l *leader) {
			*to, spec, last = l.work.Counters(def.Key()), l.work.Spec(def.Key()), time.Now()
		})
	}
	if !sample(&before) {
		return nil, s.notRunning(ctx)
	}
	began := last
	select {
	case <-time.After(watchFor):
	case <-ctx.Done():
		return nil, canceled(ctx)
	}
	if !sample(&after) {
		return nil, s.notRunning(ctx)
	}
	if spec == nil || len(before) != len(after) {
		return nil, &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("%s was dropped meanwhile", def.Describe())}
	}
	b, err := s.planner(nil).Bounds(specQuery(spec))
	if err != nil {
		return nil, err
	}
	opt := flow.ExplainOptions{Workers: s.e.cfg.Workers, Counters: after, Before: before, Over: last.Sub(began), Bounds: b}
	head := fmt.Sprintf("watched for %.1f s, step %d\n", last.Sub(began).Seconds(), s.snapshot().Step)
	return explainRows(head + named(s.snapshot().Catalog, spec.Explain(opt))), nil
}

func (s *Session) notRunning(ctx context.Context) error {
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	return s.e.Err()
}
