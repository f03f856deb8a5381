package ckpt_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/state"
)

// lazyFS does not sync, so that what is measured is our own work and the page cache.
type lazyFS struct{ ckpt.FS }

type lazyFile struct{ ckpt.File }

func (f lazyFS) Create(name string) (ckpt.File, error) {
	file, err := f.FS.Create(name)
	return lazyFile{file}, err
}

func (lazyFS) SyncDir(string) error { return nil }

func (lazyFile) Sync() error { return nil }

const benchRecord = 8 << 10

func benchStore(b *testing.B) *ckpt.Store {
	b.Helper()
	o, err := ckpt.NewOSFS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s := must[*ckpt.Store](b)(ckpt.Open(lazyFS{o}, ckpt.Options{ReserveBytes: 1 << 20}))
	b.Cleanup(func() { s.Close(); o.Close() })
	return s
}

func benchPayload() []byte {
	p := make([]byte, benchRecord)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// benchCheckpoint writes n records.
func benchCheckpoint(b *testing.B, s *ckpt.Store, n int) (ckpt.Manifest, ckpt.Hash, []state.Loc) {
	b.Helper()
	page := benchPayload()
	at := make([]state.Loc, n)
	w := must[*ckpt.Writer](b)(s.Begin(ckpt.Manifest{Step: 1}))
	for i := range at {
		l, err := w.Put(state.RecordPage, uint64(i), page)
		if err != nil {
			b.Fatal(err)
		}
		at[i] = l
	}
	m, h, err := w.Finish(nil)
	if err != nil {
		b.Fatal(err)
	}
	return m, h, at
}

// BenchmarkPut writes checkpoints of 128 MB in records of 8 KB.
func BenchmarkPut(b *testing.B) {
	s := benchStore(b)
	const records = 128 << 20 / benchRecord
	b.SetBytes(records * benchRecord)
	b.ReportAllocs()
	for b.Loop() {
		_, h, _ := benchCheckpoint(b, s, records)
		b.StopTimer()
		if _, err := s.Prune(h); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRead reads records of 8 KB in random order, from the page cache.
func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	_, _, at := benchCheckpoint(b, s, 128<<20/benchRecord)
	rng := rand.New(rand.NewPCG(1, 1))
	var buf []byte
	b.SetBytes(benchRecord)
	b.ReportAllocs()
	for b.Loop() {
		i := rng.IntN(len(at))
		var err error
		if buf, err = s.Read(at[i], uint64(i), buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSpill spills records of 8 KB, reads them back and gives their places back.
func BenchmarkSpill(b *testing.B) {
	s := benchStore(b)
	page := benchPayload()
	at := make([]state.Loc, 1000)
	for i := range at {
		at[i] = must[state.Loc](b)(s.Spill(1, page))
	}
	var buf []byte
	b.SetBytes(benchRecord)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		var err error
		if buf, err = s.Read(at[i], 1, buf[:0]); err != nil {
			b.Fatal(err)
		}
		s.Unspill(at[i])
		at[i] = must[state.Loc](b)(s.Spill(1, page))
		i = (i + 1) % len(at)
	}
}

// BenchmarkVerify reads a checkpoint of 128 MB and checks all of it.
func BenchmarkVerify(b *testing.B) {
	s := benchStore(b)
	m, _, at := benchCheckpoint(b, s, 128<<20/benchRecord)
	b.SetBytes(int64(len(at)) * benchRecord)
	for b.Loop() {
		if err := s.Verify(context.Background(), m, nil); err != nil {
			b.Fatal(err)
		}
	}
}
