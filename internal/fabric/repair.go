package fabric

import (
	"fmt"
	"log/slog"
)

// noteHole says that a copy of a log lacks what the log has.
func (f *Fabric) noteHole(hole *HoleError) {
	f.holes.Add(1)
	f.log(slog.LevelError, fmt.Sprintf("a copy of log %q lacks record %d, which was fetched from another node", hole.Log, hole.Want))
}

// Holes returns how many records were missing in the copies that were read and were fetched from another node.
func (f *Fabric) Holes() uint64 { return f.holes.Load() }
