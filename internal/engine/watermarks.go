package engine

import (
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/flow"
	"github.com/tidemill/tidemill/internal/types"
)

// WatermarkStatus is the watermark of one column of a relation, as of a step.
type WatermarkStatus struct {
	Relation catalog.ID
	Name     string
	Kind     string
	Column   string
	// Watermark is a timestamp without time zone, in UTC; NULL if there is none yet, or
	// the relation does not change any more. Of a column WATERMARK FOR it is what the
	// expression gave; rows may be behind it by allowed_lateness.
	Watermark types.Value
	LagMicros int64  // behind the clock; of no meaning without a watermark
	Declared  bool   // by WATERMARK FOR, which makes rows late
	Late      uint64 // rows of the relation that came too late, if Declared
}

// Watermarks returns those of all columns that have one, in the order of relations
// and columns.
func (e *Engine) Watermarks(snap *Snapshot) []WatermarkStatus {
	var out []WatermarkStatus
	now := e.micros()
	for _, def := range snap.Catalog.Relations() {
		marks := snap.Marks(def.ID)
		for c := range def.Columns {
			if !def.HasMark(c) {
				continue
			}
			w := WatermarkStatus{Relation: def.ID, Name: def.Name, Kind: def.Kind.String(), Column: def.Columns[c].Name,
				Watermark: types.NullOf(types.T(types.Timestamp)), Declared: def.Watermark != nil && def.Watermark.Column == c}
			w.Late = snap.late[def.ID]
			if at := int64(flow.NoMark); marks != nil {
				at = marks[c]
				if w.Declared && at != flow.NoMark {
					at += snap.allowed[def.ID]
				}
				if at != flow.NoMark && at != flow.FinalMark && isTime(def.Columns[c].Type) {
					w.Watermark, w.LagMicros = types.IntValue(types.Timestamp, at), now-at
				}
			}
			out = append(out, w)
		}
	}
	return out
}

func isTime(t types.Type) bool { return t.Kind == types.Timestamp || t.Kind == types.TimestampTZ }

// noteEvents fills in what a snapshot says of late rows.
func (l *leader) noteEvents(snap *Snapshot) {
	snap.late, snap.allowed = map[catalog.ID]uint64{}, map[catalog.ID]int64{}
	for id, t := range l.events {
		snap.late[id], snap.allowed[id] = t.state.late, t.rules.allowed
	}
	for id, s := range snap.sources {
		if s.event == nil {
			continue
		}
		s.mu.Lock()
		snap.late[id], snap.allowed[id] = s.event.late, s.rules.allowed
		s.mu.Unlock()
	}
}
