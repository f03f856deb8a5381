package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// retryRow names a row that was left out of its source and is to come back.
type retryRow struct {
	source   catalog.ID
	position uint64 // among all records of the source
}

// applySkipped notes what a step has left out and what it took back.
func (l *leader) applySkipped(s *staged) {
	for _, r := range s.retried {
		if rel := l.rels[r.Source]; rel != nil {
			rel.ring.add(s.step.N, r.Row)
		}
		l.skipped = l.skipped.without(r.Source, r.Position)
	}
	for _, x := range s.skipped {
		if !l.skip[x.Source] {
			l.skipped = l.skipped.with([]skippedRow{x})
		}
	}
	if len(s.skipped) == 0 && len(s.taken) > 0 {
		l.poisonSteps = 0
	}
}

// readmit lets a row that was left out be part of the step s, whose time is now.
func (l *leader) readmit(r *request, s *staged, now int64) error {
	src := l.e.sourceByID(r.retry.source)
	var x *skippedRow
	if l.skipped != nil {
		for i := range l.skipped.Rows {
			if y := &l.skipped.Rows[i]; y.Source == r.retry.source && y.Position == r.retry.position {
				x = y
			}
		}
	}
	for _, y := range s.retried {
		if y.Source == r.retry.source && y.Position == r.retry.position {
			x = nil // another client was quicker
		}
	}
	if src == nil || x == nil {
		return errNotSkipped(*r.retry)
	}
	row, err := src.skippedRow(l.e.ctx, x)
	if err != nil {
		return err
	}
	if row, err = l.onTime(src, row, now); err != nil {
		return err
	}
	s.retried = append(s.retried, wire.Retried{Source: x.Source, Position: x.Position, Row: row})
	return nil
}

// errNotSkipped: there is no such row.
func errNotSkipped(r retryRow) *types.Error {
	return &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("no row at position %d was left out of the source", r.position),
		Hint: "SELECT * FROM tidemill.quarantine lists those that were."}
}

// skippedRow gives the row itself.
func (s *source) skippedRow(ctx context.Context, x *skippedRow) (*batch.Batch, error) {
	if len(x.Row) > 0 {
		b, _, err := wire.DecodeBatch(x.Row)
		if err == nil && (b.Len() != 1 || len(b.Cols) != len(s.types)) {
			err = fmt.Errorf("%w: %d rows of %d columns", wire.ErrDamaged, b.Len(), len(b.Cols))
		}
		return b, err
	}
	gone := &types.Error{Code: "55000", Message: fmt.Sprintf("the row at position %d of source %q is not there any more", x.Position, s.def.Name),
		Detail: "It is too large to be kept apart from its source, whose oldest rows have gone."}
	if s.log == nil {
		return nil, gone
	}
	var row *batch.Batch
	err := s.log.Read(ctx, x.Block, func(r fabric.Record) error {
		if r.Seq != x.Block {
			return errEnough
		}
		blk, _, err := s.decode(r, wire.Hash{}, false)
		if err != nil {
			return err
		}
		if k := x.Position - blk.First; x.Position >= blk.First && k < uint64(blk.Rows.Len()) {
			row = pick(blk.Rows, []uint32{uint32(blk.Rows.Row(int(k)))})
		}
		return errEnough
	})
	switch {
	case errors.Is(err, fabric.ErrTrimmed):
		return nil, gone
	case err != nil && !errors.Is(err, errEnough):
		return nil, err
	case row == nil:
		return nil, gone
	}
	return row, nil
}

// onTime stamps a row that comes back with the time of the step, as PROCTIME(), and
// refuses one that is late by now: views may have closed what it belongs to.
func (l *leader) onTime(src *source, row *batch.Batch, now int64) (*batch.Batch, error) {
	marks := l.work.Marks(relKey(src.id))
	if len(src.rules.proc) > 0 {
		for _, c := range src.rules.proc {
			if marks != nil {
				now = max(now, marks[c])
			}
		}
		var err error
		if row, _, err = (&eventRules{def: src.def, proc: src.rules.proc}).computed(nil, row, now); err != nil {
			return nil, err
		}
	}
	for c, m := range marks {
		col := &row.Cols[c]
		if m == flow.NoMark || col.Type.Layout() != types.LayoutInt || col.Null(0) || col.I64[0] >= m {
			continue
		}
		return nil, &types.Error{Code: "55000", Message: fmt.Sprintf("the row is late by now: %s is %s, and the watermark of source %q has passed it",
			src.def.Columns[c].Name, valueText(col, 0), src.def.Name)}
	}
	return row, nil
}
