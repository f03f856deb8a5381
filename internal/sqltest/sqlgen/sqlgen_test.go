package sqlgen_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"testing"

	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/sqltest/sqlgen"
)

// TestValid holds the generator to its word: nearly everything it makes is valid in
// PostgreSQL, and what errors there are come from constraints or limits.
func TestValid(t *testing.T) {
	conn := pgtest.Connect(t)
	cases := 60
	if n, err := strconv.Atoi(os.Getenv("SQLGEN_CASES")); err == nil {
		cases = n
	}
	var asked, failed, rows int
	reasons, samples := map[string]int{}, map[string]string{}
	run := func(seed int, sql string, query bool) {
		res := pgtest.Query(t, conn, sql)
		if !query && res.Err != nil && (res.Err.Code[:2] == "23" || res.Err.Code == "25P02" || res.Err.Code == "21000") {
			return // constraints do what they are there for
		}
		if res.Err != nil && res.Err.Code == "57014" {
			t.Logf("seed %d: slow: %s", seed, sql)
			return
		}
		asked++
		if res.Err != nil {
			failed++
			why := res.Err.Code + " " + res.Err.Message
			reasons[why]++
			samples[why] = fmt.Sprintf("seed %d: %s", seed, sql)
		}
		if query && len(res.Rows) > 0 {
			rows++
		}
	}
	var queries int
	for seed := range cases {
		c := sqlgen.New(rand.New(rand.NewPCG(uint64(seed), 1)), sqlgen.Size{Steps: 8, Queries: 10})
		pgtest.Query(t, conn, fmt.Sprintf("CREATE SCHEMA g%d", seed))
		pgtest.Query(t, conn, fmt.Sprintf("SET search_path = g%d; SET jit = off; SET statement_timeout = '3s'", seed))
		for _, s := range c.Tables {
			run(seed, s, false)
		}
		for _, v := range c.Views {
			v.Materialized = false
			run(seed, v.Create(), false)
		}
		for _, st := range c.Steps {
			for _, s := range st {
				run(seed, s, false)
			}
		}
		for _, q := range c.Queries {
			run(seed, q.SQL, true)
			queries++
		}
		pgtest.Query(t, conn, fmt.Sprintf("DROP SCHEMA g%d CASCADE", seed))
	}
	var list []string
	for why := range reasons {
		list = append(list, why)
	}
	sort.Slice(list, func(i, j int) bool { return reasons[list[i]] > reasons[list[j]] })
	for _, why := range list[:min(len(list), 25)] {
		t.Logf("%d times %s\n\t%s", reasons[why], why, samples[why])
	}
	t.Logf("%d of %d statements invalid; %d of %d queries with rows", failed, asked, rows, queries)
	if failed*100 > asked*3 {
		t.Errorf("%d of %d statements are invalid; at most 3 %% may be", failed, asked)
	}
	if rows*2 < queries {
		t.Errorf("only %d of %d queries give rows", rows, queries)
	}
}

// TestDeterministic makes the same case of the same seed.
func TestDeterministic(t *testing.T) {
	size := sqlgen.Size{Steps: 5, Queries: 5}
	for seed := range uint64(50) {
		a := sqlgen.New(rand.New(rand.NewPCG(seed, 1)), size).String()
		if b := sqlgen.New(rand.New(rand.NewPCG(seed, 1)), size).String(); a != b {
			t.Fatalf("seed %d makes\n%s\nand\n%s", seed, a, b)
		}
	}
}
