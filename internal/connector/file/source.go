package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/tidemill/tidemill/internal/connector"
)

// cursor says what was read.
type cursor struct {
	Version int     `json:"v"`
	Done    string  `json:"done,omitempty"` // without follow: this file and all before it are read
	Files   []place `json:"files"`          // those that are being read
}

const cursorVersion = 1

func parseCursor(b []byte) (cursor, error) {
	var c cursor
	if b == nil {
		return c, nil
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Version != cursorVersion {
		return c, fmt.Errorf("file source: unknown cursor %.100q", b)
	}
	return c, nil
}

func (c cursor) bytes() []byte {
	c.Version = cursorVersion
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return b
}

// Run implements connector.Runner.
func (s *Source) Run(ctx context.Context, to connector.Intake) error {
	cur, err := parseCursor(to.Cursor())
	if err != nil {
		return err
	}
	if s.follow {
		err = s.followAll(ctx, to, cur)
	} else {
		err = s.readAll(ctx, to, cur)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("source %q: %w", s.cfg.Name, err)
	}
	return nil
}

// list returns the files that there are, in order of name.
func (s *Source) list() ([]string, error) {
	if !s.pattern() {
		if _, err := os.Stat(s.path); err != nil {
			return nil, err
		}
		return []string{s.path}, nil
	}
	paths, err := filepath.Glob(s.path)
	sort.Strings(paths)
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("no file matches %q: %w", s.path, fs.ErrNotExist)
	}
	return paths, err
}

// readAll reads the files one after the other, each to its end.
func (s *Source) readAll(ctx context.Context, to connector.Intake, cur cursor) error {
	paths, err := s.list()
	if err != nil {
		return err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return p <= cur.Done })
	if s.parted && len(paths) > connector.MaxPartitions {
		s.logf("%d files match %q: they are one partition, since there may be %d", len(paths), s.path, connector.MaxPartitions)
		s.parted = false
	}
	if err := s.opened(ctx, to, paths, cur.bytes()); err != nil {
		return err
	}
	for _, path := range paths {
		at := place{Path: path, Part: s.part(path)}
		if len(cur.Files) == 1 && cur.Files[0].Path == path {
			at = cur.Files[0]
			at.Part = s.part(path)
		}
		r, err := s.open(at)
		if err != nil {
			return err
		}
		_, err = r.read(ctx, to, true, func() []byte {
			return cursor{Done: cur.Done, Files: []place{r.at}}.bytes()
		})
		r.f.Close()
		if err != nil {
			return err
		}
		cur = cursor{Done: path}
		if err := s.ended(ctx, to, at.Part, cur.bytes()); err != nil {
			return err
		}
	}
	return nil
}

// opened tells that rows of these files will come, so that the watermark waits for them.
func (s *Source) opened(ctx context.Context, to connector.Intake, paths []string, cursor []byte) error {
	if !s.parted || len(paths) == 0 {
		return nil
	}
	b := connector.Block{Cursor: cursor}
	for _, p := range paths {
		b.Opened = append(b.Opened, s.part(p))
	}
	_, err := to.Append(ctx, b)
	return err
}

// ended tells that no more rows will come of a file.
func (s *Source) ended(ctx context.Context, to connector.Intake, part uint32, cursor []byte) error {
	if !s.parted {
		return nil
	}
	_, err := to.Append(ctx, connector.Block{Ended: []uint32{part}, Cursor: cursor})
	return err
}

// followed is the set of files that are followed, in order of path.
type followed struct {
	s       *Source
	readers []*reader
}

func (w *followed) cursor() []byte {
	var c cursor
	for _, r := range w.readers {
		c.Files = append(c.Files, r.at)
	}
	return c.bytes()
}

func (w *followed) close() {
	for _, r := range w.readers {
		r.close()
	}
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// followAll reads what is there and what comes, until ctx ends.
func (s *Source) followAll(ctx context.Context, to connector.Intake, cur cursor) error {
	w := &followed{s: s}
	defer w.close()
	for _, at := range cur.Files {
		w.readers = append(w.readers, &reader{s: s, at: at})
	}
	wait := minPoll
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		progress, err := w.poll(ctx, to)
		if err != nil {
			return err
		}
		if wait = min(2*wait, s.maxPoll); progress {
			wait = min(minPoll, s.maxPoll)
		}
		timer.Reset(wait)
	}
}

// poll looks at all files once and reads what is new.
func (w *followed) poll(ctx context.Context, to connector.Intake) (progress bool, err error) {
	paths, err := w.s.list()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := w.arrange(ctx, to, paths); err != nil {
		return false, err
	}
	for _, r := range w.readers {
		got, err := w.one(ctx, to, r)
		if err != nil {
			return progress, err
		}
		progress = progress || got
	}
	return progress, nil
}

// one reads what is new in one file.
func (w *followed) one(ctx context.Context, to connector.Intake, r *reader) (bool, error) {
	if r.f == nil {
		opened, err := w.s.open(r.at)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if *r = *opened; r.zipped {
			got, err := r.read(ctx, to, true, w.cursor)
			if err == nil {
				err = w.s.ended(ctx, to, r.at.Part, w.cursor())
			}
			return got, err
		}
	}
	if len(r.at.Head) < minHead {
		r.close() // nobody can tell yet what it is: look again later
		return false, nil
	}
	if r.zipped {
		return false, nil // it was read to its end
	}
	changed, err := r.changed()
	if err != nil {
		return false, err
	}
	if changed {
		w.s.logf("file %q was cut or written anew after %d bytes were read; it is read from its start", r.at.Path, r.at.Offset)
		r.at = place{Path: r.at.Path, Part: r.at.Part}
		r.close()
		return true, nil
	}
	return r.read(ctx, to, false, w.cursor)
}

// arrange makes the readers fit the files that there are: files that were moved keep
// theirs, files that are gone lose theirs once they are read to the end, new files
// get one.
func (w *followed) arrange(ctx context.Context, to connector.Intake, paths []string) error {
	ids := map[string]string{} // path to file
	at := map[string]string{}  // file to path
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			continue // gone in between
		}
		id := fileID(info)
		ids[p] = id
		if id != "" {
			at[id] = p
		}
	}
	var gone []*reader
	taken := map[string]bool{}
	for _, r := range w.readers {
		id, there := ids[r.at.Path]
		switch {
		case there && (id == r.at.ID || id == "" || r.at.ID == ""):
			taken[r.at.Path] = true
		case at[r.at.ID] != "" && r.at.ID != "":
			w.s.logf("file %q is now %q", r.at.Path, at[r.at.ID])
			r.at.Path = at[r.at.ID]
			taken[r.at.Path] = true
		case there || len(paths) > 0:
			gone = append(gone, r)
		default: // no file at all at the moment: wait for the next
			taken[r.at.Path] = true
		}
	}
	for _, r := range gone {
		if err := w.drop(ctx, to, r); err != nil {
			return err
		}
	}
	var fresh []string
	for _, p := range paths {
		if _, there := ids[p]; there && !taken[p] {
			w.readers = append(w.readers, &reader{s: w.s, at: place{Path: p, Part: w.s.part(p)}})
			fresh = append(fresh, p)
		}
	}
	sort.SliceStable(w.readers, func(i, j int) bool { return w.readers[i].at.Path < w.readers[j].at.Path })
	if len(w.readers) > maxFollowed {
		return fmt.Errorf("%d files match %q, at most %d can be followed", len(w.readers), w.s.path, maxFollowed)
	}
	return w.s.opened(ctx, to, fresh, w.cursor())
}

// drop reads a file that was moved away or removed to its end and forgets it.
func (w *followed) drop(ctx context.Context, to connector.Intake, r *reader) error {
	if r.f == nil {
		w.s.logf("file %q was rotated or removed while it was not followed, after %d bytes were read", r.at.Path, r.at.Offset)
	} else {
		w.s.logf("file %q was rotated or removed", r.at.Path)
		if !r.zipped {
			if _, err := r.read(ctx, to, true, w.cursor); err != nil {
				return err
			}
		}
		r.close()
	}
	for i := range w.readers {
		if w.readers[i] == r {
			w.readers = append(w.readers[:i:i], w.readers[i+1:]...)
			break
		}
	}
	return w.s.ended(ctx, to, r.at.Part, w.cursor())
}
