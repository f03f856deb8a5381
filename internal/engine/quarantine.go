package engine

import (
	"context"

	"github.com/tidemill/tidemill/internal/wire"
)

// QuarantineRow is a record of a source that could not become a row.
type QuarantineRow struct {
	Source   string
	Position uint64 // among all records of the source, good and bad, from 0
	Reason   string
	Data     []byte
}

// Quarantine hands out the records that sources put aside, as of a snapshot, in the
// order of source and position. It reads the sources' streams, since the records
// are durable there; sources without a stream have none.
func (e *Engine) Quarantine(ctx context.Context, snap *Snapshot, fn func(QuarantineRow) error) error {
	for _, def := range snap.Catalog.Relations() {
		s := snap.sources[def.ID]
		if s == nil || s.log == nil {
			continue
		}
		err := s.blocks(ctx, snap.Position(def.ID), func(_ uint64, blk *wire.Source) error {
			for _, b := range blk.Bad {
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
	return nil
}
