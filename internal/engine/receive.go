package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/types"
	"github.com/tidemill/tidemill/internal/wire"
)

// Delivery is a request that brings records to a source.
type Delivery struct {
	Schema, Name string // of the source
	Body         []byte
	// Sent names the request, so that it is taken once however often it comes; nil if
	// it has no name.
	Sent *connector.Sent
}

// Receipt is what became of a Delivery.
type Receipt struct {
	Rows     uint64 // that are durable
	Bad      uint64 // records put aside, durable as well
	Position uint64 // of the last block that holds them
	// Duplicate says that the request was taken before, and this is what it was answered
	// then.
	Duplicate bool
	// Forgotten says of a duplicate that Rows and Bad are no longer known, and Position is
	// that of the producer's last request.
	Forgotten bool
}

// Receive gives the body of a request to its source and returns when its rows are
// durable. A request with a name may be sent again after any error, and after none:
// it is taken once.
func (e *Engine) Receive(ctx context.Context, d Delivery) (Receipt, error) {
	a, err := e.anywhere(ctx, func() (answer, error) {
		r, err := e.receiveHere(ctx, d)
		return answer{receipt: (*wire.CallReceipt)(&r)}, err
	}, func() (answer, error) { return e.receiveThere(ctx, d) })
	if a.receipt == nil {
		return Receipt{}, err
	}
	return Receipt(*a.receipt), err
}

// receiveHere is Receive on the node that leads.
func (e *Engine) receiveHere(ctx context.Context, d Delivery) (Receipt, error) {
	snap := e.Snapshot()
	def, err := snap.Catalog.Resolve([]string{catalog.PublicSchema}, d.Schema, d.Name)
	if err != nil {
		return Receipt{}, err
	}
	s := e.sourceByID(def.ID)
	if s == nil || s.receiver == nil {
		return Receipt{}, &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%s takes no rows from requests", def.Describe()),
			Hint: "Only a source WITH (connector = 'http') does."}
	}
	if err := e.room(); err != nil {
		return Receipt{}, err
	}
	b, err := s.receiver.Decode(d.Body)
	if err != nil {
		return Receipt{}, err
	}
	if d.Sent != nil {
		b.Sent = []connector.Sent{*d.Sent}
	}
	r, err := s.receive(ctx, b)
	return r, e.sourceError(err)
}

// receive appends the block of a request, unless it is there. A leader that is to say that
// a request does not fit those before makes sure that it leads: others may have taken some
// meanwhile, and so may the leader before it at the last moment.
func (s *source) receive(ctx context.Context, b connector.Block) (Receipt, error) {
	r, err := s.receiveOnce(ctx, b)
	var te *types.Error
	if s.e.cfg.Leader == nil || !errors.As(err, &te) || te.Code != types.CodeSequenceGap && te.Code != types.CodeKeyReused {
		return r, err
	}
	if _, berr := s.e.call(ctx, &request{kind: coord.Barrier, leave: ctx}); berr != nil {
		return Receipt{}, berr
	}
	s.setUncertain()
	return s.receiveOnce(ctx, b)
}

// receiveOnce appends it if it fits what is known to be there.
func (s *source) receiveOnce(ctx context.Context, b connector.Block) (Receipt, error) {
	if err := s.waitForRoom(ctx); err != nil {
		return Receipt{}, err
	}
	if err := s.lockAppends(); err != nil {
		return Receipt{}, err
	}
	defer s.appendMu.Unlock()
	if err := s.settle(ctx); err != nil {
		return Receipt{}, err
	}
	for _, sent := range b.Sent {
		s.mu.Lock()
		k, known, counted, err := s.sent.check(sent)
		s.mu.Unlock()
		if known || err != nil {
			r := Receipt{Rows: k.Rows, Bad: k.Bad, Position: k.Position, Duplicate: known}
			if !counted {
				r.Rows, r.Bad, r.Forgotten = 0, 0, true
			}
			return r, err
		}
	}
	blocks, err := s.encodeBlock(b)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{}
	for _, blk := range blocks {
		r.Rows += uint64(blk.Rows.Len())
		r.Bad += uint64(len(blk.Bad))
	}
	for i := range blocks[len(blocks)-1].Sent {
		sent := &blocks[len(blocks)-1].Sent[i]
		sent.Rows, sent.Bad = r.Rows, r.Bad
	}
	r.Position, err = s.appendEncoded(ctx, blocks)
	return r, err
}

// Known implements connector.Intake.
func (i *intake) Known(ctx context.Context, key string) (uint64, bool, error) {
	s := (*source)(i)
	if err := s.lockAppends(); err != nil {
		return 0, false, err
	}
	defer s.appendMu.Unlock()
	if err := s.settle(ctx); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.sent.key(key)
	return k.Position, ok, nil
}
