package ckpt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/internal/state"
)

// verifyBytes is how much Verify reads at once, and after how much it reports.
const verifyBytes = 1 << 20

// Verify reads all that a manifest names and checks each record and each pack's hash.
// Returns a DamageError for the first thing that is wrong, in the order of packs and
// offsets. progress, if not nil, is told how many bytes were read and how many there
// are. The checkpoint need not be open and does not become so.
func (s *Store) Verify(ctx context.Context, m Manifest, progress func(done, total int64)) error {
	v := verifier{fs: s.fs, progress: progress, images: make(map[uint32][]image)}
	if what := m.check(); what != "" {
		return fmt.Errorf("verify checkpoint of step %d: manifest: %s", m.Step, what)
	}
	for _, p := range m.Packs {
		v.total += p.SizeBytes
	}
	for _, name := range slices.Sorted(maps.Keys(m.Objects)) {
		if l := m.Objects[name].Image; !l.None() {
			v.images[l.Pack] = append(v.images[l.Pack], image{name, l})
		}
	}
	for _, p := range m.Packs {
		if err := v.pack(ctx, p); err != nil {
			return fmt.Errorf("verify checkpoint of step %d: %w", m.Step, err)
		}
	}
	return nil
}

type verifier struct {
	fs          FS
	progress    func(done, total int64)
	done, total int64
	images      map[uint32][]image // that have to be in a pack
	buf         []byte
}

type image struct {
	object string
	at     state.Loc
}

// pack checks one pack.
func (v *verifier) pack(ctx context.Context, p Pack) error {
	name := p.FileName()
	f, err := openPack(v.fs, p)
	if err != nil {
		return err
	}
	defer f.Close()
	images := make(map[uint64]state.Loc)
	for _, i := range v.images[p.Number] {
		images[i.at.Off] = i.at
	}
	sum := sha256.New()
	buf := v.buf[:0] // what of the pack is read and not checked
	var off, end int64
	for end < p.SizeBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		old, n := len(buf), int(min(verifyBytes, p.SizeBytes-end))
		buf = slices.Grow(buf, n)[:old+n]
		if got, err := f.ReadAt(buf[old:], end); got < n {
			if err == nil || errors.Is(err, io.EOF) {
				return &DamageError{File: name, Offset: end + int64(got), What: "the file ends here"}
			}
			return &DamageError{File: name, Offset: end, What: fmt.Sprintf("%d bytes cannot be read", n), Err: err}
		}
		sum.Write(buf[old:])
		skip := 0
		if end == 0 {
			skip = packHeaderBytes // was checked when the file was opened
		}
		end += int64(n)
		used, err := checkRecords(name, p, off+int64(skip), buf[skip:], images)
		if err != nil {
			return err
		}
		used += skip
		off += int64(used)
		buf = append(buf[:0], buf[used:]...)
		v.report(int64(n))
	}
	v.buf = buf[:0]
	if len(buf) > 0 {
		return &DamageError{File: name, Offset: off, Kind: recordKind(buf), Owner: recordOwner(buf), What: "the file ends within this record"}
	}
	if got := Hash(sum.Sum(nil)); got != p.Hash {
		return &DamageError{File: name, Offset: -1, What: fmt.Sprintf("its content has the hash %s", got)}
	}
	for _, i := range v.images[p.Number] {
		if _, missing := images[i.at.Off]; missing {
			return &DamageError{File: name, Offset: int64(i.at.Off), What: fmt.Sprintf("the image of %s, of %d bytes, does not begin here", i.object, i.at.Len)}
		}
	}
	return nil
}

// checkRecords checks the records that are whole in data, which is at offset off of the
// pack, and returns how long they are. Records that are in images are taken out of it.
func checkRecords(name string, p Pack, off int64, data []byte, images map[uint64]state.Loc) (used int, err error) {
	for {
		rest := data[used:]
		if len(rest) < FrameBytes {
			return used, nil
		}
		l := state.Loc{Pack: p.Number, Off: uint64(off) + uint64(used)}
		// What the length says is not known to be right yet: it must not be waited for
		// beyond the file's end.
		n := int64(binary.LittleEndian.Uint32(rest[4:])) + FrameBytes
		if m := binary.LittleEndian.Uint16(rest); m != recordMagic || n > p.SizeBytes-int64(l.Off) {
			what := checkRecord(rest[:FrameBytes])
			if m == recordMagic {
				what = fmt.Sprintf("record of %d bytes goes beyond the end of the file", n)
			}
			return used, damagedRecord(name, l, rest, what)
		}
		if int64(len(rest)) < n {
			return used, nil
		}
		rec := rest[:n]
		if what := checkRecord(rec); what != "" {
			return used, damagedRecord(name, l, rec, what)
		}
		if k := recordKind(rec); !isPackKind(k) {
			return used, damagedRecord(name, l, rec, "records of this kind are not kept in packs")
		}
		if i, ok := images[l.Off]; ok && int64(i.Len) == n {
			delete(images, l.Off)
		}
		used += int(n)
	}
}

func (v *verifier) report(n int64) {
	v.done += n
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
}
