package sim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// outcome is what a client was told.
type outcome int

const (
	acked   outcome = iota
	refused         // it is not there and will not be
	unknown         // it may be there
)

// operate lets an idle client do something.
func (w *World) operate() {
	var idle []*client
	for _, p := range w.procs {
		if !p.up() {
			continue
		}
		for _, c := range p.sessions {
			if !c.busy {
				idle = append(idle, c)
			}
		}
	}
	if len(idle) == 0 {
		return
	}
	c := idle[w.IntN(len(idle))]
	if w.want.poison && len(w.sourcesWithPoison()) > 0 && w.IntN(retryOften) == 0 {
		w.begin(c, "retry", func() { w.retry(c) })
		return
	}
	n := w.IntN(1000)
	if n < w.want.ddl {
		w.begin(c, "ddl", func() { w.define(c) })
		return
	}
	switch n = w.IntN(100); {
	case n < 45:
		w.begin(c, "write", func() { w.writeOne(c) })
	case n < 60:
		w.begin(c, "transaction", func() { w.writeSeveral(c) })
	case n < 80:
		if !c.p.feeding {
			c.p.feeding = true
			w.begin(c, "feed", func() {
				if k := w.IntN(2 * len(w.feeders)); k < len(w.feeders) {
					w.feedNamed(c, w.feeders[k])
				} else {
					w.feed(c)
				}
				c.p.feeding = false
			})
		}
	case n < 88:
		w.begin(c, "follow", func() { w.follow(c) })
	case n < 95:
		w.begin(c, "read", func() { w.read(c) })
	case n < 98:
		w.begin(c, "flush", func() { w.judge(c, "FLUSH", w.exec(c, "FLUSH")) })
	default:
		w.begin(c, "checkpoint", func() { w.judge(c, "CHECKPOINT", w.exec(c, "CHECKPOINT")) })
	}
}

// result is what a statement gave.
type result struct {
	tag  string
	rows []*batch.Batch
	err  error
}

// exec runs one statement.
func (w *World) exec(c *client, text string) result {
	w.note("%s %s", c.name, text)
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil || len(stmts) != 1 {
		w.fail("%s: %d statements, %v", text, len(stmts), err)
		return result{err: err}
	}
	st, err := c.s.Prepare(background(), text, stmts[0], nil)
	if err != nil {
		return result{err: err}
	}
	cur, err := c.s.Execute(background(), st, nil)
	if err != nil {
		return result{err: err}
	}
	defer cur.Close()
	r := result{}
	if len(cur.Columns()) > 0 {
		r.rows, r.err = w.drain(cur)
	}
	r.tag = cur.Tag()
	return r
}

func (w *World) drain(cur session.Cursor) (out []*batch.Batch, err error) {
	for {
		b, err := cur.Next(background(), false)
		if err != nil || b == nil || b.N == 0 {
			return out, err
		}
		out = append(out, batch.Copy(b))
	}
}

// judge says what a client knows after a result, and looks whether it may be told so.
func (w *World) judge(c *client, what string, r result) outcome {
	if c.p.dead {
		return unknown
	}
	if r.err == nil {
		return acked
	}
	w.note("%s %s: %v", c.name, what, r.err)
	if c.s.TxStatus() != 'I' {
		w.exec(c, "ROLLBACK")
	}
	if w.damaged(c.p, r.err) {
		return unknown
	}
	if w.poisoned(r.err) {
		return refused
	}
	var te *types.Error
	if !errors.As(r.err, &te) || broken(r.err) {
		w.fail("%s: %v", what, r.err)
		return unknown
	}
	if te.Code == types.CodeInternal && c.p.faulty && unread(te) {
		return unknown
	}
	switch te.Code {
	case "08007":
		w.sometimes("client told that the outcome is unknown")
		return unknown
	case "57P01", "58000", "57P02":
		return unknown
	case "58P01": // a step was to be computed again, and another process has trimmed the log
		if len(w.nodes) > 1 {
			return unknown
		}
	case types.CodeSerialization:
		w.sometimes("transaction refused for a conflict")
		return refused
	case types.CodeUnique:
		return refused
	case "57P04", "57P03":
		return refused
	case "42P07", "42P01", "2BP01", "42704", "42710": // DDL of others came first
		return refused
	case "25P02", "53100", "58030":
		return refused
	}
	w.fail("%s: unexpected error %s: %v %s", what, te.Code, te, te.Detail)
	return unknown
}

// number returns a fresh number for an operation.
func (w *World) number() int64 {
	w.nextOp++
	return w.nextOp
}

// writeOne runs a statement that is a transaction of its own.
func (w *World) writeOne(c *client) {
	m := w.number()
	text, marked := w.statement(m)
	r := w.exec(c, text)
	out := w.judge(c, text, r)
	if out == acked && strings.HasSuffix(r.tag, " 0") {
		marked = false
	}
	if marked {
		w.told(c, m, text, out, strings.Contains(text, "INTO ev"))
	}
}

// told holds what the client was told against the log.
func (w *World) told(c *client, m int64, text string, out outcome, mayBeLate bool) {
	at, there := w.chk.where[m]
	switch out {
	case acked:
		if !there && !mayBeLate {
			w.fail("operation %d was acknowledged and is in no step: %s", m, text)
		}
		c.step = max(c.step, at.step)
		// A step that is committed is acknowledged, also if its rows meet damage when they are
		// to be shown; the engine then ends.
		hurt := c.p.node != nil && c.p.node.hurt
		if snap := c.p.eng.Snapshot(); there && snap.Step < at.step && c.p.leads() && !hurt {
			w.fail("operation %d was acknowledged in step %d and %s shows step %d", m, at.step, c.p.name, snap.Step)
		}
	case refused:
		if there {
			w.fail("operation %d was refused and is in step %d: %s", m, at.step, text)
		}
		w.chk.refused[m] = true
	case unknown:
		if there {
			w.sometimes("write of unknown outcome is there")
		}
	}
}

// statement makes up a statement that writes; marked says that every row it writes has
// the number m.
func (w *World) statement(m int64) (text string, marked bool) {
	id, g := w.IntN(20), w.IntN(4)
	switch n := w.IntN(100); {
	case n < 30:
		text = fmt.Sprintf("INSERT INTO t VALUES %s", w.rowT(id, m))
		if w.IntN(3) == 0 {
			text += ", " + w.rowT(id+100+w.IntN(5), m)
		}
		switch w.IntN(5) {
		case 0:
			text += " ON CONFLICT DO NOTHING"
		case 1, 2:
			text += " ON CONFLICT (id) DO UPDATE SET n = excluded.n, s = t.s, w = excluded.w"
		}
		return text, true
	case n < 45:
		set := pickOf(w, "n = n + 1", "g = 3 - g", "s = 'x'", "f = f * 2 + 0.1", fmt.Sprintf("id = id + %d", 20+w.IntN(40)))
		return fmt.Sprintf("UPDATE t SET %s, w = %d WHERE %s", set, m, pickOf(w, fmt.Sprintf("id = %d", id), fmt.Sprintf("g = %d", g), fmt.Sprintf("id > %d", 5*g))), true
	case n < 52:
		return fmt.Sprintf("DELETE FROM t WHERE %s", pickOf(w, fmt.Sprintf("id = %d", id), fmt.Sprintf("g = %d", g), "id > 20")), false
	case n < 70:
		text = fmt.Sprintf("INSERT INTO u VALUES (%s, %d, %d)", w.orNull(g), w.IntN(8), m)
		for range w.IntN(4) {
			text += fmt.Sprintf(", (%d, %d, %d)", w.IntN(4), w.IntN(8), m)
		}
		return text, true
	case n < 75:
		return fmt.Sprintf("UPDATE u SET k = k + 1, w = %d WHERE g = %d", m, g), true
	case n < 82:
		return fmt.Sprintf("DELETE FROM u WHERE %s", pickOf(w, fmt.Sprintf("k = %d", id), fmt.Sprintf("g = %d", g), "k > 7")), false
	}
	text = "INSERT INTO ev VALUES "
	for i := range 1 + w.IntN(3) {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("(%d, '%s', %d, %d)", w.IntN(3), w.eventTime(), w.IntN(10), m)
	}
	return text, true
}

func (w *World) rowT(id int, m int64) string {
	return fmt.Sprintf("(%d, %s, %s, %s, '%s', %d)", id, w.orNull(w.IntN(4)), w.orNull2(fmt.Sprintf("%d.%02d", w.IntN(9), w.IntN(100))),
		pickOf(w, "0.1", "0.2", "1e15", "-3.7", "NULL", "2"), pickOf(w, "a", "b", "abc", "a longer text that takes more room"), m)
}

func (w *World) orNull(n int) string { return w.orNull2(fmt.Sprint(n)) }
func (w *World) orNull2(s string) string {
	if w.IntN(8) == 0 {
		return "NULL"
	}
	return s
}

// eventSeconds is a time around the clock's, seldom much earlier.
func (w *World) eventSeconds() int64 {
	at := w.now/1_000_000 + int64(w.IntN(8))
	if w.IntN(6) == 0 {
		at -= int64(w.IntN(30))
	}
	return at
}

func (w *World) eventTime() string {
	return timeOf(w.eventSeconds()).Format("2006-01-02 15:04:05")
}

// writeSeveral runs a transaction block.
func (w *World) writeSeveral(c *client) {
	m := w.number()
	texts := []string{"BEGIN", fmt.Sprintf("INSERT INTO led VALUES (%d, %d)", m, m)}
	for range 1 + w.IntN(3) {
		s, _ := w.statement(m)
		texts = append(texts, s)
	}
	end := "COMMIT"
	if w.IntN(10) == 0 {
		end = "ROLLBACK"
	}
	for _, s := range append(texts, end) {
		r := w.exec(c, s)
		if s == "ROLLBACK" && r.err == nil {
			w.told(c, m, s, refused, false)
			return
		}
		if out := w.judge(c, s, r); out != acked || s == end {
			if out == unknown && s != end && !c.p.dead {
				out = refused // nothing was committed yet
			}
			w.told(c, m, s, out, false)
			return
		}
		if w.pause(c.p) != nil {
			return
		}
	}
}

// feed gives rows to the source that takes requests.
func (w *World) feed(c *client) {
	m, body, good := w.request()
	w.note("%s feed %q", c.name, body)
	def, err := c.p.eng.Snapshot().Catalog.Resolve([]string{"public"}, "", "src")
	if err != nil {
		return // it is not made yet, or dropped
	}
	got, err := c.p.eng.Receive(background(), engine.Delivery{Name: "src", Body: []byte(body)})
	pos := got.Position
	if c.p.dead {
		return
	}
	var at uint64
	there := false
	if st := w.chk.streams[sourceLog(def.ID)]; st != nil {
		at, there = st.where[m]
	}
	if err != nil {
		w.note("%s feed: %v", c.name, err)
		var te *types.Error
		switch {
		case errors.As(err, &te) && te.Code == "42P01", errors.Is(err, fabric.ErrNotFound):
		case fatal(err):
			w.fail("feed: %v", err)
		case there:
			w.sometimes("feed of unknown outcome is there")
		}
		return
	}
	if there && at > pos {
		w.fail("rows of operation %d were acknowledged up to block %d, and are in block %d", m, pos, at)
	}
	if !there && good > 0 && w.chk.tables[def.ID] != nil && w.chk.streams[sourceLog(def.ID)] != nil {
		if n := len(w.chk.streams[sourceLog(def.ID)].blocks); uint64(n) < pos {
			w.fail("rows of operation %d were acknowledged in block %d, the stream has %d", m, pos, n)
		}
	}
}

// unread reports whether an error says that a log could not be read to where it must go.
func unread(err error) bool {
	text := fmt.Sprint(err)
	return strings.Contains(text, "its stream ends at") || strings.Contains(text, "the log was read up to") || strings.Contains(text, "no space left") || strings.Contains(text, errIO.Error()) || strings.Contains(text, fabric.ErrUnavailable.Error())
}
