package fabric

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// BlobChunkBytes is the size of the pieces that a blob is stored in.
	BlobChunkBytes = 1 << 20
	// MaxBlobTries bounds how often a blob that is not found is looked for again where copies may lag behind.
	MaxBlobTries = 6

	blobBucket   = "tidemill"
	blobStream   = "OBJ_" + blobBucket
	blobFirstGap = 20 * time.Millisecond // doubled after every try
)

// BlobInfo describes a stored blob.
type BlobInfo struct {
	Name      string
	SizeBytes uint64
	SHA256    [sha256.Size]byte // zero in ListBlobs if the server's record of it is not readable
	Time      time.Time
}

// blobs opens the bucket, creating it if it is not there.
func (f *Fabric) blobs(ctx context.Context) (jetstream.ObjectStore, error) {
	if f.closing.Load() {
		return nil, ErrClosed
	}
	var store jetstream.ObjectStore
	err := f.settle(ctx, func(ctx context.Context) (err error) {
		store, err = f.js.ObjectStore(ctx, blobBucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			store, err = f.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: blobBucket, Storage: jetstream.FileStorage, Replicas: f.copies()})
		}
		return err
	})
	return store, err
}

// PutBlob stores all of r under name, replacing what was there, and returns when it is durable. Until then, and if it
// fails, readers find what was there before. ctx alone bounds how long it takes.
func (f *Fabric) PutBlob(ctx context.Context, name string, r io.Reader) (BlobInfo, error) {
	fail := func(err error) (BlobInfo, error) {
		return BlobInfo{}, fmt.Errorf("put blob %q: %w", name, f.orClosed(err))
	}
	store, err := f.blobs(ctx)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := f.boundless(ctx)
	defer cancel()
	sum := sha256.New()
	info, err := store.Put(ctx, jetstream.ObjectMeta{
		Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: BlobChunkBytes},
	}, io.TeeReader(r, sum))
	if err != nil {
		return fail(err)
	}
	out := blobInfo(info)
	if want := [sha256.Size]byte(sum.Sum(nil)); out.SHA256 != want {
		return fail(fmt.Errorf("%w: server has hash %x, we sent %x", ErrDamaged, out.SHA256, want))
	}
	return out, nil
}

// boundless gives ctx a far deadline if it has none, because the library would set a near one.
func (f *Fabric) boundless(ctx context.Context) (context.Context, context.CancelFunc) {
	const farAway = 24 * time.Hour
	return context.WithTimeout(ctx, farAway)
}

// GetBlob opens a blob for reading. Reading fails with ErrDamaged in place of io.EOF if the bytes do not have the hash
// that was stored with them: nothing that was read may be used before io.EOF. The caller closes the reader; it must not
// outlive ctx. Returns ErrNotFound if there is no such blob.
func (f *Fabric) GetBlob(ctx context.Context, name string) (io.ReadCloser, BlobInfo, error) {
	fail := func(err error) (io.ReadCloser, BlobInfo, error) {
		return nil, BlobInfo{}, fmt.Errorf("get blob %q: %w", name, f.orClosed(err))
	}
	store, err := f.blobs(ctx)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := f.boundless(ctx)
	var result jetstream.ObjectResult
	err = retryNotFound(ctx, store, func() error {
		result, err = store.Get(ctx, name)
		return err
	})
	if err != nil {
		cancel()
		return fail(err)
	}
	info, err := result.Info()
	if err != nil {
		result.Close()
		cancel()
		return fail(err)
	}
	out := blobInfo(info)
	return &blobReader{src: result, sum: sha256.New(), info: out, cancel: cancel}, out, nil
}

// blobReader checks size and hash where the library would end.
type blobReader struct {
	src    io.ReadCloser
	sum    hash.Hash
	read   uint64
	info   BlobInfo
	cancel context.CancelFunc
}

func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.sum.Write(p[:n])
	r.read += uint64(n)
	switch {
	case errors.Is(err, jetstream.ErrDigestMismatch):
		err = fmt.Errorf("read blob %q: %w: %w", r.info.Name, ErrDamaged, err)
	case err == io.EOF:
		if got := [sha256.Size]byte(r.sum.Sum(nil)); r.read != r.info.SizeBytes || got != r.info.SHA256 {
			err = fmt.Errorf("read blob %q: %w: %d bytes with hash %x, want %d with %x",
				r.info.Name, ErrDamaged, r.read, got, r.info.SizeBytes, r.info.SHA256)
		}
	}
	return n, err
}

func (r *blobReader) Close() error {
	err := r.src.Close()
	r.cancel()
	return err
}

// DeleteBlob removes a blob. Returns ErrNotFound if there is none.
func (f *Fabric) DeleteBlob(ctx context.Context, name string) error {
	store, err := f.blobs(ctx)
	if err == nil {
		err = retryNotFound(ctx, store, func() error {
			reqCtx, cancel := f.withTimeout(ctx)
			defer cancel()
			return store.Delete(reqCtx, name)
		})
	}
	if err != nil {
		return fmt.Errorf("delete blob %q: %w", name, f.orClosed(err))
	}
	return nil
}

// ListBlobs returns all blobs whose name begins with prefix, in order of name.
func (f *Fabric) ListBlobs(ctx context.Context, prefix string) ([]BlobInfo, error) {
	store, err := f.blobs(ctx)
	var list []*jetstream.ObjectInfo
	if err == nil {
		list, err = store.List(ctx)
	}
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list blobs: %w", f.orClosed(err))
	}
	var infos []BlobInfo
	for _, info := range list {
		if strings.HasPrefix(info.Name, prefix) {
			infos = append(infos, blobInfo(info))
		}
	}
	slices.SortFunc(infos, func(a, b BlobInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

func blobInfo(info *jetstream.ObjectInfo) BlobInfo {
	out := BlobInfo{Name: info.Name, SizeBytes: info.Size, Time: info.ModTime}
	if sum, err := jetstream.DecodeObjectDigest(info.Digest); err == nil && len(sum) == sha256.Size {
		out.SHA256 = [sha256.Size]byte(sum)
	}
	return out
}

// retryNotFound calls fn again, at most MaxBlobTries times in all, while it does not find the blob and the bucket has
// several copies, of which the one asked may lag behind.
func retryNotFound(ctx context.Context, store jetstream.ObjectStore, fn func() error) error {
	gap := blobFirstGap
	for try := 1; ; try++ {
		err := fn()
		if !errors.Is(err, jetstream.ErrObjectNotFound) {
			return err
		}
		if try >= MaxBlobTries || !replicated(ctx, store) {
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		pause(ctx, gap)
		gap *= 2
	}
}

func replicated(ctx context.Context, store jetstream.ObjectStore) bool {
	status, err := store.Status(ctx)
	return err != nil || status.Replicas() > 1
}
