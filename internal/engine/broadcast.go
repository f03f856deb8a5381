package engine

import (
	"context"
	"sync"
)

// broadcast wakes any number of waiters. The zero value is ready.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // closed at the next send; made when somebody waits
}

// wait returns a channel that the next send closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// semaphore bounds a number of bytes. One taker is let in whatever it takes when
// nobody else holds any.
type semaphore struct {
	most int64
	free broadcast

	mu   sync.Mutex
	held int64
}

func newSemaphore(most int64) *semaphore { return &semaphore{most: most} }

// take waits until n fit.
func (s *semaphore) take(ctx context.Context, n int64) error {
	for {
		freed := s.free.wait()
		s.mu.Lock()
		if s.held == 0 || s.held+n <= s.most {
			s.held += n
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *semaphore) give(n int64) {
	s.mu.Lock()
	s.held -= n
	s.mu.Unlock()
	s.free.send()
}
