package flow_test

import (
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/expr"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// What EXPLAIN says of memory: bids is a stream with a watermark on its column at,
// clicks one without, people a table.
func TestBounds(t *testing.T) {
	two := []types.Type{int8T, tsT}
	names := []string{"id", "at"}
	in := func(rel string) flow.Node {
		return flow.Node{Op: &flow.Input{Rel: rel, AppendOnly: rel != "people"}, Out: two, Names: names}
	}
	four := append(append([]types.Type{}, two...), two...)
	both := append(append([]string{}, names...), names...)
	count := func(keys ...int) *flow.Aggregate {
		fn, _, _, err := expr.ResolveAgg("count", nil)
		if err != nil {
			t.Fatal(err)
		}
		return &flow.Aggregate{Keys: keys, Calls: []flow.AggCall{{Fn: fn, Filter: -1, Ret: int8T}}}
	}
	for _, c := range []struct {
		name  string
		nodes []flow.Node
		want  string // in the line of the node before the output
		grows bool
	}{
		{"by window", []flow.Node{in("bids"),
			{Op: &flow.Window{Time: 1, Slide: 2e6, Size: 10e6}, In: []int{0}, Out: append(four[:2:2], tsT, tsT), Names: append(both[:2:2], "window_start", "window_end")},
			{Op: count(2), In: []int{1}, Out: []types.Type{tsT, int8T}}},
			"[state: freed below the watermark of window_start]", false},
		{"by key", []flow.Node{in("bids"), {Op: count(0), In: []int{0}, Out: two[:1:1]}},
			"[state: one row a group, never freed: grows with the number of keys]", false},
		{"of a table", []flow.Node{in("people"), {Op: count(0), In: []int{0}, Out: two[:1:1]}},
			"[state: one row a group, bounded by what it reads]", false},
		{"total", []flow.Node{in("clicks"), {Op: count(), In: []int{0}, Out: two[:1:1]}}, "[state: one row]", false},
		{"join of streams", []flow.Node{in("bids"), in("clicks"),
			{Op: &flow.Join{Kind: flow.JoinInner, LeftKeys: []int{0}, RightKeys: []int{0}}, In: []int{0, 1}, Out: four, Names: both}},
			"[state: both sides, never freed: grows with every row]", true},
		{"join of a stream and a table", []flow.Node{in("people"), in("clicks"),
			{Op: &flow.Join{Kind: flow.JoinInner, LeftKeys: []int{0}, RightKeys: []int{0}}, In: []int{0, 1}, Out: four, Names: both}},
			"[state: the right side, never freed: grows with every row]", true},
		{"join by time", []flow.Node{in("bids"), in("bids"),
			{Op: &flow.Join{Kind: flow.JoinInner, LeftKeys: []int{1}, RightKeys: []int{1}}, In: []int{0, 1}, Out: four, Names: both}},
			"[state: freed below the watermark of at]", false},
		{"interval join", []flow.Node{in("bids"), in("bids"),
			{Op: &flow.Join{Kind: flow.JoinLeft, LeftKeys: []int{0}, RightKeys: []int{0}, Between: &flow.Between{Left: 1, Right: 1, Lo: -5e6}}, In: []int{0, 1}, Out: four, Names: both}},
			"[state: freed when the watermarks of at and at have passed the interval]", false},
		{"top of a stream", []flow.Node{in("clicks"), {Op: &flow.TopN{Partition: []int{0}, Limit: 1}, In: []int{0}, Out: two, Names: names}},
			"[state: the first rows of a partition, never freed: grows with the number of keys]", false},
	} {
		last := c.nodes[len(c.nodes)-1]
		spec := &flow.Spec{Nodes: append(c.nodes, flow.Node{Op: &flow.Output{Name: "out"}, In: []int{len(c.nodes) - 1}, Out: last.Out})}
		bounds, err := spec.Bounds(func(rel string, col int) bool { return rel == "bids" && col == 1 },
			func(rel string) flow.Growth {
				if rel == "people" {
					return flow.Fixed
				}
				return flow.ByRows
			})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		lines := strings.Split(spec.Explain(flow.ExplainOptions{Bounds: bounds}), "\n")
		if !strings.Contains(lines[1], c.want) {
			t.Errorf("%s: explain gives %q, want %q in it", c.name, lines[1], c.want)
		}
		if got := len(spec.Unbounded(bounds)) > 0; got != c.grows {
			t.Errorf("%s: unbounded is %v: %q", c.name, got, spec.Unbounded(bounds))
		}
	}
}

// An operator's time is its own: not that of the operators it emits to.
func TestOperatorTime(t *testing.T) {
	spec := &flow.Spec{Nodes: []flow.Node{
		{Op: &flow.Input{Rel: "t"}, Out: repeat(int8T, 1)},
		{Op: &flow.Filter{Pred: &expr.IsNull{Arg: col(0, int8T), Negate: true}}, In: []int{0}, Out: repeat(int8T, 1)},
		{Op: &flow.Output{Name: "out"}, In: []int{1}, Out: repeat(int8T, 1)},
	}}
	ticks := int64(0)
	g, err := flow.New(spec, flow.Options{Clock: func() int64 { ticks++; return ticks * 1000 }})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Step(1, 0, flow.Feed{Rel: "t", Blocks: []*batch.Batch{batch.FromRows(repeat(int8T, 1), [][]types.Value{{types.IntValue(types.Int8, 1)}})}}); err != nil {
		t.Fatal(err)
	}
	// The clock is read when an operator begins, when one below it does, when that
	// one ends, and so on: a tick between any two readings.
	sum := int64(0)
	for _, c := range g.Counters() {
		if c.Nanos < 1000 {
			t.Errorf("%s has worked for %d ns", c.Label, c.Nanos)
		}
		sum += c.Nanos
	}
	if sum > (ticks-1)*1000 {
		t.Errorf("operators have worked for %d ns of %d", sum, (ticks-1)*1000)
	}
}
