// Package catalog is what a pipeline's objects are: schemas, tables, sources,
// views, sinks and indexes, and how they depend on each other. A Catalog never
// changes: With applies a command and returns the next one, so that readers may
// hold any version as long as they like.
package catalog

import (
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/types"
)

// ID identifies an object for good: it is never used again. It is what
// PostgreSQL calls an oid.
type ID uint32

// FirstID is the first ID given to an object that a command creates; lower ones
// belong to the system, as in PostgreSQL.
const FirstID ID = 16384

// IDs of the schemas that always exist.
const (
	CatalogSchemaID     ID = 11
	PublicSchemaID      ID = 2200
	InformationSchemaID ID = 13000
	TidemillSchemaID    ID = 13100
)

// Names of the schemas that always exist.
const (
	CatalogSchema     = "pg_catalog"
	PublicSchema      = "public"
	InformationSchema = "information_schema"
	TidemillSchema    = "tidemill"
)

// Schema is a namespace of relations.
type Schema struct {
	ID     ID
	Name   string
	System bool // made by the system: it cannot be dropped, nor written to unless it is public
}

// name is a relation's full name.
type name struct{ schema, rel string }

// Catalog is one version of all objects. It is immutable and safe for any number
// of readers; do not change what it returns.
type Catalog struct {
	version uint64
	nextID  ID
	schemas map[string]*Schema
	rels    map[ID]*Relation
	names   map[name]ID
	funcs   map[name]ID      // by signature
	roles   map[string]*Role // by name; never changed, but replaced
}

// New returns the catalog without user objects. virtuals are the system
// relations that the host of the catalog serves: each has Kind Virtual, a schema
// that exists and an ID below FirstID; one given as 0 is numbered from the top
// of that range downwards, in the order of the list.
func New(virtuals []Relation) *Catalog {
	c := &Catalog{
		nextID:  FirstID,
		schemas: map[string]*Schema{},
		rels:    map[ID]*Relation{},
		names:   map[name]ID{},
		funcs:   map[name]ID{},
		roles:   newRoles(),
	}
	for _, s := range []Schema{
		{CatalogSchemaID, CatalogSchema, true},
		{PublicSchemaID, PublicSchema, true},
		{InformationSchemaID, InformationSchema, true},
		{TidemillSchemaID, TidemillSchema, true},
	} {
		c.schemas[s.Name] = &s
	}
	free := FirstID
	for _, v := range virtuals {
		r := v.clone()
		if r.ID == 0 {
			for free--; c.rels[free] != nil; free-- {
			}
			r.ID = free
		}
		r.Kind = Virtual
		if c.schemas[r.Schema] == nil || r.ID >= FirstID || c.rels[r.ID] != nil {
			panic("catalog: bad virtual relation " + r.Schema + "." + r.Name)
		}
		c.rels[r.ID] = r
		c.names[name{r.Schema, r.Name}] = r.ID
	}
	return c
}

// Version counts the commands applied that changed something.
func (c *Catalog) Version() uint64 { return c.version }

// NextID is the ID that the next object created will get.
func (c *Catalog) NextID() ID { return c.nextID }

// clone returns a copy to be changed; the relations themselves stay shared.
func (c *Catalog) clone() *Catalog {
	n := *c
	n.schemas = maps.Clone(c.schemas)
	n.rels = maps.Clone(c.rels)
	n.names = maps.Clone(c.names)
	n.funcs = maps.Clone(c.funcs)
	return &n
}

// Schema returns the schema of that name, or nil.
func (c *Catalog) Schema(name string) *Schema { return c.schemas[name] }

// Schemas returns all schemas in the order of their IDs.
func (c *Catalog) Schemas() []*Schema {
	out := slices.Collect(maps.Values(c.schemas))
	slices.SortFunc(out, func(a, b *Schema) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

// ByID returns the relation, or nil.
func (c *Catalog) ByID(id ID) *Relation { return c.rels[id] }

// Relations returns all relations, virtual ones included and functions not, in the
// order of their IDs.
func (c *Catalog) Relations() []*Relation {
	out := slices.DeleteFunc(slices.Collect(maps.Values(c.rels)), func(r *Relation) bool { return r.Kind == Function })
	slices.SortFunc(out, func(a, b *Relation) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

// Lookup finds a relation by name. With an empty schema it looks through path,
// with pg_catalog first unless path names it, as PostgreSQL does; it returns nil
// if there is none.
func (c *Catalog) Lookup(path []string, schema, rel string) *Relation {
	if schema != "" {
		return c.rels[c.names[name{schema, rel}]]
	}
	for _, s := range EffectivePath(path) {
		if id, ok := c.names[name{s, rel}]; ok {
			return c.rels[id]
		}
	}
	return nil
}

// Resolve is Lookup with PostgreSQL's error for a relation that does not exist.
func (c *Catalog) Resolve(path []string, schema, rel string) (*Relation, error) {
	if r := c.Lookup(path, schema, rel); r != nil {
		return r, nil
	}
	return nil, &types.Error{Code: types.CodeUndefinedTable, Message: "relation \"" + dotted(schema, rel) + "\" does not exist"}
}

// Visible reports whether an unqualified name finds r under path.
func (c *Catalog) Visible(path []string, r *Relation) bool {
	return c.Lookup(path, "", r.Name) == r
}

// EffectivePath is the list of schemas that unqualified names are looked up in.
func EffectivePath(path []string) []string {
	if slices.Contains(path, CatalogSchema) {
		return path
	}
	return append([]string{CatalogSchema}, path...)
}

// CreationSchema is the schema in which an unqualified new object is made: the
// first of path that exists.
func (c *Catalog) CreationSchema(path []string) (string, error) {
	for _, s := range path {
		if c.schemas[s] != nil {
			return s, nil
		}
	}
	return "", &types.Error{Code: "3F000", Message: "no schema has been selected to create in"}
}

func dotted(schema, rel string) string {
	if schema == "" {
		return rel
	}
	return schema + "." + rel
}
