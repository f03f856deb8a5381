package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// dependents returns the relations that read id, in the order of their IDs.
func (c *Catalog) dependents(id ID) []*Relation {
	var out []*Relation
	for _, r := range c.rels {
		if slices.Contains(r.DependsOn, id) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *Relation) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

// Dependents returns the relations that read id directly, in the order of their IDs.
func (c *Catalog) Dependents(id ID) []*Relation { return c.dependents(id) }

// why is one line of a drop's detail: dep goes because of on.
type why struct {
	dep *Relation
	on  string
}

// dropSet is what a drop takes along.
type dropSet struct {
	cat   *Catalog
	named map[ID]bool // by the statement
	gone  map[ID]bool
	lines []why       // dependents neither named nor part of what is dropped
	order []*Relation // dependents first
}

// take adds r and, before it, everything that depends on it.
func (d *dropSet) take(r *Relation) {
	if d.gone[r.ID] {
		return
	}
	d.gone[r.ID] = true
	for _, dep := range d.cat.dependents(r.ID) {
		if !d.named[dep.ID] && dep.Kind != Index && !d.gone[dep.ID] {
			d.lines = append(d.lines, why{dep, r.Describe()})
		}
		d.take(dep)
	}
	d.order = append(d.order, r)
}

func (c *Catalog) dropRelations(cmd Command, eff *Effect) error {
	d := &dropSet{cat: c, named: map[ID]bool{}, gone: map[ID]bool{}}
	var found []*Relation
	for _, t := range cmd.Targets {
		r := c.rels[c.names[name{t.Schema, t.Name}]]
		if cmd.Drops == Function {
			r = c.rels[c.funcs[name{t.Schema, t.Name}]]
		}
		if r == nil {
			msg := fmt.Sprintf("%s %q does not exist", cmd.Drops, t.Name)
			code := types.CodeUndefinedTable
			if t.Schema != "" && c.schemas[t.Schema] == nil {
				msg, code = fmt.Sprintf("schema %q does not exist", t.Schema), "3F000"
			} else if cmd.Drops == Index {
				code = types.CodeUndefinedObject
			} else if cmd.Drops == Function {
				msg, code = fmt.Sprintf("function %s does not exist", t.Name), types.CodeUndefinedFunction
			}
			if !cmd.IfExists {
				return &types.Error{Code: code, Message: msg}
			}
			eff.Notices = append(eff.Notices, Notice{Code: "00000", Message: msg + ", skipping"})
			continue
		}
		if err := c.droppable(r, cmd.Drops); err != nil {
			return err
		}
		d.named[r.ID] = true
		found = append(found, r)
	}
	if len(found) == 0 {
		eff.Skipped = true
		return nil
	}
	for _, r := range found {
		d.take(r)
	}
	what := "cannot drop desired object(s) because other objects depend on them"
	if len(found) == 1 {
		what = fmt.Sprintf("cannot drop %s because other objects depend on it", found[0].Describe())
	}
	return c.finishDrop(d, cmd, what, eff)
}

// droppable refuses targets of another kind and what belongs to something else.
func (c *Catalog) droppable(r *Relation, want Kind) error {
	switch {
	case r.Kind == Virtual:
		return &types.Error{Code: "42501", Message: fmt.Sprintf("permission denied: %q is a system catalog", r.Name)}
	case r.Kind != want:
		return &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%q is not %s", r.Name, article(want)),
			Hint: fmt.Sprintf("Use DROP %s to remove %s.", strings.ToUpper(r.Kind.String()), article(r.Kind))}
	case r.Index != nil && r.Index.Primary:
		t := c.rels[r.Index.On]
		on := fmt.Sprintf("constraint %s on table %s", r.Name, t.display())
		return &types.Error{Code: types.CodeDependent, Message: fmt.Sprintf("cannot drop index %s because %s requires it", r.display(), on),
			Hint: fmt.Sprintf("You can drop %s instead.", on)}
	}
	return nil
}

func article(k Kind) string {
	if k == Index {
		return "an index"
	}
	return "a " + k.String()
}

// finishDrop refuses or announces the dependents and removes everything.
func (c *Catalog) finishDrop(d *dropSet, cmd Command, what string, eff *Effect) error {
	if len(d.lines) > 0 && !cmd.Cascade {
		lines := make([]string, len(d.lines))
		for i, l := range d.lines {
			lines[i] = l.dep.Describe() + " depends on " + l.on
		}
		return &types.Error{Code: types.CodeDependent, Message: what, Detail: strings.Join(lines, "\n"),
			Hint: "Use DROP ... CASCADE to drop the dependent objects too."}
	}
	if len(d.lines) == 1 {
		eff.Notices = append(eff.Notices, Notice{Code: "00000", Message: "drop cascades to " + d.lines[0].dep.Describe()})
	} else if len(d.lines) > 1 {
		lines := make([]string, len(d.lines))
		for i, l := range d.lines {
			lines[i] = "drop cascades to " + l.dep.Describe()
		}
		eff.Notices = append(eff.Notices, Notice{Code: "00000",
			Message: fmt.Sprintf("drop cascades to %d other objects", len(lines)), Detail: strings.Join(lines, "\n")})
	}
	for _, r := range d.order {
		delete(c.rels, r.ID)
		if r.Kind == Function {
			delete(c.funcs, name{r.Schema, r.Signature()})
			continue
		}
		delete(c.names, name{r.Schema, r.Name})
	}
	eff.Dropped = append(eff.Dropped, d.order...)
	return nil
}

func (c *Catalog) dropSchemas(cmd Command, eff *Effect) error {
	d := &dropSet{cat: c, named: map[ID]bool{}, gone: map[ID]bool{}}
	var names []string
	for _, t := range cmd.Targets {
		s := c.schemas[t.Name]
		if s == nil {
			msg := fmt.Sprintf("schema %q does not exist", t.Name)
			if !cmd.IfExists {
				return &types.Error{Code: "3F000", Message: msg}
			}
			eff.Notices = append(eff.Notices, Notice{Code: "00000", Message: msg + ", skipping"})
			continue
		}
		if s.System {
			return &types.Error{Code: types.CodeDependent,
				Message: fmt.Sprintf("cannot drop schema %s because it is required by the database system", s.Name)}
		}
		names = append(names, s.Name)
		for _, r := range append(c.Relations(), c.AllFunctions()...) {
			if r.Schema != s.Name {
				continue
			}
			if r.Kind != Index && !d.gone[r.ID] {
				d.lines = append(d.lines, why{r, "schema " + s.Name})
			}
			d.take(r)
		}
	}
	if len(names) == 0 {
		eff.Skipped = true
		return nil
	}
	what := "cannot drop desired object(s) because other objects depend on them"
	if len(names) == 1 {
		what = fmt.Sprintf("cannot drop schema %s because other objects depend on it", names[0])
	}
	if err := c.finishDrop(d, cmd, what, eff); err != nil {
		return err
	}
	for _, s := range names {
		delete(c.schemas, s)
	}
	return nil
}
