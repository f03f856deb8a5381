package sqlgen_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/sqltest/sqlgen"
)

// TestParses reads back everything that is generated, and prints it.
func TestParses(t *testing.T) {
	for seed := range uint64(100) {
		c := sqlgen.New(rand.New(rand.NewPCG(seed, 2)), sqlgen.Size{Steps: 8, Queries: 8})
		for _, text := range strings.Split(strings.TrimSpace(c.String()), ";\n") {
			stmts, err := sql.Parse(text, sql.Options{})
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, text, err)
			}
			for _, s := range stmts {
				if _, err := sql.Parse(sql.Format(s), sql.Options{}); err != nil {
					t.Fatalf("seed %d: %s printed as %s: %v", seed, text, sql.Format(s), err)
				}
			}
		}
	}
}

// TestReduce finds the part that matters in a large case.
func TestReduce(t *testing.T) {
	seed := uint64(1)
	var c *sqlgen.Case
	fails := func(c *sqlgen.Case) bool {
		return len(c.Queries) == 1 && strings.Contains(c.Queries[0].SQL, "FULL JOIN") && strings.Contains(c.String(), "UPDATE")
	}
	for ; ; seed++ {
		c = sqlgen.New(rand.New(rand.NewPCG(seed, 3)), sqlgen.Size{Steps: 12, Queries: 1})
		if fails(c) {
			break
		}
	}
	small := sqlgen.Reduce(c, fails, 3000)
	if !fails(small) {
		t.Fatal("the reduced case does not fail")
	}
	if len(small.String()) > 300 || len(small.Steps) != 1 || len(small.Tables) != 0 {
		t.Fatalf("seed %d: reduced only to\n%s", seed, small)
	}
}
