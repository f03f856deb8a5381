package flow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// A group of rows is kept one way while it is small and another once it has grown;
// its rows must be found again in both, and on the way up and down.
func TestRowsOfAKeyAreFoundAgainInGroupsOfAnySize(t *testing.T) {
	const most = 20
	for _, keys := range [][]string{{"1"}, {"null"}, {"1", "null", "2"}} {
		for _, columns := range [][]int{{0}, {0, 0}} { // kept by value, and by hash
			join := keyed(flow.JoinInner)
			join.LeftKeys, join.RightKeys, join.NullSafe = columns, columns, true
			s := newSteps(t, binary(join, 4))
			right := []string{}
			for _, k := range keys {
				right = append(right, fmt.Sprintf("1 %s 7", k))
			}
			s.step("", strings.Join(right, "; "), "")
			change := func(w, n int) {
				left, want := []string{}, []string{}
				for _, k := range keys {
					left = append(left, fmt.Sprintf("%d %s %d", w, k, n))
					want = append(want, fmt.Sprintf("%d %s %d %s 7", w, k, n, k))
				}
				s.step(strings.Join(left, "; "), "", strings.Join(want, "; "))
			}
			numbers := []int{}
			for n := range most {
				change(1, n)
				numbers = append(numbers, n)
			}
			slices.SortFunc(numbers, func(a, b int) int { return a*7%most - b*7%most })
			for _, n := range numbers {
				change(2, n) // is the same row, whose weight rises
				change(-3, n)
			}
			change(1, 5)
			change(-1, 5)
			for k := range right {
				right[k] = "-" + right[k]
			}
			s.step("", strings.Join(right, "; "), "")
		}
	}
}

// A withdrawn row leaves nothing, in small groups and in large ones, whether it is
// withdrawn with all others of its key or alone.
func TestWithdrawnRowsOfAKeyLeaveNothing(t *testing.T) {
	const rounds = 3000
	for _, size := range []int64{3, 30} {
		for _, kept := range []int64{0, 1, 12} {
			g, err := flow.New(binary(keyed(flow.JoinInner), 4), flow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			step, early := int64(0), int64(0)
			change := func(from, to, w int64) {
				step++
				bu := batch.NewBuilder(repeat(int8T, 2))
				for n := from; n < to; n++ {
					bu.AppendRow([]types.Value{types.IntValue(types.Int8, 1), types.IntValue(types.Int8, n)}, w)
				}
				if _, _, err := g.Step(step, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{bu.Seal()}}); err != nil {
					t.Fatal(err)
				}
			}
			change(0, kept, 1)
			for round := range rounds {
				at := kept + int64(round)*size // rows that have never been
				change(at, at+size, 1)
				change(at, at+size, -1)
				if round == 10 {
					early = g.StateBytes()
				}
			}
			if late := g.StateBytes(); late > early*5/4 { // parts of an index may still double
				t.Errorf("%d rows come and go beside %d: state grows from %d to %d bytes", size, kept, early, late)
			}
		}
	}
}
