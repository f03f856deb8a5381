package node

import (
	"context"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/plan"
	"github.com/tidemill/tidemill/internal/syscat"
	"github.com/tidemill/tidemill/internal/types"
)

// virtual serves the system catalogs of package syscat to the engine.
type virtual struct {
	version string
	tables  []syscat.Table
	byName  map[string]*syscat.Table // "schema.name"
	status  func() ClusterStatus
	fabric  *fabric.Fabric
}

func newVirtual(version string, status func() ClusterStatus, f *fabric.Fabric) *virtual {
	v := &virtual{version: version, status: status, fabric: f, tables: syscat.Tables(), byName: map[string]*syscat.Table{}}
	for i := range v.tables {
		t := &v.tables[i]
		v.byName[t.Relation.Schema+"."+t.Relation.Name] = t
	}
	return v
}

// Relations implements engine.VirtualTables.
func (v *virtual) Relations() []catalog.Relation {
	var rels []catalog.Relation
	for _, t := range v.tables {
		rels = append(rels, t.Relation)
	}
	return rels
}

// Macros implements engine.VirtualTables.
func (v *virtual) Macros() map[string]plan.Macro {
	oid, num, flag := types.T(types.Oid), types.T(types.Int4), types.T(types.Bool)
	const from = "SELECT max(def) FROM tidemill.definitions WHERE kind = "
	size := plan.Macro{Params: []types.Type{oid}, SQL: "SELECT COALESCE(max(bytes), 0) FROM tidemill.relations WHERE id = $1"}
	return map[string]plan.Macro{
		"pg_table_size":          size,
		"pg_relation_size":       size,
		"pg_total_relation_size": size,
		"pg_tablespace_location": {Params: []types.Type{oid}, SQL: "SELECT ''::text"},
		"pg_table_is_visible": {Params: []types.Type{oid},
			SQL: "SELECT bool_or(relnamespace IN (11, 2200)) FROM pg_catalog.pg_class WHERE oid = $1"},
		"pg_get_constraintdef": {Params: []types.Type{oid, flag}, Optional: 1, SQL: from + "'constraint' AND oid = $1"},
		"pg_get_viewdef":       {Params: []types.Type{oid, flag}, Optional: 1, SQL: from + "'view' AND oid = $1"},
		"pg_get_indexdef": {Params: []types.Type{oid, num, flag}, Optional: 2,
			SQL: from + "'index' AND oid = $1 AND n = COALESCE($2, 0)"},
	}
}

// Rows implements engine.VirtualTables.
func (v *virtual) Rows(ctx context.Context, rel *catalog.Relation, sys *engine.SystemView) (*batch.Batch, error) {
	env := &syscat.Env{Catalog: sys.Snapshot.Catalog, Database: sys.Database, Databases: []string{sys.Engine.Name()}, Version: v.version}
	for _, s := range sys.Settings {
		env.Settings = append(env.Settings, syscat.Setting(s))
	}
	name := rel.Schema + "." + rel.Name
	switch name {
	case "pg_catalog.pg_stat_activity":
		v.sessions(env, sys)
	case "tidemill.sources":
		sources(env, sys)
	case "tidemill.watermarks":
		watermarks(env, sys)
	case "tidemill.sinks":
		sinks(env, sys)
	case "tidemill.relations", "pg_catalog.pg_stat_user_tables":
		relations(env, sys)
	case "tidemill.operators":
		operators(ctx, env, sys)
	case "tidemill.errors":
		rowErrors(env, sys)
	case "tidemill.nodes", "tidemill.replicas", "tidemill.pipelines":
		clusterRows(env, v.status())
	case "tidemill.locks":
		if err := lockRows(ctx, env, v.fabric); err != nil {
			return nil, err
		}
	case "tidemill.members":
		if err := memberRows(ctx, env, v.fabric); err != nil {
			return nil, err
		}
	case "tidemill.services":
		if err := serviceRows(ctx, env, v.fabric); err != nil {
			return nil, err
		}
	case "tidemill.recovery":
		recovery(env, sys)
	case "tidemill.builds":
		builds(env, sys)
	case "tidemill.storage":
		if err := storage(ctx, env, sys); err != nil {
			return nil, err
		}
	case "tidemill.quarantine":
		if err := quarantine(ctx, env, sys); err != nil {
			return nil, err
		}
	}
	return v.byName[name].Rows(env), nil
}

// epochMicros is 2000-01-01 UTC in Unix microseconds.
const epochMicros = 946684800_000_000

func (v *virtual) sessions(env *syscat.Env, sys *engine.SystemView) {
	for _, s := range sys.Engine.Sessions() {
		env.Sessions = append(env.Sessions, syscat.Session{PID: s.PID, User: s.User, Database: s.Database, Remote: s.Remote,
			State: "idle", StartedAt: s.Started.UnixMicro() - epochMicros})
	}
}

func connectorOf(r *catalog.Relation) string {
	if r == nil {
		return ""
	}
	name, _ := r.Option("connector")
	return name
}

func sources(env *syscat.Env, sys *engine.SystemView) {
	for _, s := range sys.Engine.Sources() {
		state := "running"
		if s.Failure != "" {
			state = "failed"
		}
		env.Sources = append(env.Sources, syscat.SourceInfo{ID: catalog.ID(s.ID), Name: s.Name, State: state, Error: s.Failure,
			Connector: connectorOf(sys.Snapshot.Catalog.ByID(catalog.ID(s.ID))),
			Position:  s.Position, Lag: s.PendingRows, Watermark: timestampOr(s.Watermark),
			LateRows: s.Late, Partitions: s.Partitions, IdlePartitions: s.Idle})
	}
}

// timestampOr is a mark as a timestamp, NULL if there is none.
func timestampOr(mark int64) types.Value {
	if mark == flow.NoMark {
		return types.NullOf(types.T(types.Timestamp))
	}
	return types.IntValue(types.Timestamp, mark)
}

func watermarks(env *syscat.Env, sys *engine.SystemView) {
	for _, w := range sys.Engine.Watermarks(sys.Snapshot) {
		info := syscat.WatermarkInfo{Relation: w.Relation, Name: w.Name, Kind: w.Kind, Column: w.Column, Watermark: w.Watermark,
			Lag: types.NullOf(types.T(types.Interval))}
		if !w.Watermark.Null {
			info.Lag = types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: w.LagMicros}}
		}
		if w.Declared {
			info.LateRows = w.Late
		}
		env.Watermarks = append(env.Watermarks, info)
	}
}

func sinks(env *syscat.Env, sys *engine.SystemView) {
	for _, s := range sys.Engine.Sinks() {
		state := "running"
		if s.Failure != "" {
			state = "failed"
		}
		env.Sinks = append(env.Sinks, syscat.SinkInfo{ID: catalog.ID(s.ID), Name: s.Name, State: state, Error: s.Failure,
			Connector: connectorOf(sys.Snapshot.Catalog.ByID(catalog.ID(s.ID))), Step: s.Position, Lag: int64(sys.Snapshot.Step - s.Position)})
	}
}

func relations(env *syscat.Env, sys *engine.SystemView) {
	snap := sys.Snapshot
	for _, r := range snap.Catalog.Relations() {
		if rows := snap.Rows(r.ID); rows != nil {
			v := syscat.ViewInfo{ID: r.ID, Name: r.Name, Kind: r.Kind.String(), Rows: rows.Rows(),
				Bytes: snap.Bytes(r.ID), Step: snap.Step, Stale: snap.Stale(r.ID)}
			if step, is := snap.Frozen(r.ID); is {
				v.Step, v.Frozen = step, true
			}
			env.Views = append(env.Views, v)
		}
	}
}

func operators(ctx context.Context, env *syscat.Env, sys *engine.SystemView) {
	for _, o := range sys.Engine.Operators(ctx) {
		env.Operators = append(env.Operators, syscat.OperatorInfo{Relation: o.Relation, Name: o.Name, Node: o.Node, Operator: o.Operator, State: o.State,
			Watermark: o.Watermark, RowsIn: o.RowsIn, RowsOut: o.RowsOut, Rows: o.Rows, Bytes: o.StateBytes, BusyMillis: float64(o.Nanos) / 1e6})
	}
}

func rowErrors(env *syscat.Env, sys *engine.SystemView) {
	list, _ := sys.Engine.RowErrors()
	for _, x := range list {
		env.Errors = append(env.Errors, syscat.ErrorRow{View: x.View, Step: x.Step, Code: x.Code, Message: x.Err, Row: x.Row})
	}
}

func storage(ctx context.Context, env *syscat.Env, sys *engine.SystemView) error {
	list, err := sys.Engine.Storage(ctx)
	for _, s := range list {
		env.Storage = append(env.Storage, syscat.StorageInfo(s))
	}
	return err
}

func recovery(env *syscat.Env, sys *engine.SystemView) {
	s := sys.Engine.Recovery()
	env.Recovery = append(env.Recovery, syscat.RecoveryInfo{Phase: s.Phase, CheckpointStep: s.CheckpointStep, From: s.From, LogPosition: s.LogPosition,
		Target: s.Target, Percent: s.Percent(), Steps: s.Steps, Since: types.IntValue(types.TimestampTZ, s.Since.UnixMicro()-epochMicros),
		Took: types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: s.Took.Microseconds()}}})
}

func builds(env *syscat.Env, sys *engine.SystemView) {
	for _, b := range sys.Engine.Builds() {
		env.Builds = append(env.Builds, syscat.BuildInfo{ID: b.ID, Schema: b.Schema, Name: b.Name, Kind: b.Kind, Phase: b.Phase, Rows: b.Rows, Total: b.Total,
			Since: types.IntValue(types.TimestampTZ, b.Since.UnixMicro()-epochMicros)})
	}
}

func quarantine(ctx context.Context, env *syscat.Env, sys *engine.SystemView) error {
	return sys.Engine.Quarantine(ctx, sys.Snapshot, func(q engine.QuarantineRow) error {
		env.Quarantine = append(env.Quarantine, syscat.QuarantineRow{Source: q.Source, Position: q.Position, Reason: q.Reason, Data: q.Data})
		return nil
	})
}
