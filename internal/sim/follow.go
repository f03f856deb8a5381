package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// subscriber follows a relation across processes: what it adds up from the changes must
// be the relation's content, whatever dies.
type subscriber struct {
	id   catalog.ID
	name string
	c    *client // that it is connected by; nil while it is not
	cur  session.Cursor
	sum  batch.Digest
	step uint64       // everything up to it has come
	part batch.Digest // of later steps, which may be there in part; not kept when the connection is lost
	busy bool
}

// maxSubscribers bounds the subscribers of a run.
const maxSubscribers = 2

// follow lets a subscriber look for what is new, connecting it first.
func (w *World) follow(c *client) {
	if len(w.subs) < maxSubscribers && w.IntN(4) == 0 {
		var rels []*catalog.Relation
		for _, r := range c.p.eng.Snapshot().Catalog.Relations() {
			if r.Kind == catalog.Table || r.Kind == catalog.MaterializedView || r.Kind == catalog.Source {
				rels = append(rels, r)
			}
		}
		if len(rels) > 0 {
			r := rels[w.IntN(len(rels))]
			w.subs = append(w.subs, &subscriber{id: r.ID, name: r.Name})
		}
	}
	if len(w.subs) == 0 {
		return
	}
	s := w.subs[w.IntN(len(w.subs))]
	if s.busy {
		return
	}
	s.busy = true
	w.catchUp(c, s)
	s.busy = false
}

// catchUp reads what is there for s.
func (w *World) catchUp(c *client, s *subscriber) {
	if s.c != nil && (s.c.p.dead || s.c.p.ended) {
		s.c, s.cur = nil, nil
	}
	if s.cur == nil && !w.connect(c, s) {
		return
	}
	p := s.c.p
	for {
		b, err := s.cur.Next(background(), false)
		if p.dead {
			return
		}
		if err != nil {
			w.lose(s, p, err)
			return
		}
		if b == nil || b.N == 0 {
			break
		}
		w.followed(s, b)
	}
	snap := p.eng.Snapshot()
	w.note("subscriber of %s by %s has step %d, was at %d", s.name, p.name, snap.Step, s.step)
	s.sum, s.part = s.sum.Add(s.part), batch.Digest{}
	if s.step = max(s.step, snap.Step); s.step != snap.Step {
		return // it is connected to one that is behind
	}
	if want, ok := w.known(s.id, s.step); ok && want != s.sum {
		w.fail("what a subscriber added up of %s until step %d is not what it holds", s.name, s.step)
	}
	w.counts["subscribers checked"]++
}

// connect subscribes, going on where s stands.
func (w *World) connect(c *client, s *subscriber) bool {
	def := c.p.eng.Snapshot().Catalog.ByID(s.id)
	if def == nil {
		if w.chk.cat.ByID(s.id) == nil {
			w.subs = slices.DeleteFunc(w.subs, func(x *subscriber) bool { return x == s })
		}
		return false
	}
	text := "SUBSCRIBE " + s.name
	if s.step > 0 {
		text += fmt.Sprintf(" WITH (SNAPSHOT = false) AS OF %d", s.step)
		w.sometimes("subscriber resumed")
	}
	w.note("%s", text)
	stmts, err := sql.Parse(text, sql.Options{})
	var cur session.Cursor
	if err == nil {
		var st *session.Statement
		if st, err = c.s.Prepare(background(), text, stmts[0], nil); err == nil {
			cur, err = c.s.Execute(background(), st, nil)
		}
	}
	if c.p.dead {
		return false
	}
	if err != nil {
		w.lose(s, c.p, err)
		return false
	}
	s.c, s.cur, s.part = c, cur, batch.Digest{}
	return true
}

// lose looks why a subscriber was cut off. It begins again if it has missed something.
func (w *World) lose(s *subscriber, p *proc, err error) {
	w.note("subscriber of %s: %v", s.name, err)
	s.c, s.cur = nil, nil
	var te *types.Error
	switch {
	case w.damaged(p, err):
	case !errors.As(err, &te) || broken(err):
		w.fail("subscriber of %s: %v", s.name, err)
	case te.Code == "55000" || te.Code == "22023":
		w.sometimes("subscriber began again")
		s.sum, s.step = batch.Digest{}, 0
	}
}

// followed adds up changes: a step, a weight, and the row.
func (w *World) followed(s *subscriber, b *batch.Batch) {
	rows := *b
	rows.Cols = b.Cols[2:]
	rows.Weights = make([]int64, b.N)
	for i := range b.N {
		rows.Weights[i] = b.Cols[1].I64[i]
		step := uint64(b.Cols[0].I64[i])
		if step <= s.step && s.step > 0 {
			w.fail("a subscriber of %s at step %d is told of step %d", s.name, s.step, step)
		}
		if step > w.chk.step {
			w.fail("a subscriber of %s is told of step %d, the log is at %d", s.name, step, w.chk.step)
		}
	}
	w.note("subscriber of %s gets %s", s.name, show([]*batch.Batch{&rows}))
	s.part = s.part.Add(batch.DigestOf(&rows))
}

// feeder sends rows to the source that takes requests, each request under a name, again
// and again until it is told that they are durable.
type feeder struct {
	name   string
	source catalog.ID
	seq    uint64
	body   string
	marker int64
	good   int
	busy   bool // a request is under way
}

// feedNamed sends a request that has a name.
func (w *World) feedNamed(c *client, f *feeder) {
	def, err := c.p.eng.Snapshot().Catalog.Resolve([]string{"public"}, "", "src")
	if err != nil {
		return
	}
	if f.busy {
		return
	}
	f.busy = true
	defer func() { f.busy = false }()
	if f.source != def.ID { // another source of that name: it knows nothing of us
		f.source, f.seq, f.body = def.ID, 0, ""
	}
	if f.body == "" {
		f.seq++
		f.marker, f.body, f.good = w.request()
	} else {
		w.sometimes("request sent again")
	}
	w.note("%s %s sends request %d: %q", c.name, f.name, f.seq, f.body)
	r, err := c.p.eng.Receive(background(), engine.Delivery{Name: "src", Body: []byte(f.body), Sent: &connector.Sent{Producer: f.name, Sequence: f.seq}})
	if c.p.dead {
		return
	}
	if err != nil {
		w.note("%s %s: %v", c.name, f.name, err)
		if broken(err) {
			w.fail("feed: %v", err)
		}
		return
	}
	if r.Duplicate {
		w.sometimes("request known already")
	}
	f.body = ""
	st := w.chk.streams[sourceLog(f.source)]
	if st == nil || w.chk.tables[f.source] == nil {
		return // dropped meanwhile
	}
	at, there := st.where[f.marker]
	if there != (r.Rows > 0) && !r.Forgotten || uint64(len(st.blocks)) < r.Position {
		w.fail("request %d of %s was acknowledged with %d rows up to block %d; it is in block %d (%v) of %d", f.seq, f.name, r.Rows, r.Position, at, there, len(st.blocks))
	}
}

// request makes up the body of a request and says how many good rows it has.
func (w *World) request() (marker int64, body string, good int) {
	m := w.number()
	var b strings.Builder
	for range 1 + w.IntN(4) {
		if w.IntN(10) == 0 {
			b.WriteString("not a row\n")
			continue
		}
		good++
		fmt.Fprintf(&b, "%d %d %d %d\n", w.IntN(3), w.eventSeconds()-pgEpochSeconds, w.IntN(10), m)
	}
	return m, b.String(), good
}
