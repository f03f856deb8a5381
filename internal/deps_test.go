package internal

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/tidemill/tidemill"

// layers says which packages of this module a package may import. Names are
// relative to internal/; "." is the library at the root. Test files are free.
// A new row, or a wider one, needs a line in docs/decisions.
var layers = map[string]string{
	// Pure: no I/O, no clock, no goroutine.
	"types":   "",
	"sql":     "",
	"batch":   "types",
	"expr":    "batch types",
	"state":   "batch types",
	"pattern": "",
	"flow":    "pattern state batch expr types",
	"catalog": "types",
	"plan":    "sql catalog expr flow pattern batch types",
	"coord":   "types",
	"wire":    "batch catalog types",
	// Edge: may do I/O.
	"fabric":     "",
	"ckpt":       "state wire batch types failpoint",
	"failpoint":  "",
	"worker":     "flow state coord wire batch types",
	"format":     "batch types",
	"connector":  "format fabric batch types",
	"session":    "sql batch types",
	"security":   "",
	"syscat":     "catalog batch types",
	"engine":     "sql catalog plan expr flow coord worker wire state ckpt batch types session fabric connector failpoint security",
	"pgserver":   "session security sql format batch types",
	"httpapi":    "session security sql format batch types",
	"shell":      "types",
	"backup":     "ckpt fabric wire state batch types",
	"devcluster": "",
	"chaos":      "devcluster shell",
	"node":       "*",
	// Test only: nothing but tests and each other may import these.
	"e2e":     "*",
	"oracle":  "flow pattern expr batch types",
	"sim":     "*",
	"pgtest":  "",
	"sqltest": "*",
}

// outside says which modules a pure package may import besides the standard library.
var outside = map[string]string{
	"types": "github.com/cockroachdb/apd/v3",
	"wire":  "github.com/klauspost/compress",
}

// impure lists the standard packages that a pure package may not touch.
var impure = map[string]bool{
	"os": true, "net": true, "net/http": true, "math/rand": true, "math/rand/v2": true,
	"io/ioutil": true, "os/exec": true, "sync": true, "log": true, "log/slog": true,
}

// excused says which of them some may import all the same.
var excused = map[string]string{
	"state": "sync", // its block cache has readers beside the owner
}

var pure = strings.Fields("types sql batch expr state pattern flow catalog plan coord wire")

var testOnly = strings.Fields("e2e oracle pgtest sim sqltest")

// testParts are packages below a house that serve tests alone, and need not be pure.
var testParts = strings.Fields("state/statetest ckpt/diskmodel connector/conntest")

// TestImports holds every package to the table above.
func TestImports(t *testing.T) {
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "testdata" || dir == "sql/pgparser" || dir == "e2e/powercut" {
			return filepath.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if _, none := err.(*build.NoGoError); none {
			return nil
		}
		if err != nil {
			return err
		}
		checkPackage(t, filepath.ToSlash(dir), p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkPackage(t *testing.T, dir string, p *build.Package) {
	house, _, _ := strings.Cut(dir, "/")
	if house == "." {
		return
	}
	allowed, known := layers[house]
	if !known {
		t.Errorf("package internal/%s has no row in the import table", dir)
		return
	}
	for _, imp := range p.Imports {
		if own, ok := strings.CutPrefix(imp, module+"/internal/"); ok {
			other, _, _ := strings.Cut(own, "/")
			if other != house && allowed != "*" && !contains(strings.Fields(allowed), other) {
				t.Errorf("internal/%s imports internal/%s, which its row does not allow", dir, own)
			}
			if (contains(testOnly, other) || contains(testParts, own)) && !contains(testOnly, house) && !contains(testParts, dir) {
				t.Errorf("internal/%s imports internal/%s, which is for tests only", dir, own)
			}
			continue
		}
		if strings.Contains(imp, "nats-io/") && house != "fabric" {
			t.Errorf("internal/%s imports %s: only fabric may", dir, imp)
		}
		if !contains(pure, house) || contains(testParts, dir) {
			continue
		}
		if impure[imp] && !contains(strings.Fields(excused[house]), imp) {
			t.Errorf("internal/%s is pure but imports %s", dir, imp)
		}
		if strings.Contains(imp, ".") && !allowedOutside(house, imp) {
			t.Errorf("internal/%s imports %s, which its row does not allow", dir, imp)
		}
	}
}

func allowedOutside(house, imp string) bool {
	for _, m := range strings.Fields(outside[house]) {
		if imp == m || strings.HasPrefix(imp, m+"/") {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
