package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/devcluster"
)

const (
	// lowBytes is what a disk of which less is free than is kept in reserve has left, and
	// diskReserve that reserve, in megabytes.
	lowBytes    = 16 << 20
	diskReserve = 64
	// clockOffset is how far a clock is off.
	clockOffset = time.Hour
	// clockEnv is the variable by which nodes that are built for tests shift their clock.
	clockEnv = "TIDEMILL_TEST_CLOCK_OFFSET"
	// Bounds of how much later packets come on a slow link.
	leastDelay = 10 * time.Millisecond
	mostDelay  = 200 * time.Millisecond
	// flapFor bounds how long a flapping link is in one state.
	flapFor = 1500 * time.Millisecond
)

// faults carries out a schedule. All that it did is undone when it returns.
func (r *chaos) faults(ctx context.Context, schedule []Fault) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, f := range schedule {
		pause(ctx, f.At-r.now())
		if ctx.Err() != nil {
			return
		}
		wg.Go(func() { r.fault(ctx, f) })
	}
}

// fault carries out one fault and undoes it.
func (r *chaos) fault(ctx context.Context, f Fault) {
	nodes, leads := r.targets(ctx, f)
	if len(nodes) == 0 {
		return
	}
	var names []string
	for _, i := range nodes {
		names = append(names, r.cluster.Node(i).Name())
	}
	who := strings.Join(names, " ")
	if leads {
		who += " (leads)"
	}
	what := fmt.Sprintf("%s: %s", who, f)
	at := r.now()
	r.log("%6.1fs %s", at.Seconds(), what)
	r.recov.disturb()
	if leads && (f.Kind == Restart || f.Kind == Clock) { // which take as long as it takes to start
		r.recov.fault(name(f), at)
	}
	heal, err := r.begin(ctx, f, nodes)
	if leads && f.Kind != Restart && f.Kind != Clock {
		r.recov.fault(name(f), r.now()) // what was begun from here on met the fault
	}
	pause(ctx, f.At+f.For-r.now())
	if heal != nil {
		err = errors.Join(err, heal())
	}
	e := Event{AtSeconds: at.Seconds(), Kind: f.Kind, What: what}
	if err != nil && ctx.Err() == nil {
		e.Error = err.Error()
		r.log("%6.1fs %s: %v", r.now().Seconds(), what, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// name is by which recoveries from a fault are counted.
func name(f Fault) string {
	s := string(f.Kind)
	if f.Who != Leader {
		s += " " + string(f.Who)
	}
	if f.How != "" {
		s += " " + string(f.How)
	}
	return s
}

// killOfLeader is the name of what Recoveries are of.
const killOfLeader = string(Kill)

// targets finds out whom a fault hits, and whether the leader is among them.
func (r *chaos) targets(ctx context.Context, f Fault) ([]int, bool) {
	n := r.cluster.Nodes()
	leader := r.doors.leader(ctx)
	known := leader >= 0
	if !known {
		leader = int(f.Pick) % n
	}
	others := []int{}
	for i := 1; i < n; i++ {
		if k := (leader + i) % n; r.cluster.Node(k).Alive() {
			others = append(others, k)
		}
	}
	switch f.Who {
	case Standby:
		if len(others) == 0 {
			return nil, false
		}
		return []int{others[int(f.Pick)%len(others)]}, false
	case Quorum:
		return append([]int{leader}, others[:min(len(others), n/2)]...), known
	case All:
		return append([]int{leader}, others...), known
	}
	return []int{leader}, known && r.cluster.Node(leader).Alive()
}

// begin starts a fault and returns what ends it.
func (r *chaos) begin(ctx context.Context, f Fault, nodes []int) (heal func() error, err error) {
	switch f.Kind {
	case Kill:
		r.each(nodes, func(i int) error { r.cluster.Node(i).Kill(); return nil })
		return func() error { return r.startAgain(ctx, nodes) }, nil
	case Restart:
		err := r.each(nodes, func(i int) error { return r.cluster.Node(i).Stop() })
		return func() error { return r.startAgain(ctx, nodes) }, err
	case Stop:
		err := r.each(nodes, func(i int) error { return r.cluster.Node(i).Pause() })
		return func() error { return r.each(nodes, r.resume) }, err
	case Partition:
		return r.beginPartition(ctx, f, nodes[0])
	case Slow:
		delay := leastDelay + time.Duration(int64(f.Pick)%int64(mostDelay-leastDelay))
		set := func(d time.Duration) error {
			return r.each(linksTo(nodes[0], r.cluster.Nodes()), func(other int) error {
				return errors.Join(r.net.slow(nodes[0], other, d), r.net.slow(other, nodes[0], d))
			})
		}
		return func() error { return set(0) }, set(delay)
	case Disk:
		free := int64(0)
		if f.How == Low {
			free = lowBytes
		}
		err := r.each(nodes, func(i int) error { return r.net.space(i, free) })
		return func() error { return r.each(nodes, func(i int) error { return r.net.space(i, -1) }) }, err
	case Clock:
		offset := clockOffset
		if f.How == Behind {
			offset = -offset
		}
		set := func(d time.Duration) error {
			for _, i := range nodes {
				r.mu.Lock()
				r.offsets[i] = d
				r.mu.Unlock()
				r.cluster.Node(i).Kill()
			}
			return r.startAgain(ctx, nodes)
		}
		return func() error { return set(0) }, set(offset)
	}
	return nil, fmt.Errorf("fault %q is not known", f.Kind)
}

func (r *chaos) resume(i int) error {
	if n := r.cluster.Node(i); n.Paused() {
		return n.Resume()
	}
	return nil
}

func (r *chaos) startAgain(ctx context.Context, nodes []int) error {
	return r.each(nodes, func(i int) error {
		err := r.cluster.Node(i).Start(ctx)
		if errors.Is(err, devcluster.ErrStopped) {
			return nil // by another fault, which starts it again
		}
		return err
	})
}

// each does something to several nodes at once.
func (r *chaos) each(nodes []int, fn func(i int) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for k, i := range nodes {
		wg.Go(func() { errs[k] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func linksTo(node, n int) []int {
	var out []int
	for i := range n {
		if i != node {
			out = append(out, i)
		}
	}
	return out
}

// beginPartition cuts links; flapping ones are cut and healed again and again.
func (r *chaos) beginPartition(ctx context.Context, f Fault, node int) (func() error, error) {
	pairs := linksOf(f.How, node, r.cluster.Nodes(), f.Pick)
	if f.How != Flap {
		return r.links.cut(pairs)
	}
	stop, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	rng := rand.New(rand.NewPCG(uint64(f.Pick), 1))
	go func() {
		var errs []error
		for stop.Err() == nil {
			heal, err := r.links.cut(pairs)
			pause(stop, time.Duration(rng.Int64N(int64(flapFor))))
			errs = append(errs, err, heal())
			pause(stop, time.Duration(rng.Int64N(int64(flapFor))))
		}
		done <- errors.Join(errs...)
	}()
	return func() error { cancel(); return <-done }, nil
}

// exited is called when a node ended by itself: it is noted, and started again.
func (r *chaos) exited(node int, state, tail string) {
	r.mu.Lock()
	r.exits = append(r.exits, fmt.Sprintf("node %s ended by itself at %.1fs: %s: %s", r.cluster.Node(node).Name(), r.now().Seconds(), state, lastLine(tail)))
	r.mu.Unlock()
	r.log("%6.1fs node %s ended by itself: %s\n%s", r.now().Seconds(), r.cluster.Node(node).Name(), state, tail)
	r.work.Go(func() {
		pause(r.whole, time.Second)
		if r.whole.Err() == nil {
			if err := r.cluster.Node(node).Start(r.whole); err != nil && r.whole.Err() == nil {
				r.log("%v", err)
			}
		}
	})
}

func lastLine(s string) string {
	l := slices.DeleteFunc(strings.Split(s, "\n"), func(x string) bool { return strings.TrimSpace(x) == "" })
	if len(l) == 0 {
		return ""
	}
	return l[len(l)-1]
}
