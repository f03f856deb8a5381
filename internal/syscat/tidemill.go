package syscat

import (
	"slices"

	"github.com/tidemill/tidemill/internal/catalog"
)

func tide(name string, id catalog.ID, columns string, fill func(*Env, *rows)) Table {
	return define(catalog.TidemillSchema, name, id, columns, fill)
}

// tidemillTables say what runs here and how it is doing.
func tidemillTables() []Table {
	return []Table{
		tide("sources", 13151, "id oid, name name, connector text, state text, position int8, lag int8, error text, "+
			"watermark timestamp, late_rows int8, partitions int4, idle_partitions int4",
			func(e *Env, r *rows) {
				for _, s := range e.Sources {
					r.add(s.ID, s.Name, s.Connector, s.State, s.Position, s.Lag, orNull(s.Error), s.Watermark, s.LateRows, s.Partitions, s.IdlePartitions)
				}
			}),
		tide("watermarks", 13158, "relation oid, name name, kind text, column_name name, watermark timestamp, lag interval, late_rows int8",
			func(e *Env, r *rows) {
				for _, w := range e.Watermarks {
					r.add(w.Relation, w.Name, w.Kind, w.Column, w.Watermark, w.Lag, w.LateRows)
				}
			}),
		tide("relations", 13152, "id oid, name name, kind text, rows int8, bytes int8, step int8, state text, reason text", func(e *Env, r *rows) {
			for _, v := range e.Views {
				state, reason := "current", orNull(v.Stale)
				switch {
				case v.Stale != "":
					state = "stale"
				case v.Frozen:
					state, reason = "rebuilding", "it is being computed anew; its rows are those of this step until then"
				}
				r.add(v.ID, v.Name, v.Kind, v.Rows, v.Bytes, v.Step, state, reason)
			}
		}),
		tide("sinks", 13153, "id oid, name name, connector text, state text, step int8, lag int8, error text", func(e *Env, r *rows) {
			for _, s := range e.Sinks {
				r.add(s.ID, s.Name, s.Connector, s.State, s.Step, s.Lag, orNull(s.Error))
			}
		}),
		tide("quarantine", 13154, "source name, position int8, reason text, data bytea", func(e *Env, r *rows) {
			for _, q := range e.Quarantine {
				r.add(q.Source, q.Position, q.Reason, q.Data)
			}
		}),
		tide("operators", 13157, "relation oid, name name, node int4, operator text, state text, watermark timestamp, rows_in int8, rows_out int8, "+
			"rows_held int8, bytes int8, busy_ms float8", func(e *Env, r *rows) {
			for _, o := range e.Operators {
				held := any(o.Rows)
				if o.Rows < 0 {
					held = nil
				}
				r.add(o.Relation, o.Name, o.Node, o.Operator, orNull(o.State), o.Watermark, o.RowsIn, o.RowsOut, held, o.Bytes, o.BusyMillis)
			}
		}),
		tide("storage", 13159, "kind text, name text, bytes int8, first_position int8, last_position int8, kept_for text", func(e *Env, r *rows) {
			for _, s := range e.Storage {
				bytes := any(s.Bytes)
				if s.Bytes < 0 {
					bytes = nil
				}
				r.add(s.Kind, s.Name, bytes, s.First, s.Last, s.KeptFor)
			}
		}),
		tide("recovery", 13160, "phase text, checkpoint_step int8, from_position int8, log_position int8, target int8, percent float8, "+
			"steps int8, since timestamptz, took interval", func(e *Env, r *rows) {
			for _, x := range e.Recovery {
				step := any(x.CheckpointStep)
				if x.CheckpointStep == 0 {
					step = nil
				}
				r.add(x.Phase, step, x.From, x.LogPosition, x.Target, x.Percent, x.Steps, x.Since, x.Took)
			}
		}),
		tide("nodes", 13171, "name text, state text, version text, sql text, http text, nats text, routes text, zone text, started timestamptz, "+
			"seen timestamptz, connections int8, disk_free int8, disk_reserve int8, problems text", func(e *Env, r *rows) {
			for _, n := range e.Nodes {
				r.add(n.Name, n.State, orNull(n.Version), orNull(n.SQL), orNull(n.HTTP), orNull(n.NATS), orNull(n.Routes), orNull(n.Zone), n.Started,
					n.Seen, n.Connections, n.DiskFree, n.DiskReserve, orNull(n.Problems))
			}
		}),
		tide("replicas", 13172, "pipeline text, node text, role text, epoch int8, step int8, log_position int8, behind interval, reason text", func(e *Env, r *rows) {
			for _, x := range e.Replicas {
				r.add(x.Pipeline, x.Node, x.Role, x.Epoch, x.Step, x.LogPosition, x.Behind, orNull(x.Reason))
			}
		}),
		tide("pipelines", 13173, "name text, leader text, epoch int8, step int8, standbys int4", fillPipelines),
		tide("builds", 13161, "id oid, schema name, name name, kind text, phase text, rows int8, total int8, since timestamptz", func(e *Env, r *rows) {
			for _, b := range e.Builds {
				r.add(b.ID, b.Schema, b.Name, b.Kind, b.Phase, b.Rows, b.Total, b.Since)
			}
		}),
		tide("definitions", 13156, "kind text, oid oid, n int4, def text", fillDefinitions),
		tide("errors", 13155, "view name, step int8, code text, message text, row text", func(e *Env, r *rows) {
			for _, x := range e.Errors {
				r.add(x.View, x.Step, x.Code, x.Message, x.Row)
			}
		}),
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// fillDefinitions gives the texts that pg_get_viewdef and its like return.
func fillDefinitions(e *Env, r *rows) {
	for _, rel := range e.Catalog.Relations() {
		if rel.Kind == catalog.View || rel.Kind == catalog.MaterializedView {
			r.add("view", rel.ID, 0, rel.Query)
		}
		if rel.PrimaryKey != nil {
			def, _ := e.ConstraintDef(uint32(primaryID(rel)))
			r.add("constraint", primaryID(rel), 0, def)
		}
		for i := range rel.Checks {
			def, _ := e.ConstraintDef(uint32(checkID(rel, i)))
			r.add("constraint", checkID(rel, i), 0, def)
		}
		if rel.Kind == catalog.Index {
			for n := range len(rel.Index.Keys) + 1 {
				def, _ := e.IndexDef(uint32(rel.ID), n)
				r.add("index", rel.ID, n, def)
			}
		}
	}
}

// fillPipelines sums up the replicas of each pipeline.
func fillPipelines(e *Env, r *rows) {
	var names []string
	for _, x := range e.Replicas {
		if !slices.Contains(names, x.Pipeline) {
			names = append(names, x.Pipeline)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		leader, epoch, step, standbys := any(nil), uint64(0), uint64(0), int32(0)
		for _, x := range e.Replicas {
			switch {
			case x.Pipeline != name:
				continue
			case x.Role == "leader" && (leader == nil || x.Epoch > epoch):
				leader, epoch = x.Node, x.Epoch
			case x.Role == "standby":
				standbys++
			}
			step = max(step, x.Step)
		}
		r.add(name, leader, epoch, step, standbys)
	}
}
