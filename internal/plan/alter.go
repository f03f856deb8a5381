package plan

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// alterable are the options of a source that may change while it is there.
var alterable = map[string]bool{"retention": true}

// alter plans ALTER SOURCE s SET (option = value) and RESET (option); of the other
// forms none is supported.
func (d *ddl) alter(s *sql.Alter) catalog.Command {
	cmd := catalog.Command{Kind: catalog.SetOptions}
	for _, a := range s.Actions {
		switch {
		case a.Kind == sql.AlterAddWatermark:
			failHint(a.Pos(), types.CodeFeature, "Which rows are late is decided as they come: make it anew with WATERMARK FOR among its columns.",
				"ADD WATERMARK is not supported yet")
		case s.Kind == "source" && a.Kind == sql.AlterSetOptions:
			cmd.Options = append(cmd.Options, d.options(a.Options)...)
		case s.Kind == "source" && a.Kind == sql.AlterResetOptions:
			for _, o := range a.Options {
				cmd.Reset = append(cmd.Reset, o.Name)
			}
		default:
			unsupported(s.Pos(), "this statement (%s)", firstWords(d.sql))
		}
		for _, o := range a.Options {
			if !alterable[o.Name] {
				failHint(o.Pos(), types.CodeFeature, "Make the source anew; only its retention can be changed.", "changing option %q of a source is not supported yet", o.Name)
			}
		}
	}
	if s.IfExists {
		unsupported(s.Pos(), "ALTER SOURCE IF EXISTS")
	}
	rel := d.b.relation(s.Name)
	if rel.Kind != catalog.Source {
		fail(s.Name.Pos(), types.CodeWrongObject, "%q is not a source", rel.Name)
	}
	d.checkOptions(rel.WithOptions(cmd.Options, cmd.Reset), s.Pos())
	cmd.Targets = []catalog.Target{{Schema: rel.Schema, Name: rel.Name}}
	return cmd
}
