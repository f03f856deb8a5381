package ckpt

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/internal/state"
)

// The format of manifests. A reader ignores fields it does not know, which a newer
// minor version may have, and refuses another major version.
const (
	FormatMajor = 1
	FormatMinor = 0

	// maxManifestBytes bounds what is read into memory as a manifest.
	maxManifestBytes = 256 << 20
)

// Hash is the SHA-256 of a file's bytes. The zero Hash is of no file.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText gives h in hexadecimal; the zero Hash is the empty string.
func (h Hash) MarshalText() ([]byte, error) {
	if h == (Hash{}) {
		return []byte{}, nil
	}
	return hex.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	*h = Hash{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("hash %q: %d digits, should be %d", text, len(text), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Manifest says what belongs to one checkpoint. Its hash is that of its file and is
// what the log's CKPT record names.
type Manifest struct {
	Major    int    `json:"format"`       // set by Finish
	Minor    int    `json:"format_minor"` // set by Finish
	Pipeline string `json:"pipeline"`
	Step     uint64 `json:"step"`     // the last step that is in it
	Now      int64  `json:"now"`      // logical time of that step, microseconds since 1970
	LogSeq   uint64 `json:"log_seq"`  // the last position of the log that is in it; replay goes on after it
	LogHash  Hash   `json:"log_hash"` // chain hash at that position
	Epoch    uint64 `json:"epoch"`    // of the leader that wrote it, or the one it followed
	Engine   string `json:"engine"`   // version of the engine that wrote it
	Lanes    int    `json:"lanes"`    // over how many workers circuits are spread
	// Standby says that no record of the log names it: it is valid iff the record at LogSeq
	// has the hash LogHash.
	Standby  bool              `json:"standby,omitempty"`
	Previous Hash              `json:"previous"` // the manifest whose records it goes on to use; set by Begin
	Packs    []Pack            `json:"packs"`    // by number; set by Finish
	Objects  map[string]Object `json:"objects"`  // set by Finish
}

// Pack is one file of records.
type Pack struct {
	Number    uint32 `json:"number"` // what state.Loc calls it
	Hash      Hash   `json:"hash"`
	SizeBytes int64  `json:"bytes"`
	LiveBytes int64  `json:"live"` // how much of it the checkpoint uses
}

// Object is something that has state in a checkpoint: a view, a table, or a part of
// the engine such as the catalog.
type Object struct {
	Kind     string    // what it is; ckpt does not care
	Identity string    // what must be equal for the state to fit, such as a circuit's hash
	Image    state.Loc // its image record; none if it needs none
}

type objectJSON struct {
	Kind     string `json:"kind"`
	Identity string `json:"identity,omitempty"`
	Pack     uint32 `json:"pack"`
	Offset   uint64 `json:"offset"`
	Bytes    uint32 `json:"bytes"`
}

// MarshalJSON gives the object as manifests hold it.
func (o Object) MarshalJSON() ([]byte, error) {
	return json.Marshal(objectJSON{o.Kind, o.Identity, o.Image.Pack, o.Image.Off, o.Image.Len})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Object) UnmarshalJSON(data []byte) error {
	var j objectJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*o = Object{Kind: j.Kind, Identity: j.Identity, Image: state.Loc{Pack: j.Pack, Off: j.Offset, Len: j.Bytes}}
	return nil
}

// FileName is where a manifest of that hash is kept, below the store's directory.
func (m *Manifest) FileName(h Hash) string { return manifestName(m.Step, h) }

// FileName is where the pack is kept, below the store's directory.
func (p Pack) FileName() string { return packName(p.Hash) }

// pack returns the pack of that number, nil if the manifest does not name it.
func (m *Manifest) pack(number uint32) *Pack {
	i, ok := slices.BinarySearchFunc(m.Packs, number, func(p Pack, n uint32) int { return cmp.Compare(p.Number, n) })
	if !ok {
		return nil
	}
	return &m.Packs[i]
}

// encodeManifest returns the canonical bytes of m and their hash: fields in the order of
// the type, objects in the order of their names.
func encodeManifest(m *Manifest) ([]byte, Hash, error) {
	if err := checkText("pipeline", m.Pipeline); err != nil {
		return nil, Hash{}, err
	}
	if err := checkText("engine version", m.Engine); err != nil {
		return nil, Hash{}, err
	}
	for name, o := range m.Objects {
		if err := errors.Join(checkText("object name", name), checkText("kind of "+name, o.Kind), checkText("identity of "+name, o.Identity)); err != nil {
			return nil, Hash{}, err
		}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, Hash{}, fmt.Errorf("encode manifest of step %d: %w", m.Step, err)
	}
	data = append(data, '\n')
	return data, sha256.Sum256(data), nil
}

// checkText refuses what JSON cannot hold as it is.
func checkText(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("manifest: %s %q is not UTF-8", what, s)
	}
	return nil
}

// decodeManifest reads the bytes of the manifest file name and checks that they have
// the hash that the name says.
func decodeManifest(name string, data []byte, want Hash) (*Manifest, error) {
	if got := Hash(sha256.Sum256(data)); got != want {
		return nil, &DamageError{File: name, Offset: -1, What: fmt.Sprintf("its content has the hash %s", got)}
	}
	var head struct {
		Major int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, &DamageError{File: name, Offset: -1, What: "not a manifest", Err: err}
	}
	if head.Major != FormatMajor {
		return nil, fmt.Errorf("%w: %s has version %d, this program knows %d", ErrVersion, name, head.Major, FormatMajor)
	}
	m := new(Manifest)
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(m); err != nil {
		return nil, &DamageError{File: name, Offset: -1, What: "not a manifest", Err: err}
	}
	if what := m.check(); what != "" {
		return nil, &DamageError{File: name, Offset: -1, What: what}
	}
	return m, nil
}

// check says what no manifest that Finish wrote would have, "" if there is nothing.
func (m *Manifest) check() string {
	last := uint32(0)
	for _, p := range m.Packs {
		if p.Number <= last || p.Number == state.ScratchPack {
			return fmt.Sprintf("pack %d after pack %d", p.Number, last)
		}
		if p.SizeBytes < packHeaderBytes || p.LiveBytes < 0 || p.LiveBytes > p.SizeBytes {
			return fmt.Sprintf("pack %d has %d bytes, %d of them in use", p.Number, p.SizeBytes, p.LiveBytes)
		}
		last = p.Number
	}
	for name, o := range m.Objects {
		if o.Image.None() {
			continue
		}
		if what := m.checkLoc(o.Image); what != "" {
			return fmt.Sprintf("image of %s: %s", name, what)
		}
	}
	return ""
}

// checkLoc says why no record of the checkpoint can be at l, "" if one can.
func (m *Manifest) checkLoc(l state.Loc) string {
	p := m.pack(l.Pack)
	if p == nil {
		return fmt.Sprintf("pack %d is not of this checkpoint", l.Pack)
	}
	return checkRange(l, p.SizeBytes)
}

// checkRange says why no record can be at l of a pack of that size, "" if one can.
func checkRange(l state.Loc, sizeBytes int64) string {
	if l.Off < packHeaderBytes || l.Len < FrameBytes || l.Off > uint64(sizeBytes) || uint64(l.Len) > uint64(sizeBytes)-l.Off {
		return fmt.Sprintf("%d bytes at offset %d are not within pack %d of %d bytes", l.Len, l.Off, l.Pack, sizeBytes)
	}
	return ""
}

const (
	packDir     = "packs"
	manifestDir = "manifests"
	scratchName = "scratch"
	packSuffix  = ".pack"
	jsonSuffix  = ".json"
	tempSuffix  = ".tmp"
	stepDigits  = 20 // of a step's number in a name, so that names sort like steps
)

func packName(h Hash) string { return packDir + "/" + h.String() + packSuffix }

func manifestName(step uint64, h Hash) string {
	return fmt.Sprintf("%s/%0*d-%s%s", manifestDir, stepDigits, step, h, jsonSuffix)
}

// parseManifestName returns what the name of a file in the manifests' directory says.
func parseManifestName(name string) (step uint64, h Hash, ok bool) {
	base, ok := strings.CutSuffix(name, jsonSuffix)
	if !ok {
		return 0, Hash{}, false
	}
	digits, hash, ok := strings.Cut(base, "-")
	if !ok || len(hash) != hex.EncodedLen(len(h)) {
		return 0, Hash{}, false
	}
	step, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || h.UnmarshalText([]byte(hash)) != nil {
		return 0, Hash{}, false
	}
	return step, h, true
}

// parsePackName returns what the name of a file in the packs' directory says.
func parsePackName(name string) (h Hash, ok bool) {
	base, ok := strings.CutSuffix(name, packSuffix)
	if !ok || len(base) != hex.EncodedLen(len(h)) || h.UnmarshalText([]byte(base)) != nil {
		return Hash{}, false
	}
	return h, true
}

// readSmall returns the content of a file of at most maxManifestBytes.
func readSmall(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxManifestBytes {
		return nil, fmt.Errorf("%d bytes are more than the %d a manifest may have", size, maxManifestBytes)
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && (err != io.EOF || n < len(data)) {
		return nil, err
	}
	return data, nil
}
