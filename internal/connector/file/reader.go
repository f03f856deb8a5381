package file

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/format"
)

// place is how far a file is read. It is stored in cursors.
type place struct {
	Path   string   `json:"path"`
	ID     string   `json:"id,omitempty"`     // of the file, whatever its path
	Head   []byte   `json:"head,omitempty"`   // how it begins
	Offset int64    `json:"offset"`           // of its uncompressed bytes
	Header []string `json:"header,omitempty"` // of CSV
	Skip   bool     `json:"skip,omitempty"`   // in the middle of a line that is too long
	Part   uint32   `json:"part,omitempty"`   // the partition that its rows are of
}

// reader reads one file from its place on.
type reader struct {
	s      *Source
	at     place
	f      *os.File
	in     io.Reader // uncompressed, behind buf
	zipped bool
	buf    []byte // read and not yet decoded, from at.Offset on
	dec    format.Decoder
	rows   *batch.Builder
}

// open opens the file at at.Path and goes to at's place. If the file is not the one
// that at knows, it says so and begins at its start.
func (s *Source) open(at place) (*reader, error) {
	f, err := os.Open(at.Path)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, at: at, f: f, in: f, rows: batch.NewBuilder(s.enc.Types())}
	if err := r.begin(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read %q: %w", at.Path, err)
	}
	return r, nil
}

// begin looks at the head of the file and goes to the place to read on.
func (r *reader) begin() error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errors.New("it is a directory")
	}
	head := make([]byte, headBytes)
	n, err := r.f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:n]
	r.zipped = n >= 2 && head[0] == 0x1f && head[1] == 0x8b
	if r.at.Offset > 0 && (!bytes.HasPrefix(head, r.at.Head) || !r.zipped && info.Size() < r.at.Offset) {
		r.s.logf("file %q was replaced or cut: it has %d bytes and %d were read; it is read from its start", r.at.Path, info.Size(), r.at.Offset)
		r.at = place{Path: r.at.Path, Part: r.at.Part}
	}
	r.at.ID, r.at.Head = fileID(info), head
	r.buf = r.buf[:0]
	r.dec = r.s.enc.Decoder()
	if csv, ok := r.dec.(*format.CSV); ok && r.at.Header != nil {
		csv.SetHeader(r.at.Header)
	}
	if !r.zipped {
		r.in = r.f
		_, err := r.f.Seek(r.at.Offset, io.SeekStart)
		return err
	}
	if _, err := r.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(r.f, 1<<18))
	if err != nil {
		return err
	}
	r.in = z
	if k, err := io.CopyN(io.Discard, z, r.at.Offset); err != nil {
		return fmt.Errorf("uncompressed byte %d of %d: %w", k, r.at.Offset, err)
	}
	return nil
}

// changed reports whether a followed file was cut, or written anew in place.
func (r *reader) changed() (bool, error) {
	info, err := r.f.Stat()
	if err != nil {
		return false, err
	}
	if info.Size() < r.at.Offset+int64(len(r.buf)) {
		return true, nil
	}
	head := make([]byte, headBytes)
	n, err := r.f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	if !bytes.HasPrefix(head[:n], r.at.Head) {
		return true, nil
	}
	r.at.Head = head[:n]
	return false, nil
}

// read appends what there is to to, in blocks whose cursors are of cursor, and
// reports whether it got anything. If last, a record that the file ends in counts
// without a line end.
func (r *reader) read(ctx context.Context, to connector.Intake, last bool, cursor func() []byte) (progress bool, err error) {
	for eof := false; ; {
		if err := ctx.Err(); err != nil {
			return progress, err
		}
		if !eof {
			if eof, err = r.fill(); err != nil {
				return progress, fmt.Errorf("read %q at byte %d: %w", r.at.Path, r.at.Offset+int64(len(r.buf)), err)
			}
		}
		n, bad := r.decode(eof && last)
		r.take(n)
		if n > 0 {
			progress = true
		}
		if r.rows.Len() > 0 || len(bad) > 0 {
			if _, err := to.Append(ctx, connector.Block{Rows: r.rows.View(), Bad: bad, Cursor: cursor(), Partition: r.at.Part}); err != nil {
				return progress, err
			}
			r.rows.Reset()
		}
		if n == 0 && eof {
			return progress, nil
		}
	}
}

// fill reads on until there is a chunk, or more if no record ends in one.
func (r *reader) fill() (eof bool, err error) {
	want := chunkBytes
	if len(r.buf) >= want {
		want = len(r.buf) + chunkBytes
	}
	for len(r.buf) < want {
		if cap(r.buf) < want {
			r.buf = append(make([]byte, 0, want), r.buf...)
		}
		n, err := r.in.Read(r.buf[len(r.buf):want])
		r.buf = r.buf[:len(r.buf)+n]
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

var utf8Mark = []byte("\ufeff")

// decode turns the beginning of buf into rows and bad records, and returns its length.
func (r *reader) decode(last bool) (int, []connector.Bad) {
	var bad []connector.Bad
	skipped := 0
	if r.at.Offset == 0 && bytes.HasPrefix(r.buf, utf8Mark) {
		skipped = len(utf8Mark)
	}
	if r.at.Skip {
		nl := bytes.IndexByte(r.buf, '\n')
		if nl < 0 {
			return len(r.buf), nil
		}
		skipped, r.at.Skip = nl+1, false
	}
	n := r.dec.DecodePart(r.buf[skipped:], last, r.s.maxRows, r.rows, func(b format.Bad) { bad = append(bad, connector.BadOf(b)) })
	if rest := len(r.buf) - skipped; n == 0 && rest > format.MaxRecordBytes {
		n, r.at.Skip = rest, true
		reason := fmt.Sprintf("record is longer than %d bytes", format.MaxRecordBytes)
		bad = append(bad, connector.BadOf(format.Bad{Data: r.buf[skipped:], Reason: reason}))
	}
	if csv, ok := r.dec.(*format.CSV); ok {
		r.at.Header = csv.Header()
	}
	return skipped + n, bad
}

// take removes n bytes from buf.
func (r *reader) take(n int) {
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
	r.at.Offset += int64(n)
}
