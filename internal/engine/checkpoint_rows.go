package engine

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// blockCodec gives blocks of rows the bytes of records of the log.
type blockCodec struct{}

func (blockCodec) AppendBatch(dst []byte, b *batch.Batch) []byte { return wire.AppendBatch(dst, b) }

func (blockCodec) DecodeBatch(src []byte) (*batch.Batch, []byte, error) {
	return wire.DecodeBatch(src)
}

// newSpine returns the empty rows of a relation.
func (l *leader) newSpine(def *catalog.Relation, ts []types.Type) *state.Spine {
	return l.cache.NewSpine(uint64(def.ID), ts, orderOf(def), lookupColumns(def))
}

// lookupColumns is how many leading columns of a relation's order lookups give, if they
// look for one row or a few.
func lookupColumns(def *catalog.Relation) int {
	if def.Index != nil {
		return len(orderOf(def))
	}
	return len(def.PrimaryKey)
}

// rows restores the content of a relation.
func (r *restorer) rows(def *catalog.Relation, ts []types.Type) (*state.Spine, error) {
	image, err := r.image(objectName(kindRows, def.ID))
	if err != nil {
		return nil, err
	}
	return r.l.cache.RestoreSpine(uint64(def.ID), ts, orderOf(def), lookupColumns(def), image)
}

// recent restores the recent changes of a relation.
func (r *restorer) recent(def *catalog.Relation) (*ring, error) {
	image, err := r.image(objectName(kindRecent, def.ID))
	if err != nil {
		return nil, err
	}
	changes, err := r.l.cache.RestoreChanges(ringOwner(def), image)
	if err != nil {
		return nil, err
	}
	return &ring{changes: changes, maxBytes: r.l.ringBytes(def)}, nil
}
