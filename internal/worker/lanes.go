package worker

import (
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/state"
)

// each calls fn for every lane, in goroutines of their own if large, and waits
// for all. It returns the error of the first lane that has one.
func (c *circuit) each(large bool, fn func(lane int) error) error {
	n := c.group.Workers()
	threads := min(c.threads, n)
	if !large || threads == 1 {
		for k := range n {
			if err := c.guard(func() error { return fn(k) }); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, n)
	c.spread(threads, errs, fn)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// spread calls fn for every lane in so many goroutines, each of which takes the next
// lane that nobody has taken, and notes the lanes' errors.
func (c *circuit) spread(threads int, errs []error, fn func(lane int) error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range threads {
		wg.Go(func() {
			for k := int(next.Add(1)) - 1; k < len(errs); k = int(next.Add(1)) - 1 {
				errs[k] = c.guard(func() error { return fn(k) })
			}
		})
	}
	wg.Wait()
}

// guard turns a panic into an error.
func (c *circuit) guard(fn func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		var fault *state.FaultError
		if e, ok := v.(error); ok && errors.As(e, &fault) {
			err = &FaultError{Circuit: c.key, Err: fault}
			return
		}
		err = &PanicError{Circuit: c.key, Value: v, Stack: debug.Stack()}
	}()
	return fn()
}
