// Package file is the connector for files of this node: sources that read CSV and
// NDJSON, plain or compressed with gzip, once or as they grow; and sinks that append.
package file

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
)

const (
	// minPoll and maxPoll bound how often a followed file is looked at; the wait doubles while nothing comes.
	minPoll = 10 * time.Millisecond
	maxPoll = time.Second
	// maxFollowed bounds the files that one source follows.
	maxFollowed = 256
	// chunkBytes is how much is read for one block.
	chunkBytes = 2 << 20
	// headBytes is how much of a file's beginning is remembered to know it again.
	headBytes = 256
	// minHead is how much of a followed file must be there to tell whether it is compressed.
	minHead = 2
	// rowBytes bounds the fixed part of a block's rows.
	rowBytes = 8 << 20
)

// System returns the connector.
func System() connector.System {
	return connector.System{
		Name:   "file",
		Source: func(cfg connector.Config) (any, error) { return NewSource(cfg) },
		Sink:   func(cfg connector.Config) (connector.Sink, error) { return NewSink(cfg) },
	}
}

// Source reads the files that match a path. A cursor names the file and the place
// in its uncompressed bytes, so every record is taken once.
type Source struct {
	cfg     connector.Config
	enc     *connector.Encoding
	path    string
	follow  bool
	maxPoll time.Duration
	maxRows int
	// parted makes each file a partition, with a watermark of its own.
	parted bool
}

// NewSource returns the source that cfg describes. Options: path, a file or a
// pattern; follow; poll_interval, the longest wait between looks at a followed
// file; format and the encoding's.
func NewSource(cfg connector.Config) (*Source, error) {
	o := connector.NewOptions("file source", cfg.Options)
	enc, err := connector.ReadEncoding(cfg, o, false)
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, enc: enc, path: o.Need("path"), follow: o.Bool("follow", false)}
	s.maxPoll = o.Duration("poll_interval", maxPoll, time.Millisecond, time.Hour)
	if _, err := filepath.Match(s.path, ""); err != nil {
		o.Bad("path", s.path, "a file or a pattern")
	}
	s.parted = cfg.Watermark && s.pattern()
	width := 24*len(cfg.Columns) + 1
	s.maxRows = max(1, min(batch.BlockRows, rowBytes/width))
	return s, o.Err()
}

// pattern reports whether the path may match several files.
func (s *Source) pattern() bool { return strings.ContainsAny(s.path, `*?[\`) }

// part returns the partition of the file at path.
func (s *Source) part(path string) uint32 {
	if !s.parted {
		return 0
	}
	return connector.PartitionOf(path)
}

func (s *Source) logf(msg string, args ...any) { logf(s.cfg, msg, args...) }

func logf(cfg connector.Config, msg string, args ...any) {
	if cfg.Logf != nil {
		cfg.Logf("source or sink %q: %s", cfg.Name, fmt.Sprintf(msg, args...))
	}
}
