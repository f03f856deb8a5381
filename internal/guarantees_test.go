package internal

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestGuaranteesNameTests checks that every test that docs/guarantees.md names is there.
func TestGuaranteesNameTests(t *testing.T) {
	text, err := os.ReadFile("../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	fn := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err = filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !regexp.MustCompile(`_test\.go$`).MatchString(path) {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range fn.FindAllSubmatch(src, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
	if len(named) < 15 {
		t.Errorf("%d tests are named: the pattern is wrong", len(named))
	}
	for _, m := range named {
		if !have[string(m[1])] {
			t.Errorf("docs/guarantees.md names %s, which is not there", m[1])
		}
	}
}
