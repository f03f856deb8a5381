package ckpt

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Entry is a manifest that is there.
type Entry struct {
	Step     uint64 // as the file's name says
	Hash     Hash   // likewise
	Name     string // of the file, below the store's directory
	Manifest *Manifest
	Err      error // why Manifest is nil: ErrDamaged, ErrVersion, or what the file system said
}

// Manifests returns the manifests that are there, newest first, damaged ones among
// them. Only their own content has been checked: OpenManifest says whether a checkpoint
// can be used. The error is about the directory.
func (s *Store) Manifests() ([]Entry, error) {
	files, err := s.fs.List(manifestDir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", manifestDir, err)
	}
	var entries []Entry
	for _, f := range files {
		step, h, ok := parseManifestName(f.Name)
		if !ok {
			continue
		}
		e := Entry{Step: step, Hash: h, Name: manifestDir + "/" + f.Name}
		e.Manifest, e.Err = s.readManifest(e)
		if errors.Is(e.Err, fs.ErrNotExist) { // pruned meanwhile
			continue
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Step, a.Step), cmp.Compare(b.epoch(), a.epoch()), cmp.Compare(a.Name, b.Name))
	})
	return entries, nil
}

func (e Entry) epoch() uint64 {
	if e.Manifest == nil {
		return 0
	}
	return e.Manifest.Epoch
}

func (s *Store) readManifest(e Entry) (*Manifest, error) {
	data, err := readSmall(s.fs, e.Name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	m, err := decodeManifest(e.Name, data, e.Hash)
	if err == nil && m.Step != e.Step {
		return nil, &DamageError{File: e.Name, Offset: -1, What: fmt.Sprintf("it is of step %d", m.Step)}
	}
	return m, err
}

// ReadManifest returns the manifest of that hash, after a check of its own content.
// Returns fs.ErrNotExist if it is not there, and the errors of Entry.
func (s *Store) ReadManifest(h Hash) (Manifest, error) {
	files, err := s.fs.List(manifestDir)
	if err != nil {
		return Manifest{}, fmt.Errorf("list %s: %w", manifestDir, err)
	}
	for _, f := range files {
		step, got, ok := parseManifestName(f.Name)
		if !ok || got != h {
			continue
		}
		m, err := s.readManifest(Entry{Step: step, Hash: h, Name: manifestDir + "/" + f.Name})
		if err != nil {
			return Manifest{}, err
		}
		return *m, nil
	}
	return Manifest{}, fmt.Errorf("manifest %s: %w", h, fs.ErrNotExist)
}

// OpenManifest makes the records of a checkpoint readable and its packs those that the
// next checkpoint builds on, after a check that its manifest is right, that all its
// packs are there and have their sizes, and that the images of all objects are whole.
// Pages and blocks are checked when they are read. Returns a DamageError for the first
// thing that is wrong; the checkpoint that was open before stays open then.
func (s *Store) OpenManifest(h Hash) (Manifest, error) {
	m, err := s.ReadManifest(h)
	if err != nil {
		return Manifest{}, err
	}
	if err := s.checkPacks(m.Packs); err != nil {
		return Manifest{}, fmt.Errorf("open checkpoint of step %d: %w", m.Step, err)
	}
	if err := s.handles.add(m.FileName(h), m.Packs); err != nil {
		return Manifest{}, fmt.Errorf("open checkpoint of step %d: %w", m.Step, err)
	}
	if err := s.checkImages(m.Objects); err != nil {
		return Manifest{}, fmt.Errorf("open checkpoint of step %d: %w", m.Step, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.hash = slices.Clone(m.Packs), h
	return m, nil
}

// checkPacks checks that packs are there, and as long as they should be.
func (s *Store) checkPacks(packs []Pack) error {
	files, err := s.fs.List(packDir)
	if err != nil {
		return fmt.Errorf("list %s: %w", packDir, err)
	}
	sizes := make(map[string]int64, len(files))
	for _, f := range files {
		sizes[packDir+"/"+f.Name] = f.SizeBytes
	}
	for _, p := range packs {
		name := p.FileName()
		size, ok := sizes[name]
		if !ok {
			return &DamageError{File: name, Offset: -1, What: fmt.Sprintf("pack %d is not there", p.Number), Err: fs.ErrNotExist}
		}
		if size != p.SizeBytes {
			return &DamageError{File: name, Offset: -1, What: fmt.Sprintf("it has %d bytes, should be %d", size, p.SizeBytes)}
		}
	}
	return nil
}

func (s *Store) checkImages(objects map[string]Object) error {
	var buf []byte
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		l := objects[name].Image
		if l.None() {
			continue
		}
		rec, _, err := s.handles.appendRecord(l, buf[:0])
		if err != nil {
			return fmt.Errorf("image of %s: %w", name, err)
		}
		buf = rec
	}
	return nil
}

// Usage says what the store has on the disk, in bytes.
type Usage struct {
	Packs           int
	PackBytes       int64 // of files that are complete
	Manifests       int
	ManifestBytes   int64
	UnfinishedBytes int64 // of a checkpoint being written, or left over from one
	ScratchBytes    int64 // of the scratch file
	SpilledBytes    int64 // how much of that is in use
}

// Usage returns what the store has on the disk now.
func (s *Store) Usage() (Usage, error) {
	var u Usage
	packs, err := s.fs.List(packDir)
	manifests, err2 := s.fs.List(manifestDir)
	if err := errors.Join(err, err2); err != nil {
		return Usage{}, fmt.Errorf("list checkpoints: %w", err)
	}
	for _, f := range packs {
		if _, ok := parsePackName(f.Name); ok {
			u.Packs++
			u.PackBytes += f.SizeBytes
		} else {
			u.UnfinishedBytes += f.SizeBytes
		}
	}
	for _, f := range manifests {
		if _, _, ok := parseManifestName(f.Name); ok {
			u.Manifests++
			u.ManifestBytes += f.SizeBytes
		} else {
			u.UnfinishedBytes += f.SizeBytes
		}
	}
	s.scratch.mu.Lock()
	u.ScratchBytes, u.SpilledBytes = s.scratch.high, s.scratch.used
	s.scratch.mu.Unlock()
	return u, nil
}
