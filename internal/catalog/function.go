package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// FunctionDef is a function written in SQL: an expression over its parameters, which
// stands in the place of every call.
type FunctionDef struct {
	Params  []FunctionParam
	Returns types.Type
	Body    string // an expression over the parameters' names and $1, $2 ...
	Strict  bool   // NULL if any argument is
}

// FunctionParam is a parameter of a function; its name may be empty.
type FunctionParam struct {
	Name string
	Type types.Type
}

// Signature is the function's name with the types of its parameters, by which it
// differs from others of its name.
func (r *Relation) Signature() string {
	ts := make([]string, len(r.Function.Params))
	for i, p := range r.Function.Params {
		ts[i] = p.Type.String()
	}
	return r.Name + "(" + strings.Join(ts, ",") + ")"
}

// Functions returns the functions of that name: those of the schema, or, with an empty
// one, those of path, without any that one earlier in path hides by having the same
// parameters.
func (c *Catalog) Functions(path []string, schema, fn string) []*Relation {
	if len(c.funcs) == 0 {
		return nil
	}
	if schema != "" {
		path = []string{schema}
	}
	var out []*Relation
	seen := map[string]bool{}
	for _, s := range path {
		var here []*Relation
		for key, id := range c.funcs {
			if r := c.rels[id]; key.schema == s && r.Name == fn && !seen[key.rel] {
				here = append(here, r)
			}
		}
		slices.SortFunc(here, func(a, b *Relation) int { return int(int64(a.ID) - int64(b.ID)) })
		for _, r := range here {
			seen[r.Signature()] = true
		}
		out = append(out, here...)
	}
	return out
}

// AllFunctions returns all functions in the order of their IDs.
func (c *Catalog) AllFunctions() []*Relation {
	var out []*Relation
	for _, id := range c.funcs {
		out = append(out, c.rels[id])
	}
	slices.SortFunc(out, func(a, b *Relation) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

func (c *Catalog) createFunction(cmd Command, r *Relation, eff *Effect) error {
	if err := c.checkDepends(r); err != nil {
		return err
	}
	key := name{r.Schema, r.Signature()}
	id, ok := c.funcs[key]
	if !ok {
		r.ID = c.nextID
		c.nextID++
		c.putFunction(key, r, eff)
		return nil
	}
	old := c.rels[id]
	if !cmd.OrReplace {
		return &types.Error{Code: "42723", Message: fmt.Sprintf("function %q already exists with same argument types", r.Name)}
	}
	if old.Function.Returns != r.Function.Returns {
		return &types.Error{Code: "42P13", Message: "cannot change return type of existing function",
			Hint: fmt.Sprintf("Use DROP FUNCTION %s first.", old.Signature())}
	}
	// What is kept up to date would go on computing the old expression.
	for _, d := range c.dependents(id) {
		return &types.Error{Code: types.CodeDependent, Message: fmt.Sprintf("cannot replace %s because other objects depend on it", old.Describe()),
			Detail: d.Describe() + " depends on " + old.Describe(), Hint: "Drop the dependent objects first."}
	}
	r.ID, r.Comment = old.ID, old.Comment
	c.putFunction(key, r, eff)
	return nil
}

func (c *Catalog) putFunction(key name, r *Relation, eff *Effect) {
	slices.Sort(r.DependsOn)
	r.DependsOn = slices.Compact(r.DependsOn)
	c.rels[r.ID], c.funcs[key] = r, r.ID
	eff.Created = append(eff.Created, r.ID)
}
