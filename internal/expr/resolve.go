package expr

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/types"
)

// The hints of errors about overloads, in PostgreSQL's words.
const (
	hintNoFunction   = "No function matches the given name and argument types. You might need to add explicit type casts."
	hintNoOperator   = "No operator matches the given name and argument types. You might need to add explicit type casts."
	hintManyFunction = "Could not choose a best candidate function. You might need to add explicit type casts."
	hintManyOperator = "Could not choose a best candidate operator. You might need to add explicit type casts."
)

// MaxArgs is the most arguments of a call.
const MaxArgs = 100

// Resolve picks the overload of name for argument types args (Unknown for
// untyped literals and parameters) and returns it with the types the
// arguments must be cast to and the type of the result. Operators go by their
// symbol, unary ones with one argument. The errors are 42883 and 42725.
//
// Source: PostgreSQL's manual, chapter 10; func_select_candidate in parse_func.c.
func Resolve(name string, args []types.Type) (fn *Func, cast []types.Type, ret types.Type, err error) {
	if len(args) > MaxArgs {
		return nil, nil, ret, &types.Error{Code: "54023", Message: fmt.Sprintf("cannot pass more than %d arguments to a function", MaxArgs)}
	}
	var cands []candidate
	for _, f := range builtins.byName[name] {
		if c, ok := expand(f.Args, f.Variadic, args); ok {
			cands = append(cands, candidate{c, f})
		}
	}
	best, err := choose(name, cands, args)
	if err != nil {
		return nil, nil, ret, err
	}
	fn = best.what.(*Func)
	cast, ret = instantiate(best.args, fn.Ret, args)
	return fn, cast, ret, nil
}

// ResolveAgg is Resolve for aggregates. count(*) has no argument.
// "single_value", which SQL does not have, is the only value of a group.
func ResolveAgg(name string, args []types.Type) (fn *AggFunc, cast []types.Type, ret types.Type, err error) {
	var cands []candidate
	for _, f := range builtins.aggs[name] {
		if c, ok := expand(f.Args, false, args); ok {
			cands = append(cands, candidate{c, f})
		}
	}
	best, err := choose(name, cands, args)
	if err != nil {
		return nil, nil, ret, err
	}
	fn = best.what.(*AggFunc)
	cast, ret = instantiate(best.args, fn.Ret, args)
	return fn, cast, ret, nil
}

// ResolveSet is Resolve for set-returning functions (generate_series, unnest).
func ResolveSet(name string, args []types.Type) (fn *SetFunc, cast []types.Type, ret types.Type, err error) {
	var cands []candidate
	for _, f := range builtins.sets[name] {
		if c, ok := expand(f.Args, false, args); ok {
			cands = append(cands, candidate{c, f})
		}
	}
	best, err := choose(name, cands, args)
	if err != nil {
		return nil, nil, ret, err
	}
	fn = best.what.(*SetFunc)
	cast, ret = instantiate(best.args, fn.Ret, args)
	return fn, cast, ret, nil
}

// candidate is an overload with as many argument types as the call has.
type candidate struct {
	args []types.Type
	what any
}

// expand gives the argument types for a call with len(args) arguments.
func expand(formal []types.Type, variadic bool, args []types.Type) ([]types.Type, bool) {
	if !variadic {
		return formal, len(formal) == len(args)
	}
	if len(args) < len(formal) {
		return nil, false
	}
	out := make([]types.Type, len(args))
	for i := range out {
		out[i] = formal[min(i, len(formal)-1)]
	}
	return out, true
}

func choose(name string, cands []candidate, args []types.Type) (candidate, error) {
	if c, ok := exactMatch(cands, args); ok {
		return c, nil
	}
	usable := cands[:0:0]
	for _, c := range cands {
		if coercible(c.args, args) {
			usable = append(usable, c)
		}
	}
	if len(usable) == 0 {
		return candidate{}, noMatch(name, args, false)
	}
	if len(usable) > 1 {
		usable = narrow(usable, args)
	}
	if len(usable) != 1 {
		return candidate{}, noMatch(name, args, true)
	}
	return usable[0], nil
}

func noMatch(name string, args []types.Type, many bool) error {
	e := &types.Error{Code: types.CodeUndefinedFunction}
	if many {
		e.Code = types.CodeAmbiguousFunction
	}
	if isOperator(name) {
		what := name
		switch len(args) {
		case 1:
			what = name + " " + typeName(args[0])
		case 2:
			what = typeName(args[0]) + " " + name + " " + typeName(args[1])
		}
		e.Message, e.Hint = "operator does not exist: "+what, hintNoOperator
		if many {
			e.Message, e.Hint = "operator is not unique: "+what, hintManyOperator
		}
		return e
	}
	what := name + "(" + typeList(args) + ")"
	e.Message, e.Hint = "function "+what+" does not exist", hintNoFunction
	if many {
		e.Message, e.Hint = "function "+what+" is not unique", hintManyFunction
	}
	return e
}

// sameType ignores modifiers.
func sameType(a, b types.Type) bool { return a.Kind == b.Kind && a.Elem == b.Elem }

// exactMatch finds the candidate whose types are the arguments' own. With one
// typed and one untyped argument of an operator, both are assumed alike.
func exactMatch(cands []candidate, args []types.Type) (candidate, bool) {
	want := args
	if len(args) == 2 && (args[0].Kind == types.Unknown) != (args[1].Kind == types.Unknown) {
		if len(cands) > 0 {
			if f, ok := cands[0].what.(*Func); ok && isOperator(f.Name) {
				t := args[0]
				if t.Kind == types.Unknown {
					t = args[1]
				}
				want = []types.Type{t, t}
			}
		}
	}
	for _, c := range cands {
		ok := true
		for i := range want {
			ok = ok && sameType(c.args[i], want[i]) && want[i].Kind != types.Unknown
		}
		if ok {
			return c, true
		}
	}
	return candidate{}, false
}

// coercible reports whether implicit casts take args to formal.
func coercible(formal, args []types.Type) bool {
	var elem types.Type // what anyelement stands for
	bind := func(t types.Type) bool {
		if t.Kind == types.Unknown {
			return true
		}
		if elem.Kind == types.Unknown {
			elem = t.WithoutMod()
			return true
		}
		return sameType(elem, t)
	}
	for i, f := range formal {
		a := args[i]
		switch f.Kind {
		case kindAny:
		case kindNonArray:
			if a.Kind == types.Array || !bind(a) {
				return false
			}
		case kindAnyElem:
			if !bind(a) {
				return false
			}
		case kindAnyArray:
			if a.Kind == types.Unknown {
				continue
			}
			if a.Kind != types.Array || !bind(a.ElemType()) {
				return false
			}
		default:
			if !types.CanCastType(a, f, types.CastImplicit) {
				return false
			}
			if (f.Kind == types.Array) != (a.Kind == types.Array) && a.Kind != types.Unknown {
				return false
			}
		}
	}
	return true
}

// keep narrows cands to those with the highest score, if that is above zero or
// leaves some out.
func keep(cands []candidate, score func(candidate) int) []candidate {
	best, out := -1, cands[:0:0]
	for _, c := range cands {
		s := score(c)
		if s > best {
			best, out = s, out[:0:0]
		}
		if s == best {
			out = append(out, c)
		}
	}
	return out
}

// narrow applies PostgreSQL's rules in turn until one candidate is left.
func narrow(cands []candidate, args []types.Type) []candidate {
	cands = keep(cands, func(c candidate) int { // most exact matches
		n := 0
		for i, a := range args {
			if a.Kind != types.Unknown && sameType(c.args[i], a) {
				n++
			}
		}
		return n
	})
	if len(cands) == 1 {
		return cands
	}
	cands = keep(cands, func(c candidate) int { // most preferred types where a cast is needed
		n := 0
		for i, a := range args {
			if a.Kind == types.Unknown {
				continue
			}
			f := c.args[i]
			if sameType(f, a) || !isPseudo(f.Kind) && types.Category(f.Kind) == types.Category(a.Kind) && types.IsPreferred(f.Kind) {
				n++
			}
		}
		return n
	})
	if len(cands) == 1 {
		return cands
	}
	unknowns := 0
	for _, a := range args {
		if a.Kind == types.Unknown {
			unknowns++
		}
	}
	if unknowns == 0 {
		return cands
	}
	cands = byCategory(cands, args)
	if len(cands) == 1 || unknowns == len(args) {
		return cands
	}
	return likeKnown(cands, args)
}

// byCategory lets untyped arguments be strings if any candidate takes one there,
// else of the one category that all candidates agree on.
func byCategory(cands []candidate, args []types.Type) []candidate {
	cats := make([]byte, len(args))
	preferred := make([]bool, len(args))
	for i, a := range args {
		if a.Kind != types.Unknown {
			continue
		}
		agree, str := true, false
		for _, c := range cands {
			cat := category(c.args[i].Kind)
			if cat == 'S' {
				str = true
			}
			if cats[i] == 0 {
				cats[i] = cat
			}
			agree = agree && cat == cats[i]
		}
		if str {
			cats[i] = 'S'
		} else if !agree {
			return cands
		}
		for _, c := range cands {
			if k := c.args[i].Kind; category(k) == cats[i] && !isPseudo(k) && types.IsPreferred(k) {
				preferred[i] = true
			}
		}
	}
	var out []candidate
	for _, c := range cands {
		ok := true
		for i := range args {
			if cats[i] == 0 {
				continue
			}
			k := c.args[i].Kind
			if category(k) != cats[i] || preferred[i] && (isPseudo(k) || !types.IsPreferred(k)) {
				ok = false
			}
		}
		if ok {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return cands
	}
	return out
}

func category(k types.Kind) byte {
	if isPseudo(k) {
		return 'P'
	}
	return types.Category(k)
}

// likeKnown assumes that untyped arguments have the type of the typed ones, if
// those are all alike.
func likeKnown(cands []candidate, args []types.Type) []candidate {
	var known types.Type
	for _, a := range args {
		if a.Kind == types.Unknown {
			continue
		}
		if known.Kind != types.Unknown && !sameType(known, a) {
			return cands
		}
		known = a
	}
	all := make([]types.Type, len(args))
	for i := range all {
		all[i] = known
	}
	var out []candidate
	for _, c := range cands {
		if coercible(c.args, all) {
			out = append(out, c)
		}
	}
	if len(out) != 1 {
		return cands
	}
	return out
}

// instantiate replaces pseudo-types by what they stand for in this call. Untyped
// arguments of them are text.
func instantiate(formal []types.Type, ret types.Type, args []types.Type) ([]types.Type, types.Type) {
	elem := types.T(types.Text)
	for i, f := range formal {
		if a := args[i]; a.Kind != types.Unknown {
			if f.Kind == kindAnyElem || f.Kind == kindNonArray {
				elem = a.WithoutMod()
				break
			}
			if f.Kind == kindAnyArray {
				elem = a.ElemType().WithoutMod()
				break
			}
		}
	}
	if elem.Kind == types.Varchar && ret.Kind == kindAnyArray {
		elem = types.T(types.Text)
	}
	cast := make([]types.Type, len(formal))
	for i, f := range formal {
		switch f.Kind {
		case kindAny:
			cast[i] = args[i].WithoutMod()
			if cast[i].Kind == types.Unknown {
				cast[i] = types.T(types.Text)
			}
		default:
			cast[i] = stands(f, elem)
		}
	}
	return cast, stands(ret, elem)
}

func stands(t, elem types.Type) types.Type {
	switch t.Kind {
	case kindAnyElem, kindNonArray:
		return elem
	case kindAnyArray:
		return types.ArrayOf(elem)
	}
	return t
}

// UnifyTypes gives the common type of CASE arms, UNION columns, VALUES, COALESCE;
// what names the construct for the error, 42804. Untyped literals alone are text.
//
// Source: select_common_type in PostgreSQL's parse_coerce.c.
func UnifyTypes(what string, ts []types.Type) (types.Type, error) {
	var t types.Type
	mod := true // all have the same modifier
	for _, u := range ts {
		switch {
		case u.Kind == types.Unknown:
		case t.Kind == types.Unknown:
			t = u
		case sameType(t, u):
			mod = mod && t.Mod == u.Mod
		case types.Category(t.Kind) != types.Category(u.Kind) || t.Kind == types.Array:
			return types.Type{}, &types.Error{Code: types.CodeDatatypeMismatch,
				Message: fmt.Sprintf("%s types %s and %s cannot be matched", what, typeName(t), typeName(u))}
		case !types.IsPreferred(t.Kind) && types.CanCastType(t, u, types.CastImplicit) && !types.CanCastType(u, t, types.CastImplicit):
			t, mod = u, false
		default:
			mod = false
		}
	}
	if t.Kind == types.Unknown {
		return types.T(types.Text), nil
	}
	if !mod {
		t = t.WithoutMod()
	}
	return t, nil
}
