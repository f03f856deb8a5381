// Package s3 keeps backups in an object store that speaks Amazon's S3.
package s3

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket is a prefix in a bucket as a backup.Target.
type Bucket struct {
	client *minio.Client
	bucket string
	prefix string // "" or ends in "/"
}

// DefaultEndpoint is asked unless AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL says otherwise.
const DefaultEndpoint = "https://s3.amazonaws.com"

// Open returns the target of an URL s3://BUCKET/PREFIX. Where the store is and who asks
// is found as AWS's own programs find it: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
// AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the credentials file, or the
// machine's role.
func Open(target string) (*Bucket, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, fmt.Errorf("object store %q: want s3://BUCKET/PREFIX", target)
	}
	endpoint := DefaultEndpoint
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		if v := os.Getenv(name); v != "" {
			endpoint = v
		}
	}
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("object store: endpoint %q: want http://HOST or https://HOST", endpoint)
	}
	client, err := minio.New(at.Host, &minio.Options{
		Secure: at.Scheme == "https", Region: os.Getenv("AWS_REGION"),
		Creds: credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}}),
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", endpoint, err)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Bucket{client, u.Host, prefix}, nil
}

// Put implements backup.Target: an object is there whole or not at all.
func (b *Bucket) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	info, err := b.client.PutObject(ctx, b.bucket, b.prefix+name, r, size, minio.PutObjectOptions{ContentType: "application/octet-stream"})
	if err == nil && info.Size != size {
		err = fmt.Errorf("%d bytes came, %d were announced", info.Size, size)
	}
	return b.wrap("put", name, err)
}

// Get implements backup.Target.
func (b *Bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, err := b.client.StatObject(ctx, b.bucket, b.prefix+name, minio.StatObjectOptions{}); err != nil {
		return nil, b.wrap("get", name, err)
	}
	o, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.wrap("get", name, err)
	}
	return o, nil
}

// List implements backup.Target.
func (b *Bucket) List(ctx context.Context, prefix string) (map[string]int64, error) {
	out := map[string]int64{}
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.wrap("list", prefix, o.Err)
		}
		out[strings.TrimPrefix(o.Key, b.prefix)] = o.Size
	}
	return out, nil
}

// Delete implements backup.Target.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	return b.wrap("delete", name, b.client.RemoveObject(ctx, b.bucket, b.prefix+name, minio.RemoveObjectOptions{}))
}

// wrap says where an error was met, and makes a missing object fs.ErrNotExist.
func (b *Bucket) wrap(act, name string, err error) error {
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return fmt.Errorf("%s s3://%s/%s%s: %w", act, b.bucket, b.prefix, name, err)
}
