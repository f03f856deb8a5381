package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// maxLineBytes bounds one record of a sink's file when it is read again.
const maxLineBytes = 64 << 20

// tornBytes is how much of a damaged record is looked at: more than a page of any file system.
const tornBytes = 128 << 10

// writeBytes is how much is written at once.
const writeBytes = 1 << 20

// Sink appends the changes of a view to a file, each with its step and its place in
// the step, so that a run finds where the one before it ended. A
// record that was not completed is cut away. The file belongs to the sink alone.
type Sink struct {
	cfg      connector.Config
	path     string
	csv      bool
	envelope *connector.Envelope
}

// NewSink returns the sink that cfg describes. Options: path, format ('json' or 'csv'),
// envelope and key.
func NewSink(cfg connector.Config) (*Sink, error) {
	o := connector.NewOptions("file sink", cfg.Options)
	s := &Sink{cfg: cfg, path: o.Need("path")}
	word := strings.ToLower(cfg.Encode)
	switch {
	case cfg.Format != "" && cfg.Format != "PLAIN" || word != "" && word != "json" && word != "csv":
		o.Failf("", "file sink has no FORMAT %s ENCODE %s", cfg.Format, cfg.Encode)
	case word == "":
		word = "json"
	}
	if got := o.Word("format", word, "json", "csv"); cfg.Encode != "" && got != word {
		o.Bad("format", got, word+", as ENCODE says")
	} else {
		s.csv = got == "csv"
	}
	for name := range cfg.Encoded {
		o.Failf("", "unknown option %q of ENCODE %s", name, cfg.Encode)
	}
	if strings.ContainsAny(s.path, "*?") {
		o.Bad("path", s.path, "a file")
	}
	var err error
	if s.envelope, err = connector.ReadEnvelope(cfg, o); err != nil {
		return nil, err
	}
	if s.csv && s.envelope.Debezium() {
		return nil, &types.Error{Code: types.CodeFeature, Message: "the envelope debezium has no form in CSV", Hint: "Use JSON."}
	}
	return s, nil
}

// tail is the last record of the file.
type tail struct {
	found bool
	step  uint64
	index int
	end   int64 // where it ends
	// damaged says that what stands behind it is not merely a record not completed.
	damaged bool
}

// follows reports whether a record (step, index) may stand behind t.
func (t tail) follows(step uint64, index int) bool {
	return !t.found || step > t.step && index == 0 || step == t.step && index == t.index+1
}

// Run implements connector.Sink.
func (s *Sink) Run(ctx context.Context, from connector.Outlet) error {
	err := s.run(ctx, from)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sink %q, file %q: %w", s.cfg.Name, s.path, err)
	}
	return nil
}

func (s *Sink) run(ctx context.Context, from connector.Outlet) error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := s.recover(f, from.Position())
	if err != nil {
		return err
	}
	after := from.Position()
	if t.found && t.step > after {
		s.logf("the file has changes up to step %d already, %d was reported", t.step, after)
		after = t.step - 1
	}
	if t.found && t.step < after {
		s.logf("the file ends with step %d, changes up to step %d were delivered to it: some are gone from it", t.step, after)
	}
	for {
		step, b, err := from.Next(ctx, after)
		if err != nil {
			return err
		}
		if err := s.write(f, &t, step, b); err != nil {
			return err
		}
		if err := from.Done(ctx, step); err != nil {
			return err
		}
		after = step
	}
}

func (s *Sink) logf(msg string, args ...any) { logf(s.cfg, msg, args...) }

// write appends the changes of a step that are not in the file, and syncs it.
func (s *Sink) write(f *os.File, t *tail, step uint64, b *batch.Batch) error {
	var buf []byte
	flush := func() error {
		n, err := f.Write(buf)
		t.end += int64(n)
		buf = buf[:0]
		return err
	}
	err := s.envelope.Each(b, func(k int, r connector.Record) error {
		if t.found && (step < t.step || step == t.step && k <= t.index) {
			return nil
		}
		if s.csv {
			buf = s.envelope.AppendCSV(buf, b, r, step, k)
		} else {
			buf = append(s.envelope.AppendJSON(buf, b, r, step, k), '\n')
		}
		t.found, t.step, t.index = true, step, k
		if len(buf) >= writeBytes {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return f.Sync()
}

func (s *Sink) header() []byte {
	h := []byte(strings.Join(s.envelope.Members(), ","))
	for _, n := range s.envelope.Names() {
		h = format.AppendCSVField(append(h, ','), []byte(n), ',', '"', '"', false)
	}
	return append(h, '\n')
}

// recover finds the last complete record, cuts off what is behind it, and leaves f
// there. It refuses a file that another program wrote, and to cut off what was
// reported as delivered up to step done.
func (s *Sink) recover(f *os.File, done uint64) (tail, error) {
	info, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	var t tail
	if s.csv {
		if t, err = s.scanCSV(f, info.Size()); err != nil {
			return t, err
		}
	} else if t, err = s.scanJSON(f, info.Size(), done); err != nil {
		return t, err
	}
	if t.end < info.Size() {
		if t.damaged && t.step <= done && !s.torn(f, t.end, done) {
			return t, fmt.Errorf("byte %d: %w", t.end, errForeign)
		}
		s.logf("%d bytes of a record that was not completed are cut off the file", info.Size()-t.end)
		if err := f.Truncate(t.end); err != nil {
			return t, err
		}
	}
	if _, err := f.Seek(t.end, io.SeekStart); err != nil {
		return t, err
	}
	if s.csv && t.end == 0 {
		n, err := f.Write(s.header())
		if t.end = int64(n); err != nil {
			return t, err
		}
	}
	if err := f.Sync(); err != nil {
		return t, err
	}
	return t, syncDir(filepath.Dir(s.path))
}

// torn reports whether what stands at off is what a power cut leaves of records of
// steps after done, which were not synced: pages that were never written read as
// zeros, and others may be whole.
func (s *Sink) torn(f *os.File, off int64, done uint64) bool {
	b := make([]byte, tornBytes)
	n, _ := f.ReadAt(b, off)
	line, _, _ := bytes.Cut(b[:n], []byte{'\n'})
	if bytes.IndexByte(line, 0) >= 0 {
		return true
	}
	if !s.csv {
		line = bytes.TrimPrefix(line, []byte(`{"`+connector.StepName+`":`))
	}
	digits, _, ok := bytes.Cut(line, []byte{','})
	step, err := strconv.ParseUint(string(digits), 10, 64)
	return ok && err == nil && step > done
}

var errForeign = errors.New("it holds something that this sink did not write; name another file")

// scanner hands out the pieces of f that end in a line end.
type scanner struct {
	f    *os.File
	size int64
	off  int64 // of buf
	buf  []byte
}

// more reads on. It reports whether it got anything.
func (c *scanner) more() (bool, error) {
	if len(c.buf) > maxLineBytes {
		return false, errForeign
	}
	want := min(int64(max(writeBytes, len(c.buf))), c.size-c.off-int64(len(c.buf)))
	if want <= 0 {
		return false, nil
	}
	at := len(c.buf)
	c.buf = append(c.buf, make([]byte, want)...)
	n, err := c.f.ReadAt(c.buf[at:], c.off+int64(at))
	c.buf = c.buf[:at+n]
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n > 0, err
}

func (c *scanner) take(n int) {
	c.buf = c.buf[n:]
	c.off += int64(n)
}

// scanJSON finds the last record. It begins near the end, but in a step that was
// reported as delivered: that it is whole, and everything before it, is certain,
// because each step is synced before it is reported.
func (s *Sink) scanJSON(f *os.File, size int64, done uint64) (tail, error) {
	var t tail
	if size == 0 {
		return t, nil
	}
	c := &scanner{f: f, size: size}
	for back := int64(writeBytes); ; back *= 4 {
		c.off, c.buf = max(0, size-back), nil
		t = tail{end: c.off}
		if c.off > 0 { // a line may begin before
			c.off--
		}
		aligned := c.off == 0
		certain := aligned
		for {
			nl := bytes.IndexByte(c.buf, '\n')
			if nl < 0 {
				if got, err := c.more(); err != nil {
					return t, err
				} else if !got {
					break
				}
				continue
			}
			line := c.buf[:nl]
			c.take(nl + 1)
			if !aligned {
				aligned, t.end = true, c.off
				continue
			}
			step, index, ok := jsonPosition(line)
			if !ok || !t.follows(step, index) {
				t.damaged = true
				break
			}
			t = tail{found: true, step: step, index: index, end: c.off}
			if certain = certain || step <= done; !certain {
				break
			}
		}
		if t.found && certain {
			return t, nil
		}
		if size <= back {
			if first := firstBytes(f); len(first) > 0 && !strings.HasPrefix(`{"`+connector.StepName+`":`, first[:min(len(first), len(connector.StepName)+5)]) {
				return t, errForeign
			}
			return tail{}, nil
		}
	}
}

func firstBytes(f *os.File) string {
	b := make([]byte, 64)
	n, _ := f.ReadAt(b, 0)
	return string(b[:n])
}

// jsonPosition reads the position out of a line.
func jsonPosition(line []byte) (step uint64, index int, ok bool) {
	if !bytes.HasPrefix(line, []byte(`{"`+connector.StepName+`":`)) || !json.Valid(line) {
		return 0, 0, false
	}
	var pos struct {
		Step  *uint64 `json:"_step"`
		Index *int    `json:"_index"`
	}
	if json.Unmarshal(line, &pos) != nil || pos.Step == nil || pos.Index == nil {
		return 0, 0, false
	}
	return *pos.Step, *pos.Index, true
}

// scanCSV finds the last record by reading the whole file, because only from the
// start can one tell which line ends are inside a field.
func (s *Sink) scanCSV(f *os.File, size int64) (tail, error) {
	t := tail{}
	header := s.header()
	c := &scanner{f: f, size: size}
	if size == 0 {
		return t, nil
	}
	first := make([]byte, min(size, int64(len(header))))
	if _, err := f.ReadAt(first, 0); err != nil && err != io.EOF {
		return t, err
	}
	if !bytes.HasPrefix(header, first) {
		return t, errForeign
	}
	if len(first) < len(header) {
		return t, nil // the header itself was not completed
	}
	c.off = int64(len(header))
	t.end = c.off
	for {
		n := recordEnd(c.buf)
		if n == 0 {
			if got, err := c.more(); err != nil {
				return t, err
			} else if !got {
				return t, nil
			}
			continue
		}
		step, index, ok := csvPosition(c.buf[:n])
		if t.damaged = !ok || !t.follows(step, index); t.damaged {
			return t, nil
		}
		c.take(n)
		t = tail{found: true, step: step, index: index, end: c.off}
	}
}

// recordEnd returns the length of the CSV record that b begins with, 0 if it is not complete.
func recordEnd(b []byte) int {
	quoted := false
	for i, ch := range b {
		switch {
		case ch == '"':
			quoted = !quoted
		case ch == '\n' && !quoted:
			return i + 1
		}
	}
	return 0
}

// csvPosition reads the position out of a record.
func csvPosition(rec []byte) (step uint64, index int, ok bool) {
	a, rest, ok1 := bytes.Cut(rec, []byte(","))
	b, _, ok2 := bytes.Cut(rest, []byte(","))
	if bytes.IndexByte(rec, 0) >= 0 { // no text has one: it was not written
		return 0, 0, false
	}
	step, err1 := strconv.ParseUint(string(a), 10, 64)
	index, err2 := strconv.Atoi(string(b))
	return step, index, ok1 && ok2 && err1 == nil && err2 == nil
}

// syncDir makes the name of a new file durable, where directories can be synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}
