package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/fabric"
)

// StorageRow is one thing that takes room on disk or in memory, and why it is kept.
type StorageRow struct {
	Kind  string // log, source, sink, checkpoint, packs, scratch, changes
	Name  string
	Bytes int64 // -1: not known
	// First and Last are positions: records of a log, blocks of a source, steps of
	// changes; both are 0 where there are none.
	First, Last uint64
	KeptFor     string
}

// storageView is what the leader knows of what is kept.
type storageView struct {
	cat     *catalog.Catalog
	kept    []keptCheckpoint
	job     *ckptJob
	rings   []relation // those with recent changes, copied
	sources []*source
	read    map[catalog.ID]uint64
}

// Storage lists what the pipeline keeps. It asks the logs, so it takes a moment.
func (e *Engine) Storage(ctx context.Context) ([]StorageRow, error) {
	var v storageView
	if !e.inspect(ctx, func(l *leader) { v = l.storageView() }) {
		if ctx.Err() != nil {
			return nil, canceled(ctx)
		}
		return nil, e.Err()
	}
	var out []StorageRow
	row, err := logRow(ctx, e.log, "log", e.cfg.Name, v.whyLog(e.store != nil))
	if err != nil {
		return nil, err
	}
	out = append(out, row)
	for _, s := range v.sources {
		if s.log == nil {
			continue
		}
		row, err := logRow(ctx, s.log, "source", s.def.Name, v.whySource(s))
		if errors.Is(err, fabric.ErrNotFound) { // it was dropped meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	if out, err = e.checkpointRows(out, v); err != nil {
		return nil, err
	}
	for _, r := range v.rings {
		first, last := r.ring.span()
		if last == 0 {
			continue
		}
		out = append(out, StorageRow{Kind: "changes", Name: r.def.Name, Bytes: r.ring.size(), First: first, Last: last, KeptFor: r.ring.keptFor(r.def)})
	}
	return out, nil
}

func (l *leader) storageView() storageView {
	v := storageView{cat: l.cat, kept: slices.Clone(l.ckpt.kept), job: l.ckpt.job, sources: l.e.sourceList(),
		read: map[catalog.ID]uint64{}}
	for _, id := range sortedKeys(l.rels) {
		if r := l.rels[id]; r.ring != nil {
			v.rings = append(v.rings, relation{def: r.def, ring: r.ring})
		}
	}
	for id, at := range l.historyRead {
		v.read[id] = at
	}
	return v
}

// logRow asks a log for its size.
func logRow(ctx context.Context, log Log, kind, name, why string) (StorageRow, error) {
	first, last, err := log.Bounds(ctx)
	if err != nil {
		return StorageRow{}, err
	}
	row := StorageRow{Kind: kind, Name: name, Bytes: -1, First: first, Last: last, KeptFor: why}
	if last < first {
		row.First, row.Last = 0, 0
	}
	if s, ok := log.(sizer); ok {
		n, err := s.SizeBytes(ctx)
		if err != nil {
			return StorageRow{}, err
		}
		row.Bytes = int64(n)
	}
	return row, nil
}

// whyLog says why the oldest records of the log are there.
func (v *storageView) whyLog(checkpoints bool) string {
	switch {
	case !checkpoints:
		return "a restart, which computes everything from it"
	case len(v.kept) < keptCheckpoints:
		return "a restart from its beginning, until two checkpoints are complete"
	}
	oldest := v.kept[len(v.kept)-1]
	return fmt.Sprintf("a restart from the checkpoint of step %d, which replays from record %d on", oldest.step, oldest.logSeq+1)
}

// whySource says why the oldest blocks of a source are there.
func (v *storageView) whySource(s *source) string {
	def := v.cat.ByID(s.id)
	if def == nil {
		return "it is being dropped"
	}
	keep, err := retentionOf(def)
	if err != nil || keep == (retention{}) {
		return "queries and views to come: it has no retention"
	}
	why := "retention " + keep.String()
	if keep.age > 0 {
		why = fmt.Sprintf("retention %v", keep.age.Round(time.Second))
	}
	switch {
	case len(v.kept) < keptCheckpoints:
		why += ", and two complete checkpoints"
	case v.read[s.id] > v.kept[len(v.kept)-1].logSeq:
		why += ", and a view made of all its rows since the older checkpoint"
	default:
		below := v.kept[0].positions[s.id]
		for _, k := range v.kept {
			below = min(below, k.positions[s.id])
		}
		why += fmt.Sprintf(", and from position %d on a restart from the older checkpoint", below)
	}
	return why
}

// checkpointRows appends what is in the directory of checkpoints.
func (e *Engine) checkpointRows(out []StorageRow, v storageView) ([]StorageRow, error) {
	if e.store == nil {
		return out, nil
	}
	entries, err := e.store.Manifests()
	if err != nil {
		return nil, err
	}
	for _, c := range entries {
		why, bytes := "nothing: it is removed after the next checkpoint", int64(-1)
		if i := slices.IndexFunc(v.kept, func(k keptCheckpoint) bool { return k.hash == c.Hash }); i >= 0 {
			why = []string{"a restart", "a restart, if a newer one is damaged"}[min(i, 1)]
		} else if v.job != nil && c.Step == v.job.head.Step {
			why = "a restart, once its record is in the log"
		}
		row := StorageRow{Kind: "checkpoint", Name: c.Hash.String()[:12], Bytes: bytes, Last: c.Step, KeptFor: why}
		if m := c.Manifest; m != nil {
			row.Bytes = 0
			for _, p := range m.Packs {
				row.Bytes += p.LiveBytes
			}
			row.First = m.LogSeq
		}
		out = append(out, row)
	}
	u, err := e.store.Usage()
	if err != nil {
		return nil, err
	}
	out = append(out, StorageRow{Kind: "packs", Name: fmt.Sprintf("%d files", u.Packs), Bytes: u.PackBytes + u.UnfinishedBytes + u.ManifestBytes,
		KeptFor: "the checkpoints, which share them"})
	return append(out, StorageRow{Kind: "scratch", Name: "scratch", Bytes: u.ScratchBytes,
		KeptFor: fmt.Sprintf("state that is not in memory; %d bytes are in use", u.SpilledBytes)}), nil
}
