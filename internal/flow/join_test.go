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

// A withdrawn row leaves nothing, in small groups and in large ones, whether the
// others of its key stay for now or go with it.
func TestWithdrawnRowsOfAKeyLeaveNothing(t *testing.T) {
	const rounds = 2000
	for _, size := range []int64{2, 6, 30} {
		g, err := flow.New(binary(keyed(flow.JoinInner), 4), flow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		step, early := int64(0), int64(0)
		change := func(key, from, to, w int64) {
			step++
			bu := batch.NewBuilder(repeat(int8T, 2))
			for n := from; n < to; n++ {
				bu.AppendRow([]types.Value{types.IntValue(types.Int8, key), types.IntValue(types.Int8, n)}, w)
			}
			if _, _, err := g.Step(step, 0, flow.Feed{Rel: "l", Blocks: []*batch.Batch{bu.Seal()}}); err != nil {
				t.Fatal(err)
			}
		}
		for key := range int64(rounds) {
			change(key, 0, size, 1)
			change(key, size/2, size, -1)
			change(key, 0, size/2, -1)
			if key == rounds/10 {
				early = g.StateBytes()
			}
		}
		if late := g.StateBytes(); late > early*5/4 { // parts of an index may still grow once
			t.Errorf("%d rows a key: state grows from %d to %d bytes", size, early, late)
		}
	}
}
