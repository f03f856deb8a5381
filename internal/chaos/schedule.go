package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind of a fault.
type Kind string

// The kinds of faults.
const (
	Kill      Kind = "kill"      // SIGKILL, and a start some time later
	Stop      Kind = "stop"      // SIGSTOP, and SIGCONT some time later
	Restart   Kind = "restart"   // SIGTERM, and a start
	Partition Kind = "partition" // links between nodes are cut
	Slow      Kind = "slow"      // links between nodes are slow
	Disk      Kind = "disk"      // a node's disk is full
	Clock     Kind = "clock"     // a node's clock is an hour off
)

// Kinds lists them all.
var Kinds = []Kind{Kill, Stop, Restart, Partition, Slow, Disk, Clock}

// ParseKinds reads names with commas between them.
func ParseKinds(text string) ([]Kind, error) {
	var out []Kind
	for name := range strings.SplitSeq(text, ",") {
		k := Kind(strings.TrimSpace(name))
		switch {
		case k == "all":
			return slices.Clone(Kinds), nil
		case !slices.Contains(Kinds, k):
			return nil, fmt.Errorf("there is no fault %q: they are %s", name, joinKinds(Kinds))
		case !slices.Contains(out, k):
			out = append(out, k)
		}
	}
	return out, nil
}

func joinKinds(kinds []Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Who a fault hits, found out when it begins.
type Who string

// Whom faults hit.
const (
	Leader  Who = "leader"
	Standby Who = "standby" // one that does not lead
	Quorum  Who = "quorum"  // more than half of the nodes
	All     Who = "all"
)

// How a fault is done.
type How string

// Ways of partitions, disks and clocks.
const (
	Isolate How = "isolated"     // no packet in or out
	Deaf    How = "deaf"         // packets out, none in
	Mute    How = "mute"         // packets in, none out
	Pair    How = "off from one" // both ways, from one other node alone
	Flap    How = "flapping"     // isolated for a moment, again and again
	Full    How = "full"         // not one byte is free
	Low     How = "low"          // less is free than the node keeps in reserve
	Ahead   How = "ahead"
	Behind  How = "behind"
)

// Fault is one episode.
type Fault struct {
	Kind    Kind
	At, For time.Duration // since the start of the run, and how long
	Who     Who
	How     How
	Pick    uint32 // decides whom it hits when several could be meant
}

// String tells what happens, without when.
func (f Fault) String() string {
	s := fmt.Sprintf("%s %s", f.Kind, f.Who)
	if f.How != "" {
		s += ", " + string(f.How)
	}
	return fmt.Sprintf("%s, for %.1fs", s, f.For.Seconds())
}

const (
	// warmUp and coolDown are without faults, at both ends of a run.
	warmUp   = 4 * time.Second
	coolDown = 5 * time.Second
	// minGap and maxGap bound the time from one fault's end to the next one's start.
	minGap = 4 * time.Second
	maxGap = 12 * time.Second
	// overlapEvery: one fault in so many begins before the one before it has ended.
	overlapEvery = 6
)

// bounds of how long a fault lasts; long ones are cut down in short runs.
var bounds = map[Kind][2]time.Duration{
	Kill:      {0, 6 * time.Second},
	Stop:      {5 * time.Second, 30 * time.Second},
	Restart:   {0, 2 * time.Second},
	Partition: {5 * time.Second, 25 * time.Second},
	Slow:      {5 * time.Second, 20 * time.Second},
	Disk:      {3 * time.Second, 12 * time.Second},
	Clock:     {5 * time.Second, 15 * time.Second},
}

// longest is the part of a run that one fault may take: a seventh, but no less than this.
const longest = 8 * time.Second

// Schedule is the faults of a run of that length, in the order in which they begin. The same
// arguments give the same schedule. The first faults are one of each kind, in the order
// of kinds, as far as there is time, so that a short run misses none; then they are at random.
func Schedule(seed uint64, nodes int, length time.Duration, kinds []Kind) []Fault {
	rng := rand.New(rand.NewPCG(seed, 0x7c9))
	var out []Fault
	if len(kinds) == 0 {
		return nil
	}
	most := max(length/7, longest)
	at := warmUp
	for i := 0; ; i++ {
		f := Fault{Kind: kinds[i%len(kinds)], At: at}
		if i >= len(kinds) {
			f.Kind = kinds[rng.IntN(len(kinds))]
		}
		b := bounds[f.Kind]
		high := min(b[1], most)
		f.For = b[0] + time.Duration(rng.Int64N(int64(max(high-b[0], 1))))
		f.Who, f.How = ways(rng, f.Kind, nodes)
		f.Pick = rng.Uint32()
		left := length - coolDown - f.At
		if left <= b[0] {
			return out
		}
		f.For = min(f.For, left)
		out = append(out, f)
		at += minGap + time.Duration(rng.Int64N(int64(maxGap-minGap)))
		if rng.IntN(overlapEvery) > 0 || nodes == 1 {
			at += f.For
		}
	}
}

// ways picks whom and how.
func ways(rng *rand.Rand, k Kind, nodes int) (Who, How) {
	r := rng.IntN(10)
	who := Leader
	if r >= 6 && nodes > 1 {
		who = Standby
	}
	r = rng.IntN(10)
	switch k {
	case Kill:
		if r >= 8 {
			who = All
		}
	case Partition:
		return who, [10]How{Isolate, Isolate, Isolate, Isolate, Deaf, Deaf, Mute, Mute, Pair, Flap}[r]
	case Disk:
		how := Full
		if r >= 5 {
			how = Low
		}
		if r == 4 || r == 9 {
			who = Quorum
		}
		return who, how
	case Clock:
		if r >= 5 {
			return who, Behind
		}
		return who, Ahead
	}
	return who, ""
}
