package engine

import (
	"context"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/wire"
)

// QuarantineRow is a record of a source that could not become a row, or a row that a
// step left out because a view could not take it.
type QuarantineRow struct {
	Source   string
	Position uint64 // among all records of the source, good and bad, from 0
	Reason   string
	Data     []byte // the record, or the row as text
}

// Quarantine hands out the records that sources put aside and the rows that steps left
// out, as of a snapshot, in the order of source and position. The records are read from
// the sources' streams, where they are durable as long as the streams hold them; sources
// without a stream have none. The rows are kept apart, until they are retried.
func (e *Engine) Quarantine(ctx context.Context, snap *Snapshot, fn func(QuarantineRow) error) error {
	for _, def := range snap.Catalog.Relations() {
		s := snap.sources[def.ID]
		if s == nil {
			continue
		}
		left := snap.skipped.of(def.ID)
		before := func(position uint64) error { // tells the rows left out before a position
			for ; len(left) > 0 && left[0].Position < position; left = left[1:] {
				if err := fn(leftOut(ctx, def, s, &left[0])); err != nil {
					return err
				}
			}
			return nil
		}
		if s.log != nil {
			err := s.blocks(ctx, snap.Position(def.ID), func(_ uint64, blk *wire.Source) error {
				for _, b := range blk.Bad {
					if err := before(blk.First + b.Index); err != nil {
						return err
					}
					if err := fn(QuarantineRow{Source: def.Name, Position: blk.First + b.Index, Reason: b.Reason, Data: b.Data}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if err := before(1<<64 - 1); err != nil {
			return err
		}
	}
	return nil
}

// leftOut tells of a row that a step left out. Of one that is too large to be kept, and
// is not in its stream any more, there is the position alone.
func leftOut(ctx context.Context, def *catalog.Relation, s *source, x *skippedRow) QuarantineRow {
	q := QuarantineRow{Source: def.Name, Position: x.Position, Reason: x.Reason}
	if row, err := s.skippedRow(ctx, x); err == nil {
		q.Data = []byte(rowText(row, row.Row(0), len(row.Cols)))
	}
	return q
}
