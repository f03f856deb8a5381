package fabric

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"testing"
)

func TestBlobs(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	f := startIn(t, dir, nil)
	big := make([]byte, 3*BlobChunkBytes+17)
	rand.New(rand.NewSource(1)).Read(big)
	for name, data := range map[string][]byte{"ckpt/b": big, "ckpt/a": {}, "other": []byte("old")} {
		info, err := f.PutBlob(ctx, name, bytes.NewReader(data))
		if err != nil || info.SizeBytes != uint64(len(data)) || info.SHA256 != sha256.Sum256(data) {
			t.Fatalf("put %s: %+v, %v", name, info, err)
		}
	}
	if _, err := f.PutBlob(ctx, "other", bytes.NewReader([]byte("new"))); err != nil {
		t.Fatal(err)
	}
	f.Close(ctx)
	f = startIn(t, dir, nil)
	for name, want := range map[string][]byte{"ckpt/b": big, "ckpt/a": {}, "other": []byte("new")} {
		r, info, err := f.GetBlob(ctx, name)
		if err != nil {
			t.Fatalf("get %s: %v", name, err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, want) || info.SizeBytes != uint64(len(want)) {
			t.Errorf("get %s: %d bytes, %+v, %v", name, len(got), info, err)
		}
	}
	list, err := f.ListBlobs(ctx, "ckpt/")
	if err != nil || len(list) != 2 || list[0].Name != "ckpt/a" || list[1].Name != "ckpt/b" ||
		list[1].SHA256 != sha256.Sum256(big) {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := f.DeleteBlob(ctx, "ckpt/b"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.GetBlob(ctx, "ckpt/b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get a deleted blob: %v", err)
	}
	if err := f.DeleteBlob(ctx, "never"); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete what is not there: %v", err)
	}
}

type brokenReader struct{ left int }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errors.New("source broke")
	}
	n := min(len(p), r.left)
	r.left -= n
	return n, nil
}

func TestFailedPutKeepsTheOldBlob(t *testing.T) {
	ctx, f := context.Background(), start(t)
	if _, err := f.PutBlob(ctx, "b", bytes.NewReader([]byte("old"))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.PutBlob(ctx, "b", &brokenReader{left: 2 * BlobChunkBytes}); err == nil {
		t.Fatal("put of a broken source succeeded")
	}
	r, _, err := f.GetBlob(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "old" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
