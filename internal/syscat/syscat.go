// Package syscat serves the system catalogs: pg_catalog and information_schema as
// PostgreSQL's clients know them, and the tidemill schema about what runs here.
// They are ordinary relations to the planner; their rows are made from a catalog
// whenever a query reads them.
package syscat

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/types"
)

// Env is what the rows are made from. The engine fills it for each query that reads
// a system catalog; fields that it leaves empty give no rows.
type Env struct {
	Catalog   *catalog.Catalog
	Database  string
	Databases []string
	Version   string
	Settings  []Setting
	Sessions  []Session

	Sources    []SourceInfo
	Views      []ViewInfo
	Sinks      []SinkInfo
	Quarantine []QuarantineRow
	Errors     []ErrorRow
	Watermarks []WatermarkInfo
	Operators  []OperatorInfo
	Storage    []StorageInfo
	Recovery   []RecoveryInfo
	Builds     []BuildInfo
	Nodes      []NodeInfo
	Replicas   []ReplicaInfo
	Locks      []LockInfo
	Members    []MemberInfo
	Services   []ServiceInfo
}

// NodeInfo is what is known of a node of the cluster.
type NodeInfo struct {
	Name, State           string // online, drained, away
	Version               string
	SQL, HTTP, NATS       string // where it is reached
	Routes, Zone          string
	Started, Seen         types.Value // timestamps with time zone
	Connections           int64
	DiskFree, DiskReserve int64
	Problems              string
}

// ReplicaInfo is how a pipeline stands on a node.
type ReplicaInfo struct {
	Pipeline, Node, Role     string // leader, claiming, standby, starting, ended; away
	Epoch, Step, LogPosition uint64
	Behind                   types.Value // an interval
	Reason                   string
}

// StorageInfo is something that takes room, and why it is kept.
type StorageInfo struct {
	Kind, Name  string
	Bytes       int64 // -1: not known
	First, Last uint64
	KeptFor     string
}

// RecoveryInfo is how the pipeline came up.
type RecoveryInfo struct {
	Phase                     string
	CheckpointStep            uint64 // 0: none
	From, LogPosition, Target uint64
	Percent                   float64
	Steps                     int64
	Since                     types.Value // a timestamp with time zone
	Took                      types.Value // an interval
}

// BuildInfo is how far a view, sink or index is that is being made beside the steps.
type BuildInfo struct {
	ID     catalog.ID // that it will have, or has
	Schema string
	Name   string
	Kind   string
	Phase  string
	Rows   int64       // of its inputs and their changes that are in
	Total  int64       // that the inputs had when it began
	Since  types.Value // a timestamp with time zone
}

// Setting is one parameter, for pg_settings.
type Setting struct{ Name, Value, Description string }

// Session is one client, for pg_stat_activity.
type Session struct {
	PID         int32
	User        string
	Database    string
	Application string
	Remote      string
	Query       string
	State       string // active, idle, idle in transaction
	StartedAt   int64  // microseconds since 2000-01-01 UTC
}

// SourceInfo is how a source is doing.
type SourceInfo struct {
	ID        catalog.ID
	Name      string
	Connector string
	Position  uint64 // position applied
	Lag       int64  // blocks or rows that are durable and not applied yet
	State     string // running, paused, failed
	Error     string // the last one; empty if none
	// Of event time.
	Watermark      types.Value // a timestamp; NULL if there is none
	LateRows       uint64
	Partitions     int
	IdlePartitions int
}

// WatermarkInfo is the watermark of a column of a relation.
type WatermarkInfo struct {
	Relation  catalog.ID
	Name      string
	Kind      string
	Column    string
	Watermark types.Value // a timestamp; NULL if there is none yet
	Lag       types.Value // an interval behind the clock
	LateRows  any         // nil if no row of the relation can be late
}

// ViewInfo is how a table, view or index is held.
type ViewInfo struct {
	ID    catalog.ID
	Name  string
	Kind  string
	Rows  int64
	Bytes int64 // of its rows, its indexes, its recent changes and the state of its circuit
	Step  uint64
	Stale string // why it changes no more; "" if it is current
	// Frozen says that its rows are those of Step until it has been computed anew.
	Frozen bool
}

// OperatorInfo is one operator of the circuit of a view or sink.
type OperatorInfo struct {
	Relation   catalog.ID
	Name       string // of the relation
	Node       int    // of the circuit's description; several operators may stand for one
	Operator   string
	State      string // how its state grows; empty if it has none
	Watermark  types.Value
	RowsIn     int64 // since the circuit was built
	RowsOut    int64
	Rows       int64 // held; below 0 if it holds none
	Bytes      int64
	BusyMillis float64
}

// SinkInfo is how a sink is doing.
type SinkInfo struct {
	ID        catalog.ID
	Name      string
	Connector string
	Step      uint64 // delivered up to here
	Lag       int64  // steps not delivered yet
	State     string
	Error     string
}

// QuarantineRow is a record that was put aside.
type QuarantineRow struct {
	Source   string
	Position uint64
	Reason   string
	Data     []byte
}

// ErrorRow is a row that a view withholds because computing it went wrong.
type ErrorRow struct {
	View    string
	Step    uint64
	Code    string
	Message string
	Row     string
}

// Table is one system relation.
type Table struct {
	Relation catalog.Relation
	fill     func(e *Env, r *rows)
}

// Rows makes the table's rows.
func (t *Table) Rows(e *Env) *batch.Batch {
	ts := t.Relation.Types()
	r := &rows{table: t, types: ts, bu: batch.NewBuilder(ts)}
	if t.fill != nil {
		t.fill(e, r)
	}
	return r.bu.Seal()
}

// Tables returns every system relation. Give their Relations to catalog.New.
func Tables() []Table {
	var all []Table
	for _, group := range [][]Table{classTables(), typeTables(), constraintTables(), roleTables(), emptyTables(), viewTables(),
		informationTables(), tidemillTables(), coordinationTables()} {
		all = append(all, group...)
	}
	return all
}

// rows gathers a table's rows.
type rows struct {
	table *Table
	types []types.Type
	bu    *batch.Builder
}

// add appends a row; the values are nil, bool, string, []string, []byte or any integer.
func (r *rows) add(values ...any) {
	if len(values) != len(r.types) {
		panic(fmt.Sprintf("syscat: %s has %d columns, row has %d", r.table.Relation.Name, len(r.types), len(values)))
	}
	row := make([]types.Value, len(values))
	for i, v := range values {
		row[i] = r.value(i, v)
	}
	r.bu.AppendRow(row, 1)
}

func (r *rows) value(i int, v any) types.Value {
	t := r.types[i]
	out := types.Value{T: t}
	switch v := v.(type) {
	case nil:
		return types.NullOf(t)
	case bool:
		if v {
			out.I = 1
		}
	case int:
		out.I = int64(v)
	case int16:
		out.I = int64(v)
	case int32:
		out.I = int64(v)
	case int64:
		out.I = v
	case uint32:
		out.I = int64(v)
	case uint64:
		out.I = int64(v)
	case catalog.ID:
		out.I = int64(v)
	case string:
		out.S = v
	case []byte:
		out.S = string(v)
	case []string:
		return textArray(t, v)
	case float64:
		out.F = v
		return out
	case types.Value:
		return v
	default:
		panic(fmt.Sprintf("syscat: %s column %d: value of type %T", r.table.Relation.Name, i, v))
	}
	if t.Layout() == types.LayoutFloat {
		out.F = float64(out.I)
	}
	return out
}

// textArray makes an array from its elements' text forms.
func textArray(t types.Type, elems []string) types.Value {
	quoted := make([]string, len(elems))
	for i, e := range elems {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e) + `"`
	}
	v, err := types.Parse(t, "{"+strings.Join(quoted, ",")+"}", types.Style{})
	if err != nil {
		panic("syscat: " + err.Error())
	}
	return v
}

// kinds are the type names used in column lists.
var kinds = map[string]types.Type{
	"oid": types.T(types.Oid), "name": types.T(types.Name), "char": types.T(types.Char), "bool": types.T(types.Bool),
	"int2": types.T(types.Int2), "int4": types.T(types.Int4), "int8": types.T(types.Int8), "float4": types.T(types.Float4),
	"float8": types.T(types.Float8), "text": types.T(types.Text), "bytea": types.T(types.Bytea), "timestamp": types.T(types.Timestamp), "timestamptz": types.T(types.TimestampTZ),
	"interval": types.T(types.Interval), "regproc": types.T(types.Text), "xid": types.T(types.Int8), "numeric": types.T(types.Numeric),
	"text[]": {Kind: types.Array, Elem: types.Text}, "name[]": {Kind: types.Array, Elem: types.Name}, "oid[]": {Kind: types.Array, Elem: types.Oid},
	"int2[]": {Kind: types.Array, Elem: types.Int2}, "char[]": {Kind: types.Array, Elem: types.Char},
}

// define makes a table; columns is "name type, name type, ...".
func define(schema, name string, id catalog.ID, columns string, fill func(*Env, *rows)) Table {
	t := Table{Relation: catalog.Relation{ID: id, Schema: schema, Name: name, Kind: catalog.Virtual}, fill: fill}
	for _, def := range strings.Split(columns, ",") {
		col, kind, _ := strings.Cut(strings.TrimSpace(def), " ")
		typ, ok := kinds[kind]
		if !ok {
			panic(fmt.Sprintf("syscat: %s.%s: unknown type %q", name, col, kind))
		}
		t.Relation.Columns = append(t.Relation.Columns, catalog.Column{Name: col, Type: typ})
	}
	return t
}

// pg defines a table of pg_catalog.
func pg(name string, id catalog.ID, columns string, fill func(*Env, *rows)) Table {
	return define(catalog.CatalogSchema, name, id, columns, fill)
}

// schemaID returns the oid of a schema.
func (e *Env) schemaID(name string) catalog.ID {
	if s := e.Catalog.Schema(name); s != nil {
		return s.ID
	}
	return 0
}

// owner is the oid of the one role; its name is Owner.
const owner = 10

// Owner is the role that owns everything.
const Owner = "tidemill"

// heap and btree are the oids of the access methods.
const (
	heap  = 2
	btree = 403
)
