package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/types"
)

// optRetention says how long, or how many bytes, of a source's rows are kept.
const optRetention = "retention"

// Bounds of retention.
const (
	minRetention = time.Minute
	maxRetention = 100 * 366 * 24 * time.Hour
)

// retention says what is kept of a source's rows; zero: all.
type retention struct {
	age   time.Duration // of blocks by the time they came; 0: any
	bytes int64         // of the stream; 0: any number
}

// String is as CREATE SOURCE has it.
func (r retention) String() string {
	switch {
	case r.age > 0:
		return r.age.String()
	case r.bytes > 0:
		return fmt.Sprintf("%d bytes", r.bytes)
	}
	return "everything"
}

// byteUnits are the units of sizes, as PostgreSQL's settings have them.
var byteUnits = map[string]int64{"b": 1, "bytes": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}

// ParseBytes reads a size such as 10 GB: a whole number and B, kB, MB, GB or TB, of
// 1024 each. Without a unit it is in bytes.
func ParseBytes(text string) (int64, bool) {
	s := strings.ToLower(strings.TrimSpace(text))
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	unit := int64(1)
	if n >= 0 {
		u, ok := byteUnits[strings.TrimSpace(s[n:])]
		if !ok {
			return 0, false
		}
		s, unit = s[:n], u
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v > math.MaxInt64/unit {
		return 0, false
	}
	return v * unit, true
}

// retentionOf reads the option of a source.
func retentionOf(def *catalog.Relation) (retention, error) {
	text, ok := def.Option(optRetention)
	if !ok {
		return retention{}, nil
	}
	if b, is := ParseBytes(text); is {
		if _, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err != nil && b > 0 {
			return retention{bytes: b}, nil
		}
	} else {
		o := connector.NewOptions(def.Kind.String(), map[string]string{optRetention: text})
		if d := o.Duration(optRetention, 0, minRetention, maxRetention); o.Err() == nil {
			return retention{age: d}, nil
		}
	}
	return retention{}, &types.Error{Code: types.CodeInvalidParameter, Message: fmt.Sprintf("retention of %s is %q", def.Describe(), text),
		Detail: fmt.Sprintf("It is an interval of at least %v such as '7 days', or a size with its unit such as '10 GB'.", minRetention)}
}

// checkRetention refuses a retention where nothing could be removed.
func checkRetention(def *catalog.Relation, conn any) error {
	if _, ok := def.Option(optRetention); !ok {
		return nil
	}
	if _, is := conn.(connector.Replayable); is || def.Kind != catalog.Source {
		return &types.Error{Code: types.CodeFeature, Message: fmt.Sprintf("retention of %s is not supported", def.Describe()),
			Detail: "Only a source whose rows are in a log of their own has rows that may go by time or size."}
	}
	_, err := retentionOf(def)
	return err
}

// trimming is what is to be removed after a checkpoint.
type trimming struct {
	keep     []ckpt.Hash
	kept     []keptCheckpoint
	logBelow uint64 // 0: nothing of the log
	sources  []sourceTrim
}

// sourceTrim says what of a source's stream may go.
type sourceTrim struct {
	src   *source
	below uint64 // nothing from here on
	keep  retention
}

// tidy removes, in the background, what no kept checkpoint needs.
func (l *leader) tidy() {
	c := &l.ckpt
	if c.holds.Load() > 0 {
		return // the next one does it
	}
	t := l.trimming()
	c.untidy.Store(&t)
	if c.tidying.Swap(true) {
		return // who is at it does this too
	}
	l.e.spawn(func() {
		for c.tidyOne(l.e) {
		}
	})
}

// tidyOne removes what was asked for last and reports whether there may be more.
func (c *checkpoints) tidyOne(e *Engine) bool {
	// A hold that comes now waits until tidying is over; one that came before is seen here.
	if t := c.untidy.Swap(nil); t != nil && c.holds.Load() == 0 {
		if err := e.trim(e.ctx, *t); err != nil && e.ctx.Err() == nil {
			e.cfg.Logger.Warn("remove what is not needed any more", "pipeline", e.cfg.Name, "err", err)
		}
		return true
	}
	c.tidying.Store(false)
	return c.untidy.Load() != nil && !c.tidying.Swap(true)
}

// trimming says what may go now. With one checkpoint alone the log stays whole, since
// it is what there is if that checkpoint turns out damaged.
func (l *leader) trimming() trimming {
	t := trimming{kept: slices.Clone(l.ckpt.kept)}
	for _, k := range l.ckpt.kept {
		t.keep = append(t.keep, k.hash)
	}
	if len(l.ckpt.kept) < keptCheckpoints || !l.leading() {
		return t
	}
	needs := slices.Clone(l.ckpt.kept)
	oldest := needs[len(needs)-1]
	t.logBelow = oldest.logSeq + 1
	if floor := l.e.floor(); floor > 0 && floor < t.logBelow {
		// Others replay from there on. Where the sources were then is known of the checkpoints
		// made before.
		t.logBelow = floor
		i := sort.Search(len(l.ckpt.past), func(i int) bool { return l.ckpt.past[i].logSeq >= floor })
		if i == 0 {
			return t
		}
		oldest = l.ckpt.past[i-1]
		needs = append(needs, oldest)
	}
	for _, s := range l.e.sourceList() {
		def := l.cat.ByID(s.id)
		if def == nil || s.log == nil {
			continue
		}
		keep, err := retentionOf(def)
		if err != nil || keep == (retention{}) {
			continue
		}
		below := uint64(math.MaxUint64)
		for _, k := range needs {
			below = min(below, k.positions[s.id])
		}
		if below <= 1 || l.historyRead[s.id] > oldest.logSeq || l.e.readByBuild(s.id) {
			continue // a view is made of its rows, or a replay makes one again
		}
		t.sources = append(t.sources, sourceTrim{s, below, keep})
	}
	return t
}

// trim removes it: first what a start from the log's beginning would need, so that
// none is tried over sources that have lost theirs.
func (e *Engine) trim(ctx context.Context, t trimming) error {
	if _, err := e.store.Prune(t.keep...); err != nil {
		return err
	}
	if err := e.forgetRedo(t.kept); err != nil {
		return err
	}
	if t.logBelow <= 1 {
		return nil
	}
	failpoint.Hit(failpoint.TrimLog)
	if err := e.log.Trim(ctx, t.logBelow); err != nil {
		return err
	}
	failpoint.Hit(failpoint.TrimSource)
	first, _, err := e.log.Bounds(ctx)
	if err != nil || first <= 1 {
		return err
	}
	for _, s := range t.sources {
		if err := s.trim(ctx); err != nil {
			return fmt.Errorf("source %q: %w", s.src.def.Name, err)
		}
	}
	failpoint.Hit(failpoint.TrimDone)
	return nil
}

func (t sourceTrim) trim(ctx context.Context) error {
	first, _, err := t.src.log.Bounds(ctx)
	if err != nil || first >= t.below {
		return err
	}
	to := first
	if t.keep.age > 0 {
		to, err = t.olderThan(ctx, first, t.src.e.cfg.Clock().Add(-t.keep.age))
	} else {
		to, err = t.moreThan(ctx, first)
	}
	if err != nil || to <= first {
		return err
	}
	t.src.trims.Store(true) // before: whoever reads it then is not surprised
	return t.src.log.Trim(ctx, to)
}

// olderThan returns the position of the first block that came at cutoff or later, or
// below if there is none before it. Times are the log's, which do not go back.
func (t sourceTrim) olderThan(ctx context.Context, first uint64, cutoff time.Time) (uint64, error) {
	lo, hi := first, t.below
	for lo < hi {
		mid := lo + (hi-lo)/2
		old := false
		err := t.src.log.Read(ctx, mid, func(r fabric.Record) error {
			old = r.Time.Before(cutoff)
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return 0, err
		}
		if old {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// sizer is a log that knows what it takes on disk.
type sizer interface {
	SizeBytes(ctx context.Context) (uint64, error)
}

// moreThan returns the position of the first block that stays if the oldest go until
// no more than enough is left.
func (t sourceTrim) moreThan(ctx context.Context, first uint64) (uint64, error) {
	log, ok := t.src.log.(sizer)
	if !ok {
		return first, nil
	}
	size, err := log.SizeBytes(ctx)
	if err != nil || int64(size) <= t.keep.bytes {
		return first, err
	}
	over, to := int64(size)-t.keep.bytes, first
	err = t.src.log.Read(ctx, first, func(r fabric.Record) error {
		if over <= 0 || r.Seq >= t.below {
			return errEnough
		}
		over -= int64(len(r.Data))
		to = r.Seq + 1
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return to, err
}
