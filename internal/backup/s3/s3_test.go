package s3

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tidemill/tidemill/internal/backup"
)

var _ backup.Target = (*Bucket)(nil)

// store is as much of an object store as a backup needs.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte // by path
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case q.Has("location"):
		io.WriteString(w, `<LocationConstraint></LocationConstraint>`)
	case r.Method == http.MethodPut:
		body, err := payload(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.objects[r.URL.Path] = body
		w.Header().Set("ETag", `"0"`)
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case q.Has("list-type"):
		s.list(w, strings.TrimSuffix(r.URL.Path, "/")+"/", q.Get("prefix"))
	default:
		body, ok := s.objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			if r.Method == http.MethodGet {
				io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
			}
			return
		}
		w.Header().Set("ETag", `"0"`)
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			w.Write(body)
		}
	}
}

// payload takes the signatures of chunks out.
func payload(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
		return io.ReadAll(r.Body)
	}
	in, out := bufio.NewReader(r.Body), []byte{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			return out, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		out = append(out, chunk[:n]...)
	}
}

func (s *store) list(w io.Writer, bucket, prefix string) {
	type object struct {
		Key  string
		Size int
	}
	var out struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		IsTruncated bool
		Contents    []object
	}
	for path, body := range s.objects {
		if key, ok := strings.CutPrefix(path, bucket); ok && strings.HasPrefix(key, prefix) {
			out.Contents = append(out.Contents, object{key, len(body)})
		}
	}
	slices.SortFunc(out.Contents, func(a, b object) int { return strings.Compare(a.Key, b.Key) })
	xml.NewEncoder(w).Encode(out)
}

func TestBucket(t *testing.T) {
	srv := httptest.NewServer(&store{objects: map[string][]byte{}})
	defer srv.Close()
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "somebody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-somebody")
	b, err := Open("s3://backups/tidemill/one/")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := backup.ReadIndex(ctx, b); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an index that is not there: %v", err)
	}
	for _, size := range []int{0, 1, 100_000} {
		name, want := fmt.Sprintf("logs/l/%d.rec", size), bytes.Repeat([]byte("x"), size)
		if err := b.Put(ctx, name, bytes.NewReader(want), int64(size)); err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes: %v", name, len(got), err)
		}
	}
	if err := b.Delete(ctx, "logs/l/1.rec"); err != nil {
		t.Fatal(err)
	}
	list, err := b.List(ctx, "logs/")
	if err != nil || fmt.Sprint(list) != "map[logs/l/0.rec:0 logs/l/100000.rec:100000]" {
		t.Fatalf("%v: %v", list, err)
	}
	if err := b.Put(ctx, "short", strings.NewReader("abc"), 5); err == nil {
		t.Error("fewer bytes than announced were taken")
	}
}

func TestOpen(t *testing.T) {
	for _, target := range []string{"", "s3://", "http://x/y", "backup"} {
		if _, err := Open(target); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", target)) {
			t.Errorf("%q: %v", target, err)
		}
	}
	t.Setenv("AWS_ENDPOINT_URL", "nowhere")
	if _, err := Open("s3://b/p"); err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Error(err)
	}
}
