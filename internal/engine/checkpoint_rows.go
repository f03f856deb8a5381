package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// frozenWhole is a state that is written whole.
type frozenWhole struct {
	image []byte
}

func (f *frozenWhole) Write(state.Sink) ([]byte, error) { return f.image, nil }
func (f *frozenWhole) Done(bool)                        {}

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

func freezeRecent(_ catalog.ID, r *ring) frozen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f := &frozenWhole{image: binary.AppendUvarint(nil, r.lost)}
	for _, e := range r.entries {
		for _, part := range wireParts(e.rows) {
			f.image = binary.AppendUvarint(f.image, e.step)
			f.image = wire.AppendBatch(f.image, part)
		}
	}
	return f
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
func (r *restorer) recent(def *catalog.Relation, limit int64) (*ring, error) {
	image, err := r.image(objectName(kindRecent, def.ID))
	if err != nil {
		return nil, err
	}
	out := newRing(limit)
	lost, n := binary.Uvarint(image)
	if n <= 0 {
		return nil, fmt.Errorf("%w: recent changes of %d bytes", state.ErrDamaged, len(image))
	}
	for image = image[n:]; len(image) > 0; {
		step, n := binary.Uvarint(image)
		if n <= 0 {
			return nil, fmt.Errorf("%w: recent changes with %d bytes too many", state.ErrDamaged, len(image))
		}
		var b *batch.Batch
		if b, image, err = wire.DecodeBatch(image[n:]); err != nil {
			return nil, err
		}
		out.add(step, b)
	}
	out.lost = max(out.lost, lost)
	return out, nil
}
