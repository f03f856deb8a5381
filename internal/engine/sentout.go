package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/fnv"
	"sync"

	"github.com/tidemill/tidemill/internal/wire"
)

// sentTxs are the transactions that a standby has sent to the leader of an epoch and that
// have no answer yet. The step that holds one names it, so the log tells what became of it
// if the answer is lost: it is there, or an epoch has begun whose log it is not in, and never
// will be, since the leader of another epoch refuses it.
type sentTxs struct {
	origin uint64    // of this run
	moved  broadcast // when something is known of one

	mu   sync.Mutex
	last uint64 // number given last
	open map[uint64]*sentTx
}

// sentTx is what is known of one.
type sentTx struct {
	epoch uint64
	seq   uint64 // of the record that holds it; 0: none that was read
	lost  bool   // there will be none
}

// originOf names a run among all.
func originOf(cfg *Config) uint64 {
	if cfg.Manual != nil {
		h := fnv.New64a()
		h.Write([]byte(cfg.Node))
		return h.Sum64()
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// epoch is the last one that the engine knows of; its own if it leads.
func (e *Engine) epoch() uint64 {
	e.stand.mu.Lock()
	defer e.stand.mu.Unlock()
	return e.stand.now.Epoch
}

// name gives the transactions of a call their names, unless one of them is to have none.
func (e *Engine) name(call *wire.Call, list []*forwarded) {
	epoch := e.epoch()
	for _, f := range list {
		if f.plain || epoch == 0 {
			return
		}
	}
	s := &e.sent
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[uint64]*sentTx{}
	}
	call.Epoch, call.Origin = epoch, s.origin
	for _, f := range list {
		s.last++
		f.number, f.epoch = s.last, epoch
		s.open[f.number] = &sentTx{epoch: epoch}
		call.Numbers = append(call.Numbers, f.number)
	}
}

// seen notes the transactions of a step that is being applied.
func (s *sentTxs) seen(seq uint64, list []wire.Forwarded) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	for _, f := range list {
		if tx := s.open[f.Number]; tx != nil && f.Origin == s.origin {
			tx.seq = seq
		}
	}
	s.mu.Unlock()
	s.moved.send()
}

// passed notes that the log has come to an epoch: what was sent to a leader before and is
// not there will not be.
func (s *sentTxs) passed(epoch uint64) {
	s.mu.Lock()
	for _, tx := range s.open {
		tx.lost = tx.lost || tx.epoch < epoch
	}
	s.mu.Unlock()
	s.moved.send()
}

// known returns what the log says of a transaction.
func (s *sentTxs) known(number uint64) sentTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.open[number]
}

// resolved is the answer to a transaction that was sent. If it was lost, the log is asked.
func (e *Engine) resolved(ctx context.Context, f *forwarded, a answer) answer {
	if f.number == 0 {
		return a
	}
	defer func() {
		e.sent.mu.Lock()
		delete(e.sent.open, f.number)
		e.sent.mu.Unlock()
	}()
	if !a.open {
		return a
	}
	ctx, cancel := e.within(ctx, resolveWait)
	defer cancel()
	until := e.cfg.Clock().Add(resolveWait)
	for {
		moved := e.sent.moved.wait()
		switch tx := e.sent.known(f.number); {
		case tx.seq > 0:
			return answer{seq: tx.seq}
		case tx.lost:
			return answer{err: ErrNoLeader, void: true}
		}
		if m := e.cfg.Manual; m != nil {
			if !e.cfg.Clock().Before(until) || m.Wait() != nil {
				return a
			}
			select {
			case <-e.done:
				return a
			default:
			}
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return a
		case <-e.done:
			return a
		}
	}
}
