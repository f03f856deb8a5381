package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/types"
)

// setOptions replaces the options of a relation. Which ones may change is for whoever
// makes the command to say.
func (c *Catalog) setOptions(cmd Command) error {
	if len(cmd.Targets) != 1 {
		return &types.Error{Code: types.CodeInternal, Message: "a command to set options without a target"}
	}
	t := cmd.Targets[0]
	old := c.rels[c.names[name{t.Schema, t.Name}]]
	if old == nil {
		return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %q does not exist", dotted(t.Schema, t.Name))}
	}
	r := old.WithOptions(cmd.Options, cmd.Reset)
	c.rels[r.ID] = r
	return nil
}

// WithOptions returns a copy of r with some options set and others gone.
func (r *Relation) WithOptions(set []Option, reset []string) *Relation {
	n := r.clone()
	n.Options = slices.DeleteFunc(n.Options, func(o Option) bool {
		return slices.Contains(reset, o.Name) || slices.ContainsFunc(set, func(s Option) bool { return s.Name == o.Name })
	})
	n.Options = append(n.Options, set...)
	slices.SortFunc(n.Options, func(a, b Option) int { return strings.Compare(a.Name, b.Name) })
	return n
}
