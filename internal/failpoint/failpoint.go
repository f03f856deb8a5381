// Package failpoint marks the moments at which a process may die while it makes or
// removes durable things. Built with the tag failpoints, a process kills itself at the
// one that the environment names; else the marks are nothing.
package failpoint

// Env names the point at which to die, and after a colon at which visit to it, from 1:
// "checkpoint-packs:2".
const Env = "TIDEMILL_FAILPOINT"

// Point is a moment.
type Point string

// The points, in the order of a checkpoint's life.
const (
	CheckpointFrozen   Point = "checkpoint-frozen"   // the state is frozen, nothing is written
	CheckpointPacks    Point = "checkpoint-packs"    // a pack is written and not synced
	CheckpointSynced   Point = "checkpoint-synced"   // the packs are durable, there is no manifest
	CheckpointManifest Point = "checkpoint-manifest" // the manifest is written under another name
	CheckpointComplete Point = "checkpoint-complete" // the manifest is durable, the log does not name it
	CheckpointLogged   Point = "checkpoint-logged"   // the log names it, the leader does not know
	PruneManifests     Point = "prune-manifests"     // some old manifest is removed
	PrunePacks         Point = "prune-packs"         // some old pack is removed
	TrimLog            Point = "trim-log"            // the log is about to be trimmed
	TrimSource         Point = "trim-source"         // the log is trimmed, a source's stream not
	TrimDone           Point = "trim-done"           // all is trimmed
)

// Points lists them.
var Points = []Point{CheckpointFrozen, CheckpointPacks, CheckpointSynced, CheckpointManifest, CheckpointComplete,
	CheckpointLogged, PruneManifests, PrunePacks, TrimLog, TrimSource, TrimDone}
