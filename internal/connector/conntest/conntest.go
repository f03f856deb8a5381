// Package conntest has the engine's side of connectors for their tests: a log and
// a view's changes in memory.
package conntest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// Timeout bounds every wait of a test.
const Timeout = 20 * time.Second

// Text returns the rows of b as text, columns separated by |, NULL as \N.
func Text(b *batch.Batch) []string {
	var rows []string
	for k := range b.Len() {
		var fields []string
		for _, v := range b.RowValues(b.Row(k)) {
			if v.Null {
				fields = append(fields, `\N`)
			} else {
				fields = append(fields, string(types.AppendText(nil, v, types.Style{})))
			}
		}
		rows = append(rows, strings.Join(fields, "|"))
	}
	return rows
}

// signal wakes everybody who waits for a change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) wake() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Intake is a connector.Intake in memory.
type Intake struct {
	signal
	rows   []string
	bad    []connector.Bad
	blocks int
	cursor []byte
	known  map[string]uint64 // position of each key
	// Before, if set, runs before a block is stored; an error refuses it.
	Before func(b connector.Block) error
	// After, if set, runs when it is stored; its error is what Append returns.
	After func() error
}

// Cursor implements connector.Intake.
func (i *Intake) Cursor() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cursor
}

// Append implements connector.Intake.
func (i *Intake) Append(ctx context.Context, b connector.Block) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if i.Before != nil {
		if err := i.Before(b); err != nil {
			return 0, err
		}
	}
	i.mu.Lock()
	i.blocks++
	if b.Rows != nil {
		i.rows = append(i.rows, Text(b.Rows)...)
	}
	i.bad = append(i.bad, b.Bad...)
	i.cursor = append([]byte(nil), b.Cursor...)
	pos := uint64(i.blocks)
	for _, s := range b.Sent {
		if i.known == nil {
			i.known = map[string]uint64{}
		}
		i.known[s.Key] = pos
	}
	i.wake()
	i.mu.Unlock()
	if i.After != nil {
		return pos, i.After()
	}
	return pos, nil
}

// Known implements connector.Intake.
func (i *Intake) Known(ctx context.Context, key string) (uint64, bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	pos, ok := i.known[key]
	return pos, ok, ctx.Err()
}

// Rows returns the rows so far.
func (i *Intake) Rows() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.rows...)
}

// Bad returns the bad records so far.
func (i *Intake) Bad() []connector.Bad {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]connector.Bad(nil), i.bad...)
}

// Blocks returns how many blocks there are.
func (i *Intake) Blocks() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.blocks
}

// Wait waits until there are n rows and bad records together.
func (i *Intake) Wait(n int) error {
	late := time.After(Timeout)
	for {
		i.mu.Lock()
		have, changed := len(i.rows)+len(i.bad), i.wait()
		i.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-late:
			return fmt.Errorf("%d rows and bad records after %s, want %d", have, Timeout, n)
		}
	}
}

// Outlet is a connector.Outlet in memory.
type Outlet struct {
	signal
	steps    []uint64
	batches  []*batch.Batch
	position uint64
	// OnDone, if set, runs before a position is stored; an error refuses it.
	OnDone func(step uint64) error
}

// Add adds the changes of a step, whose number is greater than all before.
func (o *Outlet) Add(step uint64, b *batch.Batch) {
	o.mu.Lock()
	o.steps, o.batches = append(o.steps, step), append(o.batches, b)
	o.wake()
	o.mu.Unlock()
}

// Position implements connector.Outlet.
func (o *Outlet) Position() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.position
}

// Next implements connector.Outlet.
func (o *Outlet) Next(ctx context.Context, after uint64) (uint64, *batch.Batch, error) {
	for {
		o.mu.Lock()
		for i, s := range o.steps {
			if s > after {
				b := o.batches[i]
				o.mu.Unlock()
				return s, b, ctx.Err()
			}
		}
		changed := o.wait()
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// Done implements connector.Outlet.
func (o *Outlet) Done(_ context.Context, step uint64) error {
	if o.OnDone != nil {
		if err := o.OnDone(step); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.position = step
	o.wake()
	return nil
}

// Wait waits until step is delivered.
func (o *Outlet) Wait(step uint64) error {
	late := time.After(Timeout)
	for {
		o.mu.Lock()
		have, changed := o.position, o.wait()
		o.mu.Unlock()
		if have >= step {
			return nil
		}
		select {
		case <-changed:
		case <-late:
			return fmt.Errorf("step %d delivered after %s, want %d", have, Timeout, step)
		}
	}
}
