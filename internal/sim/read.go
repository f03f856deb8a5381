package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/oracle"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
)

// pgEpochSeconds is 2000-01-01 in Unix time.
const pgEpochSeconds = 946684800

func timeOf(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// makeBase makes the tables, sources and first views.
func (w *World) makeBase(p *proc) {
	if len(p.sessions) == 0 {
		return
	}
	c := p.sessions[0]
	var texts []string
	texts = append(texts, baseTables...)
	for _, i := range w.rng.Perm(len(viewPool))[:w.want.views] {
		v := &viewPool[i]
		if v.reads != "" {
			if r := viewByName(v.reads).create(); !slices.Contains(texts, r) {
				texts = append(texts, r)
			}
		}
		if !slices.Contains(texts, v.create()) {
			texts = append(texts, v.create())
		}
	}
	for _, of := range []string{"t", "ev", viewPool[0].name, "u"} {
		if w.IntN(4) == 0 && (of != viewPool[0].name || slices.Contains(texts, viewPool[0].create())) {
			texts = append(texts, "CREATE SINK k_"+of+" FROM "+of+" WITH (connector = 'kept')")
		}
	}
	w.begin(c, "make the base tables", func() {
		for _, s := range texts {
			if r := w.exec(c, s); w.judge(c, s, r) != acked {
				return
			}
		}
	})
}

// define runs DDL.
func (w *World) define(c *client) {
	cat := c.p.eng.Snapshot().Catalog
	has := func(name string) bool { return cat.Lookup([]string{"public"}, "", name) != nil }
	text := ""
	switch n := w.IntN(100); {
	case !has("gen"):
		for _, s := range baseTables { // the process that was at it has died
			r := w.exec(c, s)
			if w.judge(c, s, r) == unknown || c.p.ended {
				return
			}
		}
		return
	case n < 50:
		v := &viewPool[w.IntN(len(viewPool))]
		if text = v.create(); v.reads != "" && !has(v.reads) {
			text = viewByName(v.reads).create()
		}
	case n < 75:
		v := &viewPool[w.IntN(len(viewPool))]
		text = "DROP MATERIALIZED VIEW " + v.name + pickOf(w, "", " CASCADE")
		if !has(v.name) {
			return
		}
	case n < 80:
		text = pickOf(w, indexPool...)
	case n < 90:
		var rels []string
		for _, r := range cat.Relations() {
			if r.Kind == catalog.Table || r.Kind == catalog.MaterializedView {
				rels = append(rels, r.Name)
			}
		}
		name := pickOf(w, rels...)
		text = pickOf(w, "CREATE SINK k_"+name+" FROM "+name+" WITH (connector = 'kept')", "DROP SINK k_"+name)
	case n < 95:
		text = "DROP INDEX " + pickOf(w, "i_g", "i_ng", "i_u")
	default:
		// A table, and a source with its stream, come and go too.
		text = pickOf(w, "DROP SOURCE src CASCADE", "CREATE TABLE IF NOT EXISTS x (a INT PRIMARY KEY, w BIGINT)", "DROP TABLE IF EXISTS x", "DROP SOURCE gen CASCADE")
	}
	w.judge(c, text, w.exec(c, text))
	if c.p.dead || c.p.ended {
		return
	}
	if !has("src") || c.p.eng.Snapshot().Catalog.Lookup([]string{"public"}, "", "src") == nil {
		w.judge(c, baseTables[4], w.exec(c, baseTables[4]))
	}
}

// lastWrite is the write that must be committed when the faults have ended.
func (w *World) lastWrite(p *proc) {
	c := p.sessions[0]
	w.begin(c, "last write", func() {
		if p.eng.Snapshot().Catalog.Lookup([]string{"public"}, "", "u") == nil {
			if r := w.exec(c, baseTables[1]); w.judge(c, baseTables[1], r) != acked {
				p.afterCalm = 0
				return
			}
		}
		m := w.number()
		text := fmt.Sprintf("INSERT INTO u VALUES (1, 1, %d)", m)
		r := w.exec(c, text)
		out := w.judge(c, text, r)
		w.told(c, m, text, out, false)
		p.afterCalm = 0
		if out == acked {
			if w.judge(c, "FLUSH", w.exec(c, "FLUSH")) == acked {
				p.afterCalm = 2
			}
		}
	})
}

// read reads several relations in one transaction, which must all be of one step.
func (w *World) read(c *client) {
	if c.p.stands() { // wait until it has what the session wrote
		if r := w.exec(c, "SELECT 1"); w.judge(c, "SELECT 1", r) != acked {
			return
		}
	}
	latest := w.IntN(4) == 0
	if latest {
		if w.latest(c); c.p.dead {
			return
		}
	}
	if r := w.exec(c, "BEGIN"); w.judge(c, "BEGIN", r) != acked {
		return
	}
	snap := c.p.eng.Snapshot()
	if snap.Step < c.step {
		w.fail("%s of %s reads step %d after step %d", c.name, c.p.name, snap.Step, c.step)
	}
	c.step = snap.Step
	var rels []*catalog.Relation
	for _, r := range snap.Catalog.Relations() {
		if r.Kind == catalog.Table || r.Kind == catalog.MaterializedView || r.Kind == catalog.Source {
			rels = append(rels, r)
		}
	}
	for range 1 + w.IntN(3) {
		if len(rels) == 0 {
			break
		}
		def := rels[w.IntN(len(rels))]
		text := "SELECT * FROM " + def.Name
		if v := viewByName(def.Name); v != nil && v.check == exact && def.Name != "v_recent" && w.IntN(2) == 0 {
			text = v.query // the view's query, asked now, gives what the view holds
		}
		r := w.exec(c, text)
		if c.p.dead {
			return
		}
		if r.err != nil {
			if !w.damaged(c.p, r.err) && !over(c.p, r.err) && (!c.p.faulty || broken(r.err)) {
				w.fail("%s: %v", text, r.err)
			}
			break
		}
		var sum batch.Digest
		for _, b := range r.rows {
			sum = sum.Add(batch.DigestOf(b))
		}
		if want, ok := w.known(def.ID, snap.Step); ok && want != sum && !c.p.dead {
			w.fail("%s: %q at step %d gives %s, another digest than the relation's", c.p.name, text, snap.Step, show(r.rows))
		}
		if w.pause(c.p) != nil {
			return
		}
	}
	w.judge(c, "COMMIT", w.exec(c, "COMMIT"))
}

// over reports whether err says that the engine has ended, as it has: sessions of a node of
// a cluster then do not read on.
func over(p *proc, err error) bool {
	var te *types.Error
	if !errors.As(err, &te) || te.Code != "57P04" && te.Code != "57P01" {
		return false
	}
	select {
	case <-p.eng.Done():
		return true
	default:
		return false
	}
}

// known returns the digest of a relation at a step, if it is known.
func (w *World) known(id catalog.ID, step uint64) (batch.Digest, bool) {
	if t := w.chk.tables[id]; t != nil {
		return t.of(step)
	}
	return w.knownTo(id, step, false)
}

// knownTo returns the digest of a view at a step as one of the versions computes it.
func (w *World) knownTo(id catalog.ID, step uint64, newer bool) (batch.Digest, bool) {
	d := w.chk.views[id]
	if newer {
		d = w.chk.newer[id]
	}
	if d != nil {
		if i, ok := slices.BinarySearch(d.steps, step); ok {
			return d.sums[i], true
		}
	}
	return batch.Digest{}, false
}

// lookAt checks a snapshot that has become visible: tables are what the log says, views
// are what everybody else saw at the step, and now and then what the oracle computes.
func (w *World) lookAt(p *proc) {
	snap := p.eng.Snapshot()
	if snap == p.seen {
		return
	}
	if p.seen != nil && snap.Step < p.seen.Step {
		w.fail("%s goes back from step %d to %d", p.name, p.seen.Step, snap.Step)
	}
	if p.seen != nil && snap.Step > p.seen.Step && len(p.eng.Builds()) > 0 {
		w.sometimes("step while a view is made")
	}
	p.seen = snap
	if snap.Step > w.chk.step {
		w.fail("%s shows step %d, the log is at %d", p.name, snap.Step, w.chk.step)
		return
	}
	deep := w.IntN(w.want.oracle) == 0
	var views []*catalog.Relation
	for _, def := range snap.Catalog.Relations() {
		rows := snap.Rows(def.ID)
		if rows == nil || def.Kind == catalog.Index {
			continue
		}
		sum, err := digest(rows)
		if err != nil {
			w.unreadable(p, def, err)
			continue
		}
		if t := w.chk.tables[def.ID]; t != nil {
			if want, ok := t.of(snap.Step); ok && want != sum {
				w.fail("%s: table %s at step %d is not what the log says: %s", p.name, def.Name, snap.Step, showSnapshot(rows))
			}
			continue
		}
		if w.oldRows(p, snap, def) {
			continue
		}
		if len(snap.Old([]catalog.ID{def.ID})) > 0 {
			w.sometimes("view shows old rows")
			continue // it says so to its readers, until it is computed anew
		}
		if def.Kind == catalog.MaterializedView && w.sameView(p, def, snap.Step, sum, rows) {
			views = append(views, def)
		}
	}
	if deep && len(views) > 0 && snap.Step == w.chk.step {
		w.oracle(p, snap, views[w.IntN(len(views))])
	}
}

// unreadable is for a relation of which a reader gets an error and no rows: that may only
// be where the world has damaged or failed a disk.
func (w *World) unreadable(p *proc, def *catalog.Relation, err error) {
	if w.counts["bit flipped in packs"] == 0 && w.counts["error of the disk"] == 0 {
		w.fail("%s: %s cannot be read: %v", p.name, def.Name, err)
		return
	}
	w.sometimes("reader told of damage")
}

// sameView notes or compares a view's digest at a step, and says whether it is a view of
// the log's catalog.
func (w *World) sameView(p *proc, def *catalog.Relation, step uint64, sum batch.Digest, rows *state.Snapshot) bool {
	if w.chk.cat.ByID(def.ID) == nil {
		return false
	}
	of := w.chk.views
	if p.newer {
		of = w.chk.newer
	}
	d := of[def.ID]
	if d == nil {
		d = &digests{}
		of[def.ID] = d
	}
	i, found := slices.BinarySearch(d.steps, step)
	switch {
	case !found:
		d.steps, d.sums = slices.Insert(d.steps, i, step), slices.Insert(d.sums, i, sum)
	case d.sums[i] != sum:
		w.fail("%s: view %s at step %d is not what it was before: %s", p.name, def.Name, step, showSnapshot(rows))
	}
	return true
}

// oracle computes a view from the committed tables and compares.
func (w *World) oracle(p *proc, snap *engine.Snapshot, def *catalog.Relation) {
	v := viewByName(def.Name)
	if v == nil || v.check == replay || v.name == "v_recent" && w.chk.made || len(snap.Old([]catalog.ID{def.ID})) > 0 {
		return
	}
	want, err := w.compute(p, snap.Catalog, def, 0)
	if err != nil {
		w.fail("the oracle of %s: %v", def.Name, err)
		return
	}
	if want == nil {
		return
	}
	w.counts["views compared with the oracle"]++
	var got oracle.Table
	if err := snap.Rows(def.ID).Blocks(func(b *batch.Batch) error {
		got = append(got, oracle.FromBatch(b)...)
		return nil
	}); err != nil {
		w.unreadable(p, def, err)
		return
	}
	got = oracle.Consolidate(got)
	if same(got, want, v.check) {
		return
	}
	w.fail("%s: view %s at step %d holds\n  %v\nand the oracle says\n  %v", p.name, def.Name, snap.Step, texts(got), texts(want))
}

// compute is a view's content at the log's last step, nil if it cannot be known.
func (w *World) compute(p *proc, cat *catalog.Catalog, def *catalog.Relation, depth int) (oracle.Table, error) {
	if p.newer {
		other := *def
		other.Query = reads(def.Query)
		def = &other
	}
	pl := plan.Planner{Catalog: cat, Session: plan.Session{SearchPath: def.SearchPath, Version: engine.Version}}
	q, err := pl.PlanRelation(def)
	if err != nil {
		return nil, err
	}
	in := map[string]oracle.Table{}
	for _, x := range q.Inputs {
		rel := cat.ByID(x.ID)
		if t := w.chk.tables[x.ID]; t != nil {
			in[x.Key] = t.table()
			continue
		}
		if rel == nil || rel.Kind != catalog.MaterializedView || depth > 3 {
			return nil, nil // dropped meanwhile
		}
		t, err := w.compute(p, cat, rel, depth+1)
		if t == nil || err != nil {
			return nil, err
		}
		in[x.Key] = t
	}
	res, err := oracle.Eval(q.Spec, in, &expr.Ctx{Now: w.chk.now})
	if err != nil {
		return nil, err
	}
	out := oracle.Table{}
	for _, t := range res.Outputs {
		out = append(out, t...)
	}
	return out, nil
}

// same compares what a view holds with what it should.
func same(got, want oracle.Table, how check) bool {
	if how == exact {
		return slices.EqualFunc(got, want, func(x, y oracle.Row) bool { return x.W == y.W && oracle.CompareRows(x.V, y.V) == 0 })
	}
	for _, x := range got {
		if !slices.ContainsFunc(want, func(y oracle.Row) bool { return x.W <= y.W && oracle.CompareRows(x.V, y.V) == 0 }) {
			return false
		}
	}
	return true
}

func texts(t oracle.Table) []string {
	var out []string
	for _, r := range t {
		out = append(out, fmt.Sprintf("%+d %s", r.W, rowText(oracle.ToBatch(typesOf(r), oracle.Table{r}), 0)))
	}
	return out
}
