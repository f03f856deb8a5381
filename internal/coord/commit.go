package coord

import "fmt"

// restored begins behind a checkpoint.
func (c *Coord) restored(ev Restored) []Effect {
	if c.role != Replaying || c.last != 0 {
		panic("coord: restored after the log was read")
	}
	c.last, c.lastHash, c.epoch, c.step = ev.Seq, ev.Hash, ev.Epoch, ev.Step
	return nil
}

// record takes a record of the log: during replay, or after a lost append.
func (c *Coord) record(r Record) []Effect {
	if c.role == Leading && c.work == nil {
		return c.stop(Failed, fmt.Sprintf("record %d was not asked for", r.Seq))
	}
	if r.Seq != c.last+1 {
		return c.stop(Failed, fmt.Sprintf("log: record %d comes after %d", r.Seq, c.last))
	}
	if r.Prev != c.lastHash {
		return c.stop(Failed, fmt.Sprintf("log: record %d does not continue the chain of hashes", r.Seq))
	}
	if c.role == Leading && r.Epoch > c.epoch {
		return c.stop(Fenced, fmt.Sprintf("epoch %d has taken over from epoch %d", r.Epoch, c.epoch))
	}
	switch {
	case r.Kind == RecordEpoch && r.Epoch <= c.epoch:
		return c.stop(Failed, fmt.Sprintf("log: record %d claims epoch %d after epoch %d", r.Seq, r.Epoch, c.epoch))
	case r.Kind != RecordEpoch && r.Epoch != c.epoch:
		return c.stop(Failed, fmt.Sprintf("log: record %d is of epoch %d while epoch %d leads", r.Seq, r.Epoch, c.epoch))
	case r.Kind == RecordStep && r.Step != c.step+1:
		return c.stop(Failed, fmt.Sprintf("log: record %d is step %d after step %d", r.Seq, r.Step, c.step))
	}
	if c.role == Leading {
		return c.ours(r)
	}
	mine := c.role == Claiming && c.work.staged && r.Hash == c.work.hash
	c.advance(r)
	if mine {
		return c.committed()
	}
	if c.role == Claiming {
		c.work, c.retryAt = nil, 0 // another one took the place; claim again when the end is reached
		c.role = Replaying
	}
	return nil
}

// ours takes a record of our own epoch after an append whose outcome was unknown:
// only we can have written it, and we had nothing else under way.
func (c *Coord) ours(r Record) []Effect {
	c.last, c.lastHash = r.Seq, r.Hash
	if r.Hash == c.work.hash {
		if c.work.kind == RecordStep {
			c.step++
		}
		return c.committed()
	}
	if r.Seq-c.work.base >= uint64(c.work.records) {
		return c.stop(Failed, fmt.Sprintf("log: record %d is of our epoch and not ours", r.Seq))
	}
	return nil
}

// advance moves past a record.
func (c *Coord) advance(r Record) {
	c.last, c.lastHash = r.Seq, r.Hash
	c.epoch = max(c.epoch, r.Epoch)
	if r.Kind == RecordStep {
		c.step = r.Step
	}
}

// endOfLog ends the replay, or the look for what became of an append.
func (c *Coord) endOfLog() []Effect {
	switch c.role {
	case Replaying:
		c.role = Claiming
		c.work = &work{kind: RecordEpoch}
		return []Effect{Claim{Epoch: c.epoch + 1}}
	case Claiming, Leading:
		if c.work != nil && c.work.staged {
			if c.last != c.work.base {
				return c.stop(Failed, fmt.Sprintf("log: it ends at %d in the middle of an append", c.last))
			}
			return c.again() // nothing there: the wrong sequence was another attempt of ours under way, or a stale answer
		}
	}
	return nil
}

// stagedWork begins to append what was computed.
func (c *Coord) stagedWork(ev Staged) []Effect {
	w := c.work
	if w == nil || w.staged {
		panic("coord: staged without being asked")
	}
	w.rejected, w.taken = ev.Rejected, ev.Taken
	if ev.Records == 0 {
		if len(w.barriers) > 0 {
			panic("coord: nothing staged for a barrier")
		}
		c.work = nil
		c.taken += ev.Taken
		if len(w.ids) == 0 {
			c.taken = c.arrived // what was announced is gone: its source was dropped
		}
		return append([]Effect{Forget{}}, answers(w)...)
	}
	w.staged, w.records, w.hash = true, ev.Records, ev.Hash
	w.attempts, w.base = 1, c.last
	return []Effect{Append{Expect: c.last}}
}

// appended takes the answer to an append.
func (c *Coord) appended(ev Appended) []Effect {
	w := c.work
	if w == nil || !w.staged {
		panic("coord: appended without being asked")
	}
	switch ev.Outcome {
	case Done:
		c.last, c.lastHash = c.last+uint64(w.records), w.hash
		switch w.kind {
		case RecordEpoch:
			c.epoch++
		case RecordStep:
			c.step++
		}
		return c.committed()
	case WrongSequence:
		return []Effect{ReadOn{From: c.last + 1}}
	case Unknown:
		return c.again()
	}
	return c.stop(Failed, "the log refused a record")
}

// again sends the same once more, after a while.
func (c *Coord) again() []Effect {
	w := c.work
	if w.attempts >= c.cfg.MaxAttempts {
		return c.stop(Failed, fmt.Sprintf("the log did not answer after %d attempts", w.attempts))
	}
	wait := int64(firstBackoffMicros) << min(w.attempts-1, 20)
	c.retryAt = c.now + min(wait, c.cfg.MaxBackoffMicros)
	return []Effect{Wake{At: c.retryAt}}
}

// committed makes what is staged visible and answers for it.
func (c *Coord) committed() []Effect {
	w := c.work
	c.work, c.retryAt = nil, 0
	if w.kind == RecordEpoch {
		c.role = Leading
		c.lastStep = c.now - c.cfg.LingerMicros
		return []Effect{Lead{Epoch: c.epoch}}
	}
	if w.kind == RecordStep {
		c.lastStep = c.now
	}
	c.taken += w.taken
	return append([]Effect{Publish{Step: c.step}}, answers(w)...)
}

// answers tells the items of w that they are done, or were rejected.
func answers(w *work) []Effect {
	var out []Effect
	if len(w.rejected) > 0 {
		out = append(out, Answer{IDs: w.rejected, Outcome: Rejected})
	}
	var done []uint64
	for _, id := range w.ids {
		if !contains(w.rejected, id) {
			done = append(done, id)
		}
	}
	done = append(done, w.barriers...)
	if len(done) > 0 {
		out = append(out, Answer{IDs: done, Outcome: Done})
	}
	return out
}

func contains(ids []uint64, id uint64) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}
