package expr

import (
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// Func is one overload of a scalar function or operator.
type Func struct {
	Name string
	// Args are the types of the arguments. Polymorphic ones have kinds of their
	// own that no value has; Resolve gives the real types.
	Args       []types.Type
	Ret        types.Type
	Volatility Volatility
	Strict     bool // NULL in, NULL out, without calling the kernel
	Variadic   bool // the last argument may be repeated
	// Example is an expression in SQL that calls it, and Want the text of its value
	// in the time zone UTC (NULL prints as NULL). Tests and documents use them.
	Example, Want string

	several bool // there are other overloads of Name
	host    bool // Ctx.Host computes it
	vec     vecKernel
	row     rowKernel
}

// SetFunc is one overload of a set-returning function.
type SetFunc struct {
	Name string
	Args []types.Type
	Ret  types.Type

	expand setKernel
}

// Pseudo-types of polymorphic arguments and results.
const (
	kindAnyElem  types.Kind = 200 // anyelement; all of them in a call are alike
	kindAnyArray types.Kind = 201 // array of the anyelement
	kindAny      types.Kind = 202 // "any": each of its own type
	kindNonArray types.Kind = 203 // anynonarray
)

var pseudoNames = map[string]types.Kind{
	"anyelement": kindAnyElem, "anyarray": kindAnyArray, "any": kindAny, "anynonarray": kindNonArray,
}

func isPseudo(k types.Kind) bool { return k >= kindAnyElem }

// typeName prints t as PostgreSQL does in error messages: without its modifier.
func typeName(t types.Type) string {
	for n, k := range pseudoNames {
		if k == t.Kind {
			return n
		}
	}
	return t.WithoutMod().String()
}

// registry holds every scalar overload by name.
type registry struct {
	byName map[string][]*Func
	all    []*Func // in the order of the table
	sets   map[string][]*SetFunc
	aggs   map[string][]*AggFunc
}

var builtins = buildRegistry()

// Funcs lists every overload of every function and operator, in the order of the
// table of package expr. The caller does not change them.
func Funcs() []*Func { return builtins.all }

func buildRegistry() *registry {
	r := &registry{byName: map[string][]*Func{}, sets: setFuncs(), aggs: aggFuncs()}
	kernels := allKernels()
	for _, s := range specs() {
		f := &Func{Name: s.name, Args: parseTypes(s.args), Ret: parseTypes(s.ret)[0], Strict: true, Example: s.example, Want: s.want}
		for _, c := range s.flags {
			switch c {
			case 's':
				f.Volatility = Stable
			case 'v':
				f.Volatility = Volatile
			case 'n':
				f.Strict = false
			case '*':
				f.Variadic = true
			case 'h':
				f.host = true
			}
		}
		k, ok := kernels[s.name+"("+s.args+")"]
		if !ok {
			k = kernels[s.name]
		}
		f.vec, f.row = k.vec, k.row
		if f.host {
			f.row = hostRow
		}
		r.byName[s.name] = append(r.byName[s.name], f)
		r.all = append(r.all, f)
	}
	for _, fs := range r.byName {
		for _, f := range fs {
			f.several = len(fs) > 1
		}
	}
	return r
}

// parseTypes reads "int4,text" and "int4[]".
func parseTypes(s string) []types.Type {
	if s == "" {
		return nil
	}
	var out []types.Type
	for _, n := range strings.Split(s, ",") {
		if k, ok := pseudoNames[n]; ok {
			out = append(out, types.T(k))
			continue
		}
		base, array := strings.CutSuffix(n, "[]")
		if base == "char" {
			base = `"char"`
		}
		t, err := types.ParseTypeName(base, nil, array)
		if err != nil {
			panic("expr: type " + n + " in the table of functions")
		}
		out = append(out, t)
	}
	return out
}
