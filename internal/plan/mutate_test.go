package plan

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
)

// corpus returns the statements of testdata.
func corpus(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata: ", err)
	}
	var out []string
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(raw), "\n\n") {
			lines := strings.SplitN(block, "\n----", 2)
			if _, stmt, ok := strings.Cut(lines[0], "\n"); ok && !strings.HasPrefix(lines[0], "exec") {
				out = append(out, stmt)
			}
		}
	}
	return out
}

func corpusCatalog(t testing.TB) *catalog.Catalog {
	cat := catalog.New(nil)
	text := `CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL, c bigint DEFAULT 7, CHECK (c > 0));
CREATE TABLE u (a int, d float8, e timestamp); CREATE SOURCE s (k bigint, at timestamp, v int) WITH (connector = 'datagen');
CREATE VIEW w AS SELECT a AS x, c + 1 AS y FROM t WHERE c > 5; CREATE TABLE l (a int, x int); CREATE TABLE r (a int, y int); CREATE TABLE e (a int, z int)`
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stmts {
		cmd, err := testPlanner(cat).PlanDDL(s, text)
		if err == nil {
			cat, _, err = cat.With(cmd)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return cat
}

// TestMutations plans statements made of pieces of others: each gives a plan or
// an error that is not internal, and the same one twice.
func TestMutations(t *testing.T) {
	const rounds = 4000
	seed := uint64(1)
	rng := rand.New(rand.NewPCG(seed, 0))
	texts, cat := corpus(t), corpusCatalog(t)
	planned := 0
	for range rounds {
		a, b := strings.Fields(texts[rng.IntN(len(texts))]), strings.Fields(texts[rng.IntN(len(texts))])
		i, j := rng.IntN(len(a)), rng.IntN(len(b))
		words := append([]string{}, a...)
		switch rng.IntN(3) {
		case 0:
			words[i] = b[j]
		case 1:
			words = append(words[:i:i], words[i+1:]...)
		case 2:
			words = append(words[:i:i], append(append([]string{}, b[j:]...), a[i:]...)...)
		}
		text := strings.Join(words, " ")
		stmts, err := sql.Parse(text, sql.Options{})
		if err != nil || len(stmts) != 1 {
			continue
		}
		first := planText(t, cat, stmts[0], text)
		if again := planText(t, cat, stmts[0], text); again != first {
			t.Fatalf("seed %d: two plans of %s:\n%s\n%s", seed, text, first, again)
		}
		planned++
	}
	if planned < rounds/20 {
		t.Fatalf("only %d of %d mutations read", planned, rounds)
	}
}

func planText(t *testing.T, cat *catalog.Catalog, s sql.Stmt, text string) string {
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("panic %v: %s", r, text)
		}
	}()
	out, err := describe(testPlanner(cat), s, "plan")
	if err != nil {
		out = describeError(err, text)
	}
	if strings.HasPrefix(out, "ERROR XX000") {
		t.Fatalf("internal error: %s\n%s", text, out)
	}
	return fmt.Sprint(out)
}
