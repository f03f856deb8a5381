package catalog

import (
	"slices"
	"strconv"

	"github.com/tidemill/tidemill/internal/types"
)

// Kind says what a relation is. The numbers are stored: new kinds go at the end.
type Kind uint8

// The kinds of relations.
const (
	Table            Kind = iota // keyed and editable
	Source                       // append-only stream
	View                         // a query, expanded where it is used
	MaterializedView             // a query, kept up to date
	Sink                         // a query's changes, sent elsewhere
	Index                        // an order or key on a table or view
	Virtual                      // served by the system: catalogs
	Function                     // an expression with a name and parameters
)

var kindNames = [...]string{"table", "source", "view", "materialized view", "sink", "index", "table", "function"}

// String is the kind as messages name it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "relation kind " + strconv.Itoa(int(k))
}

// Column is an attribute of a relation.
type Column struct {
	Name      string
	Type      types.Type
	NotNull   bool
	Default   string `json:",omitempty"` // SQL text of the default; empty if none
	Generated string `json:",omitempty"` // SQL text of GENERATED ALWAYS AS; empty if none
	ProcTime  bool   `json:",omitempty"` // Generated is PROCTIME(): the time at which the row came
	Comment   string `json:",omitempty"`
}

// Check is a CHECK constraint over a relation's own columns.
type Check struct {
	Name string
	SQL  string // the expression's text
}

// Option is one WITH or FORMAT option; lists of them are sorted by name.
type Option struct{ Name, Value string }

// Format is FORMAT x ENCODE y of a source or sink.
type Format struct {
	Format  string
	Encode  string
	Options []Option `json:",omitempty"`
}

// Watermark is WATERMARK FOR column AS expression.
type Watermark struct {
	Column int // index of the time column
	SQL    string
}

// IndexDef is what an Index relation indexes. Its columns are in Relation.Columns.
type IndexDef struct {
	On      ID    // the table or view
	Keys    []int // columns of On; -1 for an expression
	Desc    []bool
	Exprs   []string `json:",omitempty"` // texts of the expressions, one for each -1
	Unique  bool
	Primary bool // made for a primary key: it lives and dies with it
}

// Relation is anything with columns that a name finds.
type Relation struct {
	ID      ID
	Schema  string
	Name    string
	Kind    Kind
	Columns []Column
	// PrimaryKey lists the key's columns; nil if there is none, and then a row is
	// identified by all of its values.
	PrimaryKey     []int  `json:",omitempty"`
	PrimaryKeyName string `json:",omitempty"`
	Checks         []Check
	AppendOnly     bool       `json:",omitempty"` // rows are never withdrawn
	Watermark      *Watermark `json:",omitempty"`
	Options        []Option   `json:",omitempty"` // WITH (...), sorted by name
	Format         *Format    `json:",omitempty"`
	Index          *IndexDef  `json:",omitempty"`
	// Function is what a function computes. It has no columns, and a namespace of its own.
	Function *FunctionDef `json:",omitempty"`
	// SQL is the statement that made it, as written. Query is the text of the
	// query of a view or sink, and SearchPath how its names were looked up.
	SQL        string   `json:",omitempty"`
	Query      string   `json:",omitempty"`
	SearchPath []string `json:",omitempty"`
	From       ID       `json:",omitempty"` // of a sink FROM a relation: which one
	// DependsOn lists the relations that it reads, sorted: they cannot be dropped before it.
	DependsOn []ID   `json:",omitempty"`
	Comment   string `json:",omitempty"`
	// Of a materialized view or sink, as planned: the columns that have watermarks,
	// flow.Growth of its content, and the operators whose state grows with every row.
	TimeColumns []int    `json:",omitempty"`
	Growth      uint8    `json:",omitempty"`
	Unbounded   []string `json:",omitempty"`
}

// HasMark reports whether column col has a watermark: that of the source or table, or
// the time at which rows come, or one that came through a view's query.
func (r *Relation) HasMark(col int) bool {
	return r.Watermark != nil && r.Watermark.Column == col || r.Columns[col].ProcTime || slices.Contains(r.TimeColumns, col)
}

// Key is the relation's key in circuits, flow.Input.Rel.
func (r *Relation) Key() string { return strconv.FormatUint(uint64(r.ID), 10) }

// ParseKey is the inverse of Relation.Key; it reports false for what is no key.
func ParseKey(key string) (ID, bool) {
	n, err := strconv.ParseUint(key, 10, 32)
	return ID(n), err == nil
}

// Types returns the columns' types, freshly allocated.
func (r *Relation) Types() []types.Type {
	ts := make([]types.Type, len(r.Columns))
	for i := range r.Columns {
		ts[i] = r.Columns[i].Type
	}
	return ts
}

// Column returns the index of the column of that name, or -1.
func (r *Relation) Column(name string) int {
	return slices.IndexFunc(r.Columns, func(c Column) bool { return c.Name == name })
}

// Option returns the value of a WITH option.
func (r *Relation) Option(name string) (string, bool) { return findOption(r.Options, name) }

func findOption(opts []Option, name string) (string, bool) {
	i := slices.IndexFunc(opts, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return "", false
	}
	return opts[i].Value, true
}

// Readable reports whether SELECT may read r.
func (r *Relation) Readable() bool { return r.Kind != Sink && r.Kind != Index }

// Describe names r as messages do: view v, or table s.t outside of public.
func (r *Relation) Describe() string { return r.Kind.String() + " " + r.display() }

func (r *Relation) display() string {
	if r.Function != nil {
		args := r.Signature()[len(r.Name):]
		if r.Schema == PublicSchema {
			return QuoteIdent(r.Name) + args
		}
		return QuoteIdent(r.Schema) + "." + QuoteIdent(r.Name) + args
	}
	if r.Schema == PublicSchema || r.Schema == CatalogSchema {
		return QuoteIdent(r.Name)
	}
	return QuoteIdent(r.Schema) + "." + QuoteIdent(r.Name)
}

// QuoteIdent quotes an identifier where it would not read back as it is.
func QuoteIdent(s string) string {
	plain := s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z')
	for i := 0; plain && i < len(s); i++ {
		b := s[i]
		plain = b == '_' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
	}
	if plain {
		return s
	}
	out := []byte{'"'}
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			out = append(out, '"')
		}
		out = append(out, s[i])
	}
	return string(append(out, '"'))
}

// clone returns a deep copy, so that a stored relation shares nothing with its command.
func (r *Relation) clone() *Relation {
	n := *r
	n.Columns = slices.Clone(r.Columns)
	n.PrimaryKey = slices.Clone(r.PrimaryKey)
	n.Checks = slices.Clone(r.Checks)
	n.Options = slices.Clone(r.Options)
	n.SearchPath = slices.Clone(r.SearchPath)
	n.DependsOn = slices.Clone(r.DependsOn)
	n.TimeColumns, n.Unbounded = slices.Clone(r.TimeColumns), slices.Clone(r.Unbounded)
	if r.Watermark != nil {
		w := *r.Watermark
		n.Watermark = &w
	}
	if r.Format != nil {
		f := *r.Format
		f.Options = slices.Clone(f.Options)
		n.Format = &f
	}
	if r.Index != nil {
		x := *r.Index
		x.Keys, x.Desc, x.Exprs = slices.Clone(x.Keys), slices.Clone(x.Desc), slices.Clone(x.Exprs)
		n.Index = &x
	}
	return &n
}
