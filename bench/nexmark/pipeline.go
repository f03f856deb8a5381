package nexmark

import (
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/worker"
)

// Pipeline is a query with the circuits that keep its answer up to date. One
// goroutine uses it.
type Pipeline struct {
	cat    *catalog.Catalog
	work   *worker.Worker
	result string // key of the circuit that gives the answer
	cols   []plan.Column
	specs  []*flow.Spec
	reads  []string                  // streams
	rows   map[string][]*batch.Batch // of tables, and of views before the first step
	step   uint64
	start  *batch.Batch // what the answer holds before the first step
}

// Build plans the statements of text and makes their circuits, over the streams with
// the columns that keep has.
func Build(text string, workers int, keep func(table, column string) bool) (*Pipeline, error) {
	return buildWith(text, worker.Config{Threads: workers}, keep)
}

func buildWith(text string, cfg worker.Config, keep func(table, column string) bool) (*Pipeline, error) {
	p := &Pipeline{cat: catalog.New(nil), work: worker.Open(cfg), rows: map[string][]*batch.Batch{}}
	for _, t := range tables {
		if err := p.exec(t.create(func(c string) bool { return keep(t.Name, c) })); err != nil {
			return nil, fmt.Errorf("stream %s: %w", t.Name, err)
		}
	}
	if err := p.exec(text); err != nil {
		return nil, err
	}
	if p.result == "" {
		return nil, fmt.Errorf("no statement makes a materialized view")
	}
	return p, nil
}

func (p *Pipeline) planner() *plan.Planner {
	return &plan.Planner{Catalog: p.cat, Session: plan.Session{User: "nexmark", Database: "nexmark", SearchPath: []string{"public"}}}
}

func (p *Pipeline) exec(text string) error {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		return err
	}
	for _, s := range stmts {
		if ins, ok := s.(*sql.Insert); ok {
			err = p.insert(ins)
		} else {
			err = p.define(s, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) define(s sql.Stmt, text string) error {
	cmd, err := p.planner().PlanDDL(s, text)
	if err != nil {
		return err
	}
	next, eff, err := p.cat.With(cmd)
	if err != nil {
		return err
	}
	p.cat = next
	for _, id := range eff.Created {
		if def := p.cat.ByID(id); def != nil && def.Kind == catalog.MaterializedView {
			if err := p.view(def); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pipeline) view(def *catalog.Relation) error {
	q, err := p.planner().PlanRelation(def)
	if err != nil {
		return err
	}
	c, err := p.work.Build(def.Key(), q.Spec, flow.Options{})
	if err != nil {
		return err
	}
	first := batch.NewBuilder(def.Types())
	_, err = c.Fill(0, 0, func(push func(string, *batch.Batch) error) error {
		for _, key := range c.Inputs() {
			for _, b := range p.rows[key] {
				if err := push(key, b); err != nil {
					return err
				}
			}
		}
		return nil
	}, func(b *batch.Batch) error {
		first.AppendBatch(b)
		return nil
	})
	if err != nil {
		return err
	}
	content := batch.Consolidate(first.View())
	p.work.Add(c)
	for _, in := range q.Inputs {
		if r := p.cat.ByID(in.ID); r.Kind == catalog.Source && !slices.Contains(p.reads, r.Name) {
			p.reads = append(p.reads, r.Name)
		}
	}
	p.rows[def.Key()] = []*batch.Batch{content}
	p.result, p.cols, p.start, p.specs = def.Key(), q.Columns, content, append(p.specs, q.Spec)
	return nil
}

// insert keeps the rows of an INSERT for the views to come.
func (p *Pipeline) insert(s *sql.Insert) error {
	ins, err := p.planner().PlanInsert(s)
	if err != nil {
		return err
	}
	if len(ins.Source.Inputs) > 0 {
		return fmt.Errorf("insert into %s: the rows must not come from another relation", ins.Table.Name)
	}
	g, err := flow.New(ins.Source.Spec, flow.Options{})
	if err != nil {
		return err
	}
	res, errs, err := g.Step(0, 0)
	if err != nil {
		return err
	}
	if errs.Total > 0 {
		return errs.Rows[0].Err
	}
	key := ins.Table.Key()
	p.rows[key] = append(p.rows[key], res[0].Batch)
	return nil
}

// Reads returns the streams that the query reads.
func (p *Pipeline) Reads() []string { return p.reads }

// Columns are those of the answer.
func (p *Pipeline) Columns() []plan.Column { return p.cols }

// Start returns what the answer holds before any event; it may be empty.
func (p *Pipeline) Start() *batch.Batch { return p.start }

// key is the relation's name in circuits.
func (p *Pipeline) key(stream string) string {
	return p.cat.Lookup([]string{"public"}, "", stream).Key()
}

// Step runs a step at the logical time now, microseconds since 2000. It returns the
// changes of the answer, consolidated; nil if there are none.
func (p *Pipeline) Step(now int64, feeds []flow.Feed) (*worker.Output, error) {
	p.step++
	outs, err := p.work.Step(p.step, now, feeds)
	if err != nil {
		return nil, err
	}
	var found *worker.Output
	for i := range outs {
		if e := outs[i].Errors; e.Total > 0 {
			return nil, fmt.Errorf("%d rows could not be computed, the first: %w", e.Total, e.Rows[0].Err)
		}
		if outs[i].Key == p.result {
			found = &outs[i]
		}
	}
	return found, nil
}

// StateBytes returns the memory that the circuits hold.
func (p *Pipeline) StateBytes() int64 { return p.work.TotalBytes() }

// needed returns the columns of streams that text names: those without which it
// cannot be planned. Streams it does not read have none but the time.
func needed(text string) (map[string][]string, error) {
	whole, err := Build(text, 1, func(string, string) bool { return true })
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	gone := map[[2]string]bool{}
	keep := func(t, c string) bool { return c == timeColumn || !gone[[2]string{t, c}] }
	for _, t := range tables {
		read := slices.Contains(whole.reads, t.Name)
		for _, c := range t.Columns {
			if c.Name == timeColumn {
				out[t.Name] = append(out[t.Name], c.Name)
				continue
			}
			k := [2]string{t.Name, c.Name}
			gone[k] = true
			if !read {
				continue
			}
			if _, err := Build(text, 1, keep); err != nil {
				delete(gone, k)
				out[t.Name] = append(out[t.Name], c.Name)
			}
		}
	}
	return out, nil
}
