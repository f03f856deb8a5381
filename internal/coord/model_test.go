package coord

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is a log, some nodes that want to lead, and messages on their way.
type world struct {
	log    []logRec
	nodes  []*node
	late   []lateAppend // appends that were sent and may yet arrive
	nextID uint64
	acked  map[uint64]bool
	txs    map[uint64]bool // which of the items are transactions
	ckpts  map[uint64]bool // which of the items are of checkpoints
	walls  map[uint64]int  // of the items that are barriers: how long the log was when they came
	nonce  uint64
}

type logRec struct {
	Record
	txs []uint64 // of a step
}

type lateAppend struct {
	expect uint64
	recs   []logRec
}

// node is a process: a coord and what the caller of one keeps for it.
type node struct {
	c       *Coord
	now     int64
	wake    int64
	queue   []Effect // to be carried out
	staged  []logRec
	reading uint64 // next sequence to hand over, 0: not reading
	leads   bool
	visible uint64 // the step published last
}

func (w *world) start() *node {
	n := &node{c: New(Config{MaxAttempts: 6, StepRows: 4}), reading: 1}
	w.nodes = append(w.nodes, n)
	return n
}

// append is what the log does: all or nothing, fenced by the last sequence.
func (w *world) append(expect uint64, recs []logRec) bool {
	if uint64(len(w.log)) != expect {
		return false
	}
	w.log = append(w.log, recs...)
	return true
}

func (w *world) stage(n *node, epoch uint64, kinds []RecordKind, step uint64, txs []uint64) Staged {
	seq, prev := n.c.Last()
	n.staged = nil
	for _, k := range kinds {
		w.nonce++
		h := sha256.Sum256(binary.LittleEndian.AppendUint64(prev[:], w.nonce))
		seq++
		r := logRec{Record: Record{Seq: seq, Kind: k, Epoch: epoch, Prev: prev, Hash: h}}
		if k == RecordStep {
			r.Step, r.txs = step, txs
		}
		n.staged = append(n.staged, r)
		prev = h
	}
	return Staged{Records: len(kinds), Hash: prev}
}

// carry out the first effect of n's queue, with luck drawn from t.
func (w *world) effect(t *rapid.T, n *node) {
	e := n.queue[0]
	n.queue = n.queue[1:]
	switch e := e.(type) {
	case Claim:
		n.feed(w.stage(n, e.Epoch, []RecordKind{RecordEpoch}, 0, nil))
	case Compute:
		kinds := slices.Repeat([]RecordKind{RecordOther}, rapid.IntRange(0, 2).Draw(t, "tx records"))
		var keep, rejected []uint64
		for _, id := range e.IDs {
			if rapid.IntRange(0, 9).Draw(t, "reject") == 0 {
				rejected = append(rejected, id)
			} else {
				keep = append(keep, id)
			}
		}
		if len(keep) == 0 && len(e.IDs) > 0 && !e.Barrier {
			n.feed(Staged{Rejected: rejected})
			return
		}
		st := w.stage(n, n.c.Epoch(), append(kinds, RecordStep), e.Step, keep)
		st.Rejected = rejected
		n.feed(st)
	case Execute:
		if w.ckpts[e.ID] && rapid.Bool().Draw(t, "begins") {
			n.feed(Staged{}) // the beginning of a checkpoint
			return
		}
		n.feed(w.stage(n, n.c.Epoch(), []RecordKind{RecordDDL}, 0, nil))
	case Append:
		w.send(t, n, e)
	case ReadOn:
		n.reading = e.From
	case Lead:
		n.leads = true
	case Publish:
		last, _ := n.c.Last()
		if uint64(len(w.log)) < last || w.log[last-1].Hash != n.staged[len(n.staged)-1].Hash {
			t.Fatalf("step %d is published and not in the log", e.Step)
		}
		n.visible = e.Step
	case Answer:
		if e.Outcome != Done {
			return
		}
		for _, id := range e.IDs {
			if w.acked[id] {
				t.Fatalf("item %d is answered twice", id)
			}
			w.acked[id] = true
			if at, is := w.walls[id]; is && !slices.ContainsFunc(w.log[at:], func(r logRec) bool { return r.Kind == RecordStep && r.Epoch == n.c.Epoch() }) {
				t.Fatalf("barrier %d was answered, and no step was committed after it was asked for", id)
			}
		}
	case Wake:
		n.wake = e.At
	}
}

// send is an append over a bad line.
func (w *world) send(t *rapid.T, n *node, e Append) {
	answer := func(ok bool) {
		if ok {
			n.feed(Appended{Done})
		} else {
			n.feed(Appended{WrongSequence})
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "line") {
	case 0: // lost on the way there, or only late
		if rapid.Bool().Draw(t, "late") {
			w.late = append(w.late, lateAppend{e.Expect, slices.Clone(n.staged)})
		}
		n.feed(Appended{Unknown})
	case 1: // the answer is lost
		w.append(e.Expect, n.staged)
		n.feed(Appended{Unknown})
	default:
		answer(w.append(e.Expect, n.staged))
	}
}

func (n *node) feed(ev Event) { n.queue = append(n.queue, n.c.Step(ev)...) }

// read hands the next record of the log to n.
func (w *world) read(n *node) {
	if n.reading <= uint64(len(w.log)) {
		r := w.log[n.reading-1].Record
		last, _ := n.c.Last()
		n.reading++
		if r.Seq == last+1 {
			n.feed(r)
		}
		if n.c.Role() == Leading && len(n.queue) > 0 {
			n.reading = 0
		}
		return
	}
	n.reading = 0
	n.feed(EndOfLog{})
}

// TestModel lets several leaders fight over a log whose answers get lost, and
// crashes them, and checks what must hold whatever happens.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{acked: map[uint64]bool{}, txs: map[uint64]bool{}, ckpts: map[uint64]bool{}, walls: map[uint64]int{}}
		w.start()
		for range 10 * rapid.IntRange(1, 100).Draw(t, "length") {
			w.move(t)
		}
		w.check(t)
		w.settle(t)
		w.check(t)
	})
}

func (w *world) move(t *rapid.T) {
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
	switch k := rapid.IntRange(0, 19).Draw(t, "move"); {
	case k == 0 && len(w.nodes) < 3 && rapid.IntRange(0, 9).Draw(t, "start") == 9:
		w.start()
	case k == 1 && rapid.IntRange(0, 9).Draw(t, "crash") == 9: // crash and come back with nothing
		*n = node{c: New(Config{MaxAttempts: 6, StepRows: 4}), reading: 1}
		w.restore(t, n)
	case k == 2 && len(w.late) > 0:
		l := w.late[0]
		w.late = w.late[1:]
		w.append(l.expect, l.recs)
	case k <= 6 && n.leads && n.c.Waiting() < 10:
		w.nextID++
		kind := ItemKind(rapid.IntRange(0, 4).Draw(t, "kind"))
		w.txs[w.nextID], w.ckpts[w.nextID] = kind == Tx, kind == Checkpoint
		if kind == Barrier {
			w.walls[w.nextID] = len(w.log)
		}
		n.feed(Submitted{[]Item{{ID: w.nextID, Kind: kind, Rows: 1}}})
	case k == 7 && n.leads:
		n.feed(Due{At: n.now + int64(rapid.IntRange(-5, 5).Draw(t, "due"))*1000})
	default:
		w.run(t, n)
	}
}

// restore lets n begin behind any step of the log, as behind a checkpoint.
func (w *world) restore(t *rapid.T, n *node) {
	k := rapid.IntRange(-1, len(w.log)-1).Draw(t, "checkpoint")
	if k < 0 || w.log[k].Kind != RecordStep {
		return
	}
	r := w.log[k].Record
	n.c.Step(Restored{Seq: r.Seq, Hash: r.Hash, Epoch: r.Epoch, Step: r.Step})
	n.reading = r.Seq + 1
}

// run lets n do the next thing it can.
func (w *world) run(t *rapid.T, n *node) {
	switch {
	case len(n.queue) > 0:
		w.effect(t, n)
	case n.reading > 0:
		w.read(n)
	case n.wake > 0:
		n.now, n.wake = n.wake, 0
		n.feed(Clock{n.now})
	}
}

// settle ends the faults: one new node must come to lead and to commit.
func (w *world) settle(t *rapid.T) {
	w.late = nil
	n := &node{c: New(Config{}), reading: 1}
	w.nodes = []*node{n}
	quiet := func(until func() bool) {
		for range 10_000 {
			if until() {
				return
			}
			if len(n.queue) > 0 {
				if a, ok := n.queue[0].(Append); ok {
					n.queue = n.queue[1:]
					if w.append(a.Expect, n.staged) {
						n.feed(Appended{Done})
					} else {
						n.feed(Appended{WrongSequence})
					}
					continue
				}
			}
			w.run(t, n)
		}
		t.Fatalf("no progress: %v, %s", n.c.Role(), n.c.Reason())
	}
	quiet(func() bool { return n.leads })
	w.nextID++
	id := w.nextID
	n.feed(Submitted{[]Item{{ID: id, Kind: DDL}}})
	quiet(func() bool { return w.acked[id] })
}

// check looks at the log, which is the truth.
func (w *world) check(t *rapid.T) {
	var prev Hash
	epoch, step := uint64(0), uint64(0)
	in := map[uint64]int{}
	for i, r := range w.log {
		if r.Seq != uint64(i+1) || r.Prev != prev {
			t.Fatalf("record %d: sequence %d, chain broken %v", i+1, r.Seq, r.Prev != prev)
		}
		prev = r.Hash
		if r.Epoch < epoch || r.Kind == RecordEpoch && r.Epoch == epoch || r.Kind != RecordEpoch && r.Epoch != epoch {
			t.Fatalf("record %d of epoch %d comes after epoch %d", r.Seq, r.Epoch, epoch)
		}
		epoch = r.Epoch
		if r.Kind == RecordStep {
			if r.Step != step+1 {
				t.Fatalf("step %d after step %d", r.Step, step)
			}
			step = r.Step
			for _, id := range r.txs {
				in[id]++
			}
		}
	}
	for id, times := range in {
		if times > 1 {
			t.Fatalf("transaction %d is in %d steps", id, times)
		}
	}
	for id := range w.acked {
		if w.txs[id] && in[id] != 1 {
			t.Fatalf("transaction %d was acknowledged and is in %d steps", id, in[id])
		}
	}
	for _, n := range w.nodes {
		if n.visible > step {
			t.Fatalf("step %d is visible, the log ends at %d", n.visible, step)
		}
		if n.c.Role() == Failed && n.c.Reason()[:7] != "the log" {
			t.Fatalf("a node failed: %s", n.c.Reason())
		}
	}
}
