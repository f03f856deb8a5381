package coord

// submitted takes items into the queue.
func (c *Coord) submitted(ev Submitted) []Effect {
	c.items = append(c.items, ev.Items...)
	return nil
}

// clock looks whether it is time to send again.
func (c *Coord) clock() []Effect {
	if c.retryAt == 0 || c.now < c.retryAt || c.work == nil {
		if c.retryAt != 0 {
			return []Effect{Wake{At: c.retryAt}}
		}
		return nil
	}
	c.retryAt = 0
	c.work.attempts++
	return []Effect{Append{Expect: c.last}}
}

// next begins the next piece of work if nothing is under way.
func (c *Coord) next() []Effect {
	if c.role != Leading || c.work != nil {
		return nil
	}
	out := c.flushed()
	if len(c.items) > 0 {
		switch c.items[0].Kind {
		case DDL, Checkpoint:
			it := c.items[0]
			c.items = c.items[1:]
			c.work = &work{kind: RecordDDL, ids: []uint64{it.ID}}
			if it.Kind == Checkpoint {
				c.work.kind = RecordCheckpoint
			}
			return append(out, Execute{ID: it.ID})
		case Tx, Barrier:
			return append(out, c.compute())
		}
	}
	due := c.due
	if waiting := c.arrived - c.taken; waiting > 0 {
		due = min(due, c.lastStep+c.cfg.LingerMicros)
		if len(c.flushes) > 0 || waiting >= uint64(c.cfg.StepRows) {
			due = c.now
		}
	}
	switch {
	case due == NotDue:
		return out
	case c.now >= due:
		return append(out, c.compute())
	}
	return append(out, Wake{At: due})
}

// flushed moves flushes whose turn has come out of the queue and answers those
// that wait for nothing any more.
func (c *Coord) flushed() []Effect {
	for len(c.items) > 0 && c.items[0].Kind == Flush {
		c.flushes = append(c.flushes, flush{id: c.items[0].ID, target: c.arrived})
		c.items = c.items[1:]
	}
	var done []uint64
	for len(c.flushes) > 0 && c.flushes[0].target <= c.taken {
		done = append(done, c.flushes[0].id)
		c.flushes = c.flushes[1:]
	}
	if done == nil {
		return nil
	}
	return []Effect{Answer{IDs: done, Outcome: Done}}
}

// compute closes a step over the transactions at the front of the queue.
func (c *Coord) compute() Effect {
	w := &work{kind: RecordStep}
	c.due = NotDue
	rows := 0
	for len(c.items) > 0 && (c.items[0].Kind == Tx || c.items[0].Kind == Barrier) {
		it := c.items[0]
		if it.Kind == Barrier {
			w.barriers = append(w.barriers, it.ID)
			c.items = c.items[1:]
			continue
		}
		if len(w.ids) > 0 && rows+it.Rows > c.cfg.StepRows {
			break
		}
		rows += it.Rows
		w.ids = append(w.ids, it.ID)
		c.items = c.items[1:]
	}
	c.work = w
	return Compute{Step: c.step + 1, IDs: w.ids, Barrier: len(w.barriers) > 0}
}
