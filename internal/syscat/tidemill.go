package syscat

import "github.com/tidemill/tidemill/internal/catalog"

func tide(name string, id catalog.ID, columns string, fill func(*Env, *rows)) Table {
	return define(catalog.TidemillSchema, name, id, columns, fill)
}

// tidemillTables say what runs here and how it is doing.
func tidemillTables() []Table {
	return []Table{
		tide("sources", 13101, "id oid, name name, connector text, state text, rows int8, quarantined int8, position int8, lag int8, error text",
			func(e *Env, r *rows) {
				for _, s := range e.Sources {
					r.add(s.ID, s.Name, s.Connector, s.State, s.Rows, s.Quarantined, s.Position, s.Lag, orNull(s.Error))
				}
			}),
		tide("relations", 13102, "id oid, name name, kind text, rows int8, bytes int8, state_bytes int8, step int8", func(e *Env, r *rows) {
			for _, v := range e.Views {
				r.add(v.ID, v.Name, v.Kind, v.Rows, v.Bytes, v.StateBytes, v.Step)
			}
		}),
		tide("sinks", 13103, "id oid, name name, connector text, state text, step int8, lag int8, error text", func(e *Env, r *rows) {
			for _, s := range e.Sinks {
				r.add(s.ID, s.Name, s.Connector, s.State, s.Step, s.Lag, orNull(s.Error))
			}
		}),
		tide("quarantine", 13104, "source name, position int8, index int4, reason text, data bytea", func(e *Env, r *rows) {
			for _, q := range e.Quarantine {
				r.add(q.Source, q.Position, q.Index, q.Reason, q.Data)
			}
		}),
		tide("errors", 13105, "view name, step int8, code text, message text, row text, count int8", func(e *Env, r *rows) {
			for _, x := range e.Errors {
				r.add(x.View, x.Step, x.Code, x.Message, x.Row, x.Count)
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
