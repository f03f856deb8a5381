package engine

import (
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/internal/catalog"
)

// headVersion is the version of the bytes that checkpointHead.encode gives.
//
// 2: rows that steps left out. Written only where there are some.
const headVersion = 2

// checkpointHead is what a checkpoint holds of the engine itself.
type checkpointHead struct {
	Format  int
	Now     int64 // logical time of the last step, microseconds since 2000
	Sources map[catalog.ID]sourceHead
	Tables  map[catalog.ID]tableHead // with event time
	Errors  []RowError               // oldest first
	ErrorsN int64                    // how many there were in all
	Skipped *skippedRows             `json:",omitempty"`
	// Frozen are the views that are not computed: the step that their rows are of.
	Frozen map[catalog.ID]uint64 `json:",omitempty"`
}

// sourceHead is what is known of a source besides where its log stands.
type sourceHead struct {
	Start    int64  // logical time of its creation
	Position uint64 // of the next row or block
	// Read is the last record of the pipeline's log that made something of the source's
	// old rows: a replay from before it needs them again.
	Read uint64
	// Trims says that its oldest blocks may be gone.
	Trims bool `json:",omitempty"`
}

// tableHead is the event time of a table.
type tableHead struct {
	Mark int64
	Late uint64
}

// saveHead takes what the engine itself holds.
func (l *leader) saveHead() *checkpointHead {
	h := &checkpointHead{Format: 1, Frozen: l.frozenSteps(), Skipped: l.skipped, Now: l.now, Sources: map[catalog.ID]sourceHead{}, Tables: map[catalog.ID]tableHead{}}
	for _, s := range l.e.sourceList() {
		h.Sources[s.id] = sourceHead{Start: s.start, Position: l.positions[s.id], Read: l.historyRead[s.id], Trims: s.trims.Load()}
	}
	for id, t := range l.events {
		h.Tables[id] = tableHead{t.state.mark, t.state.late}
	}
	if l.skipped != nil {
		h.Format = headVersion
	}
	h.Errors, h.ErrorsN = l.e.RowErrors()
	return h
}

func (h *checkpointHead) encode() ([]byte, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the engine's state: %w", err)
	}
	return data, nil
}

func decodeHead(data []byte) (*checkpointHead, error) {
	h := &checkpointHead{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("decode the engine's state: %w", err)
	}
	if h.Format < 1 || h.Format > headVersion {
		return nil, fmt.Errorf("decode the engine's state: version %d, this program knows 1 to %d", h.Format, headVersion)
	}
	return h, nil
}
