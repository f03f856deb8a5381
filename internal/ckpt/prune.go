package ckpt

import (
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/internal/failpoint"
)

// Pruned says what Prune removed.
type Pruned struct {
	Manifests int
	Packs     int
	PackBytes int64
}

// Prune removes all manifests but those of the given hashes, and the packs that none of
// them names. What the checkpoint opened or finished last and the one being written
// need stays in any case. If a manifest that is to be kept cannot be read, it is not
// known what it needs: that is an error, and nothing is removed.
//
// Manifests go first, and durably, so that none is left without its packs.
func (s *Store) Prune(keep ...Hash) (Pruned, error) {
	s.names.Lock()
	defer s.names.Unlock()
	var done Pruned
	packs, err := s.fs.List(packDir)
	if err != nil {
		return done, fmt.Errorf("prune checkpoints: list %s: %w", packDir, err)
	}
	manifests, err := s.fs.List(manifestDir)
	if err != nil {
		return done, fmt.Errorf("prune checkpoints: list %s: %w", manifestDir, err)
	}
	keepManifest, keepPack := make(map[Hash]bool), make(map[Hash]bool)
	for _, h := range keep {
		m, err := s.ReadManifest(h)
		if err != nil {
			return done, fmt.Errorf("prune checkpoints: keep %s: %w", h, err)
		}
		keepManifest[h] = true
		for _, p := range m.Packs {
			keepPack[p.Hash] = true
		}
	}
	s.mu.Lock()
	keepManifest[s.hash] = true
	for _, p := range s.current {
		keepPack[p.Hash] = true
	}
	s.mu.Unlock()
	packs = slices.DeleteFunc(packs, func(f Info) bool {
		h, ok := parsePackName(f.Name)
		return !ok || keepPack[h]
	})

	for _, f := range manifests {
		if _, h, ok := parseManifestName(f.Name); !ok || keepManifest[h] {
			continue
		}
		if err := s.fs.Remove(manifestDir + "/" + f.Name); err != nil {
			return done, fmt.Errorf("prune checkpoints: remove %s: %w", f.Name, err)
		}
		done.Manifests++
		failpoint.Hit(failpoint.PruneManifests)
	}
	if done.Manifests > 0 || len(packs) > 0 { // an earlier Prune may have failed here
		if err := s.fs.SyncDir(manifestDir); err != nil {
			return done, fmt.Errorf("prune checkpoints: sync directory %s: %w", manifestDir, err)
		}
	}
	s.handles.retain(keepPack)
	for _, f := range packs {
		if err := s.fs.Remove(packDir + "/" + f.Name); err != nil {
			return done, fmt.Errorf("prune checkpoints: remove %s: %w", f.Name, err)
		}
		done.Packs++
		done.PackBytes += f.SizeBytes
		failpoint.Hit(failpoint.PrunePacks)
	}
	return done, nil
}
