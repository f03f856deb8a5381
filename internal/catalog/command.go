package catalog

import (
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/types"
)

// CommandKind says which command a Command is. The numbers are stored: new
// kinds go at the end.
type CommandKind uint8

// The commands.
const (
	CreateRelation CommandKind = iota // Relation; its Kind says what is made
	CreateSchema                      // Schema
	DropRelations                     // Targets, all of Kind
	DropSchemas                       // Targets, by Name
	SetComment                        // Targets[0], Column, Comment
	SetOptions                        // Targets[0], Options, Reset
	CreateRole                        // Role
	AlterRole                         // Role
	DropRoles                         // Targets, by Name
)

// Command is a change of the catalog as plain data. It is stored in the log and
// applied by every replica, so it holds nothing but what was decided: IDs are
// given when it is applied, in the log's order.
type Command struct {
	Kind CommandKind
	SQL  string // the statement as written
	// IfNotExists makes creating what exists, and IfExists dropping what does not, a notice.
	IfNotExists bool `json:",omitempty"`
	IfExists    bool `json:",omitempty"`
	OrReplace   bool `json:",omitempty"` // of a view
	Cascade     bool `json:",omitempty"` // of a drop; else RESTRICT

	Relation *Relation   `json:",omitempty"`
	Schema   string      `json:",omitempty"`
	Targets  []Target    `json:",omitempty"`
	Drops    Kind        `json:",omitempty"` // of DropRelations: what the targets must be
	Column   string      `json:",omitempty"`
	Comment  string      `json:",omitempty"`
	Options  []Option    `json:",omitempty"` // to be set
	Reset    []string    `json:",omitempty"` // options that go
	Role     *RoleChange `json:",omitempty"`
	// First, unless 0, is the ID of the first object that is created; it may be one that was
	// set aside, which is less than the next.
	First ID `json:",omitempty"`
}

// Target names an object of a drop or comment. Schema is never empty for an
// object that was found; if none was, it is as written.
type Target struct {
	Schema string `json:",omitempty"`
	Name   string
}

// Notice is a message beside success, as PostgreSQL's NOTICE.
type Notice struct {
	Code    string
	Message string
	Detail  string `json:",omitempty"`
}

// Effect is what applying a command did, for those who carry it out.
type Effect struct {
	Created []ID        // in the order made; the first is the object itself
	Dropped []*Relation // dependents before what they depend on
	Notices []Notice
	// Skipped says that nothing changed because of IF [NOT] EXISTS.
	Skipped bool
}

// With applies cmd and returns the next catalog; c stays as it is. Errors are
// *types.Error with PostgreSQL's codes and words, and leave nothing changed.
func (c *Catalog) With(cmd Command) (*Catalog, Effect, error) {
	n := c.clone()
	var eff Effect
	var err error
	if cmd.First != 0 {
		if n.rels[cmd.First] != nil {
			return nil, Effect{}, &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("relation %d is there already", cmd.First)}
		}
		n.nextID = cmd.First
	}
	switch cmd.Kind {
	case CreateRelation:
		err = n.create(cmd, &eff)
	case CreateSchema:
		err = n.createSchema(cmd, &eff)
	case DropRelations:
		err = n.dropRelations(cmd, &eff)
	case DropSchemas:
		err = n.dropSchemas(cmd, &eff)
	case SetComment:
		err = n.comment(cmd)
	case SetOptions:
		err = n.setOptions(cmd)
	case CreateRole:
		err = n.createRole(cmd)
	case AlterRole:
		err = n.alterRole(cmd)
	case DropRoles:
		err = n.dropRoles(cmd, &eff)
	default:
		err = &types.Error{Code: types.CodeInternal, Message: fmt.Sprintf("unknown catalog command %d", cmd.Kind)}
	}
	if err != nil {
		return nil, Effect{}, err
	}
	if eff.Skipped {
		return c, eff, nil
	}
	n.nextID = max(n.nextID, c.nextID)
	n.version++
	return n, eff, nil
}

func (c *Catalog) createSchema(cmd Command, eff *Effect) error {
	if c.schemas[cmd.Schema] != nil {
		msg := fmt.Sprintf("schema %q already exists", cmd.Schema)
		if cmd.IfNotExists {
			eff.skip("42P06", msg+", skipping")
			return nil
		}
		return &types.Error{Code: "42P06", Message: msg}
	}
	if len(cmd.Schema) >= 3 && cmd.Schema[:3] == "pg_" {
		return &types.Error{Code: "42939", Message: fmt.Sprintf("unacceptable schema name %q", cmd.Schema),
			Detail: "The prefix \"pg_\" is reserved for system schemas."}
	}
	c.schemas[cmd.Schema] = &Schema{ID: c.nextID, Name: cmd.Schema}
	eff.Created = append(eff.Created, c.nextID)
	c.nextID++
	return nil
}

func (c *Catalog) create(cmd Command, eff *Effect) error {
	if cmd.Relation == nil {
		return &types.Error{Code: types.CodeInternal, Message: "create command without a relation"}
	}
	r := cmd.Relation.clone()
	s := c.schemas[r.Schema]
	if s == nil {
		return &types.Error{Code: "3F000", Message: fmt.Sprintf("schema %q does not exist", r.Schema)}
	}
	if s.System && s.Name != PublicSchema {
		return &types.Error{Code: "42501", Message: fmt.Sprintf("permission denied for schema %s", s.Name),
			Detail: "System schemas cannot be changed."}
	}
	if r.Kind == Function {
		return c.createFunction(cmd, r, eff)
	}
	if old := c.rels[c.names[name{r.Schema, r.Name}]]; old != nil {
		msg := fmt.Sprintf("relation %q already exists", r.Name)
		switch {
		case cmd.IfNotExists:
			eff.skip(types.CodeDuplicateTable, msg+", skipping")
			return nil
		case cmd.OrReplace && r.Kind == View:
			return c.replaceView(old, r, eff)
		}
		return &types.Error{Code: types.CodeDuplicateTable, Message: msg}
	}
	if err := c.checkDepends(r); err != nil {
		return err
	}
	c.add(r, eff)
	if r.PrimaryKey != nil {
		return c.addPrimaryIndex(r, eff)
	}
	return nil
}

// checkDepends refuses a relation whose inputs were dropped after it was planned.
func (c *Catalog) checkDepends(r *Relation) error {
	for _, id := range r.DependsOn {
		if c.rels[id] == nil {
			return &types.Error{Code: types.CodeUndefinedTable,
				Message: fmt.Sprintf("%s depends on relation %d, which does not exist any more", r.Describe(), id)}
		}
	}
	return nil
}

func (c *Catalog) add(r *Relation, eff *Effect) {
	r.ID = c.nextID
	c.nextID++
	slices.Sort(r.DependsOn)
	r.DependsOn = slices.Compact(r.DependsOn)
	c.rels[r.ID] = r
	c.names[name{r.Schema, r.Name}] = r.ID
	eff.Created = append(eff.Created, r.ID)
}

func (c *Catalog) addPrimaryIndex(r *Relation, eff *Effect) error {
	x := &Relation{Schema: r.Schema, Name: r.PrimaryKeyName, Kind: Index, DependsOn: []ID{r.ID},
		Index: &IndexDef{On: r.ID, Keys: slices.Clone(r.PrimaryKey), Desc: make([]bool, len(r.PrimaryKey)), Unique: true, Primary: true}}
	for _, k := range r.PrimaryKey {
		x.Columns = append(x.Columns, Column{Name: r.Columns[k].Name, Type: r.Columns[k].Type, NotNull: true})
	}
	if _, taken := c.names[name{x.Schema, x.Name}]; taken {
		return &types.Error{Code: types.CodeDuplicateTable, Message: fmt.Sprintf("relation %q already exists", x.Name)}
	}
	c.add(x, eff)
	return nil
}

// replaceView swaps a view's query. As in PostgreSQL it may only add columns;
// beyond PostgreSQL, nothing kept up to date may stand on it, since that would
// go on computing the old query.
func (c *Catalog) replaceView(old, r *Relation, eff *Effect) error {
	if old.Kind != View {
		return &types.Error{Code: types.CodeWrongObject, Message: fmt.Sprintf("%q is not a view", old.Name)}
	}
	if len(r.Columns) < len(old.Columns) {
		return &types.Error{Code: "42P16", Message: "cannot drop columns from view"}
	}
	for i, o := range old.Columns {
		switch n := r.Columns[i]; {
		case n.Name != o.Name:
			return &types.Error{Code: "42P16", Message: fmt.Sprintf("cannot change name of view column %q to %q", o.Name, n.Name)}
		case n.Type != o.Type:
			return &types.Error{Code: "42P16", Message: fmt.Sprintf("cannot change data type of view column %q", o.Name)}
		}
	}
	if err := c.checkDepends(r); err != nil {
		return err
	}
	for _, d := range c.dependents(old.ID) {
		return &types.Error{Code: types.CodeDependent, Message: fmt.Sprintf("cannot replace view %s because other objects depend on it", old.display()),
			Detail: d.Describe() + " depends on view " + old.display(), Hint: "Drop the dependent objects first."}
	}
	r.ID, r.Comment = old.ID, old.Comment
	slices.Sort(r.DependsOn)
	r.DependsOn = slices.Compact(r.DependsOn)
	c.rels[r.ID] = r
	eff.Created = append(eff.Created, r.ID)
	return nil
}

func (c *Catalog) comment(cmd Command) error {
	if len(cmd.Targets) != 1 {
		return &types.Error{Code: types.CodeInternal, Message: "comment command without a target"}
	}
	t := cmd.Targets[0]
	old := c.rels[c.names[name{t.Schema, t.Name}]]
	if old == nil {
		return &types.Error{Code: types.CodeUndefinedTable, Message: fmt.Sprintf("relation %q does not exist", dotted(t.Schema, t.Name))}
	}
	r := old.clone()
	if cmd.Column == "" {
		r.Comment = cmd.Comment
	} else {
		i := r.Column(cmd.Column)
		if i < 0 {
			return &types.Error{Code: types.CodeUndefinedColumn,
				Message: fmt.Sprintf("column %q of relation %q does not exist", cmd.Column, r.Name)}
		}
		r.Columns[i].Comment = cmd.Comment
	}
	c.rels[r.ID] = r
	return nil
}

func (e *Effect) skip(code, msg string) {
	e.Skipped = true
	e.Notices = append(e.Notices, Notice{Code: code, Message: msg})
}
