package flow_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/flow"
)

// oneStep says of every operator whether circuits with it are filled in one step: whether
// what it gives is a function of the steps, and not of what its inputs hold alone.
var oneStep = map[flow.Op]bool{
	&flow.Lookup{}: true, // joins a row with the other side of its own step
	&flow.Expire{}: true, // withdraws rows some time after the step in which they came

	&flow.Input{}: false, &flow.Values{}: false, &flow.Filter{}: false, &flow.Project{}: false, &flow.ProjectSet{}: false,
	&flow.Window{}: false, &flow.Buckets{}: false, &flow.Session{}: false, &flow.Union{}: false, &flow.Distinct{}: false,
	&flow.SetOp{}: false, &flow.Join{}: false, &flow.AsOf{}: false, &flow.Aggregate{}: false, &flow.TopN{}: false,
	&flow.Over{}: false, &flow.Match{}: false, &flow.Finalize{}: false, &flow.TimeFilter{}: false, &flow.Exchange{}: false,
	&flow.Output{}: false,
}

// TestOneStep names all operators there are; TestCircuits of sqltest and
// TestFillInChunks of engine show that those with false do not depend on cuts.
func TestOneStep(t *testing.T) {
	named := map[string]bool{}
	for op, want := range oneStep {
		named[reflect.TypeOf(op).Elem().Name()] = true
		if got := (&flow.Spec{Nodes: []flow.Node{{Op: &flow.Input{}}, {Op: op}}}).OneStep(); got != want {
			t.Errorf("%T: %v, want %v", op, got, want)
		}
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "isOp" {
				continue
			}
			if name := fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name; !named[name] {
				t.Errorf("operator %s of %s is not named here", name, file.Name())
			}
		}
	}
}
