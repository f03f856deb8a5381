package fabric

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// DefaultReserveBytes is what is kept free on the disk for work under way.
	DefaultReserveBytes = 256 << 20
	// spaceInterval is how often the disk is looked at without being asked.
	spaceInterval = time.Second
	// spaceFresh is how long an answer of the file system is believed.
	spaceFresh = 50 * time.Millisecond
	// minRestartBytes must be free before storing is switched on again.
	minRestartBytes = 16 << 20
	// unboundedStore is the server's own limit where we set none: the disk is the limit,
	// and it is watched. The server's choice would depend on what is free at the start.
	unboundedStore = 1 << 62
)

// NoSpaceError says that the disk is full, or nearly so.
type NoSpaceError struct {
	Dir          string
	FreeBytes    int64
	ReserveBytes int64
	// Stopped says that a write met the full disk, so that nothing is stored until there
	// is room and the store has been opened anew.
	Stopped bool
}

func (e *NoSpaceError) Error() string {
	if e.Stopped {
		return fmt.Sprintf("%v: a write met the full disk of %s, which has %d bytes free", ErrNoSpace, e.Dir, e.FreeBytes)
	}
	return fmt.Sprintf("%v: %s has %d bytes free, %d are kept in reserve", ErrNoSpace, e.Dir, e.FreeBytes, e.ReserveBytes)
}

// Is reports whether target is ErrNoSpace.
func (e *NoSpaceError) Is(target error) bool { return target == ErrNoSpace }

// space watches the room on the disk.
type space struct {
	dir     string
	reserve int64 // below it there is no room; 0: nothing is kept
	free    func(dir string) (int64, error)
	broken  atomic.Bool // a write met a full disk
	opening atomic.Bool // the store is being opened again

	mu    sync.Mutex
	at    time.Time // of bytes
	bytes int64
	full  bool
	warn  bool // it was said that the file system does not tell
}

func newSpace(cfg Config) *space {
	s := &space{dir: cfg.Dir, reserve: cfg.ReserveBytes, free: cfg.FreeBytes}
	switch {
	case s.reserve == 0:
		s.reserve = DefaultReserveBytes
	case s.reserve < 0:
		s.reserve = 0
	}
	if s.free == nil {
		s.free = freeBytes
	}
	return s
}

// enough is how much must be free before a full disk is one with room again, so that
// it does not change with every record.
func (s *space) enough() int64 { return s.reserve + s.reserve/16 }

// look asks the file system, unless it did just now. It reports what is free, whether
// that is too little, and an error if the file system does not tell, once.
func (s *space) look(fresh time.Duration) (bytes int64, full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < fresh {
		return s.bytes, s.full, nil
	}
	n, err := s.free(s.dir)
	s.at = time.Now()
	if err != nil {
		s.full = false
		if s.warn {
			err = nil
		}
		s.warn = true
		return s.bytes, false, err
	}
	s.bytes = n
	switch {
	case n < s.reserve:
		s.full = true
	case n >= s.enough():
		s.full = false
	}
	return n, s.full, nil
}

// Room returns nil while there is room on the disk to store more, else a *NoSpaceError.
// It is to be asked before work is taken on: what is under way may use the reserve. It
// is cheap. When the disk has room again, also after a write failed for want of it, it
// returns nil again by itself.
func (f *Fabric) Room() error {
	bytes, full, _ := f.space.look(spaceFresh)
	if stopped := f.storeStopped(); full || stopped {
		return &NoSpaceError{Dir: f.dir, FreeBytes: bytes, ReserveBytes: f.space.reserve, Stopped: stopped}
	}
	return nil
}

// Space returns the bytes that are free on the disk and those that are kept in
// reserve, as they were seen at most a second ago.
func (f *Fabric) Space() (freeBytes, reserveBytes int64) {
	bytes, _, _ := f.space.look(spaceInterval)
	return bytes, f.space.reserve
}

// storeStopped reports whether the server does not store until it is told to again.
func (f *Fabric) storeStopped() bool {
	return f.space.broken.Load() || f.space.opening.Load() || !f.closing.Load() && !f.server().JetStreamEnabled()
}

// watchSpace tells when the room on the disk comes to an end and when there is some
// again, and then switches storing on if the server has switched it off.
func (f *Fabric) watchSpace() {
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	was := false
	for {
		select {
		case <-tick.C:
		case <-f.closed:
			return
		}
		bytes, full, err := f.space.look(0)
		if err != nil {
			f.log(slog.LevelWarn, fmt.Sprintf("it is not known how much is free on the disk of %s: %v", f.dir, err))
		}
		if full != was {
			was = full
			if full {
				f.log(slog.LevelError, fmt.Sprintf("%s has %d bytes free, below the reserve of %d: writes are refused", f.dir, bytes, f.space.reserve))
			} else {
				f.log(slog.LevelWarn, fmt.Sprintf("%s has %d bytes free: writes are taken again", f.dir, bytes))
			}
		}
		if f.storeStopped() && !full && (err != nil || bytes >= minRestartBytes) {
			if err := f.restartStore(); err != nil {
				f.log(slog.LevelError, "open the store again: "+err.Error())
			} else {
				f.log(slog.LevelWarn, "the store is open again")
			}
		}
	}
}

// restartStore closes the server's store, if it is open, and opens it as it is on
// disk: a stream that met an error takes no more writes before that. What was
// acknowledged is there; a record that was under way is or is not.
func (f *Fabric) restartStore() error {
	if f.cluster != nil {
		f.reopening.Lock()
		defer f.reopening.Unlock()
		if !f.storeStopped() {
			return nil // a copy was being repaired
		}
		return f.restartServer(nil)
	}
	f.space.opening.Store(true) // the server says that it stores before it has read its streams
	defer f.space.opening.Store(false)
	if err := f.server().ShutdownJetStream(); err != nil {
		return err
	}
	f.space.broken.Store(false) // a write that fails from here on is a new failure
	cfg := f.store
	if err := f.server().EnableJetStream(&cfg); err != nil {
		return err
	}
	for _, c := range f.openCursors() {
		c.breakOff() // the server has forgotten it
	}
	return f.checkSync()
}

// storeConfig is that of the running store, to open it again.
func (f *Fabric) storeConfig() server.JetStreamConfig {
	cfg := *f.server().JetStreamConfig()
	cfg.StoreDir = f.dir // to which the server adds a directory of its own
	return cfg
}
