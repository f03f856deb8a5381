package catalog

import (
	"encoding/json"
	"fmt"
)

// imageVersion is the version of the bytes that Encode writes.
const imageVersion = 1

// image is a catalog as it is written down. System schemas and virtual relations are
// not part of it: the program that reads it brings its own.
type image struct {
	Format    int
	Version   uint64
	NextID    ID
	Schemas   []*Schema
	Relations []*Relation // functions among them, in the order of their IDs
	Roles     []*Role     `json:",omitempty"` // in the order of their IDs
}

// Encode returns the catalog's bytes, from which Decode makes an equal one.
func (c *Catalog) Encode() ([]byte, error) {
	im := image{Format: imageVersion, Version: c.version, NextID: c.nextID}
	im.Roles = c.Roles()
	for _, s := range c.Schemas() {
		if !s.System {
			im.Schemas = append(im.Schemas, s)
		}
	}
	for _, r := range append(c.Relations(), c.AllFunctions()...) {
		if r.Kind != Virtual {
			im.Relations = append(im.Relations, r)
		}
	}
	data, err := json.Marshal(im)
	if err != nil {
		return nil, fmt.Errorf("encode catalog: %w", err)
	}
	return data, nil
}

// Decode makes a catalog of what Encode gave. virtuals are as for New.
func Decode(data []byte, virtuals []Relation) (*Catalog, error) {
	var im image
	if err := json.Unmarshal(data, &im); err != nil {
		return nil, fmt.Errorf("decode catalog: %w", err)
	}
	if im.Format != imageVersion {
		return nil, fmt.Errorf("decode catalog: version %d, this program knows %d", im.Format, imageVersion)
	}
	c := New(virtuals)
	if im.NextID < FirstID {
		return nil, fmt.Errorf("decode catalog: the next object would be %d, below %d", im.NextID, FirstID)
	}
	c.version, c.nextID = im.Version, im.NextID
	for _, s := range im.Schemas {
		if s == nil || c.schemas[s.Name] != nil || s.ID < FirstID || s.ID >= c.nextID {
			return nil, fmt.Errorf("decode catalog: a schema that cannot be: %+v", s)
		}
		c.schemas[s.Name] = s
	}
	roles, err := decodeRoles(im.Roles, c.nextID)
	if err != nil {
		return nil, fmt.Errorf("decode catalog: %w", err)
	}
	c.roles = roles
	for _, r := range im.Relations {
		if err := c.put(r); err != nil {
			return nil, fmt.Errorf("decode catalog: %w", err)
		}
	}
	return c, nil
}

// put adds a relation as it was.
func (c *Catalog) put(r *Relation) error {
	if r == nil || r.ID < FirstID || r.ID >= c.nextID || c.rels[r.ID] != nil || c.schemas[r.Schema] == nil {
		return fmt.Errorf("a relation that cannot be: %+v", r)
	}
	names, key := c.names, name{r.Schema, r.Name}
	if r.Kind == Function {
		if r.Function == nil {
			return fmt.Errorf("function %s.%s has no body", r.Schema, r.Name)
		}
		names, key = c.funcs, name{r.Schema, r.Signature()}
	}
	if _, taken := names[key]; taken {
		return fmt.Errorf("two objects are named %s.%s", r.Schema, r.Name)
	}
	c.rels[r.ID], names[key] = r, r.ID
	return nil
}
