package sim

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/internal/ckpt/diskmodel"
)

// node is a machine: a disk that outlives processes. One process at a time has it.
type node struct {
	disk   *diskmodel.Disk
	user   *proc
	hurt   bool // a bit was turned over
	damage int  // how often a process has met a bit that was turned over
	failed int  // how often no process could open the pipeline here
}

// take gives p a machine that nobody uses, false if there is none.
func (w *World) take(p *proc) bool {
	var free []*node
	for _, n := range w.nodes {
		if n.user == nil {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return false
	}
	n := free[w.IntN(len(free))]
	n.user, p.node = p, n
	n.disk.SetHook(func(op diskmodel.Op) error { return w.diskOp(p, op) })
	return true
}

// leave gives a machine back when its process is no more. Now and then the power fails
// too, and what was not synced is lost or torn; now and then a bit turns over.
func (w *World) leave(p *proc) {
	n := p.node
	if n == nil {
		return
	}
	p.node, n.user = nil, nil
	n.disk.SetHook(nil)
	if !p.ended && w.IntN(2) == 0 {
		n.disk = n.disk.Crash()
		w.sometimes("power failed")
	}
	if w.store.in(w.store.faults.flipped) {
		w.flip(n)
	}
}

// flip turns a bit of some file over.
func (w *World) flip(n *node) {
	var names []string
	var sizes []int64
	for _, f := range n.disk.Files() {
		if f.SizeBytes > 0 && !strings.HasPrefix(f.Name, "scratch") {
			names, sizes = append(names, f.Name), append(sizes, f.SizeBytes)
		}
	}
	if len(names) == 0 {
		return
	}
	i := w.IntN(len(names))
	if err := n.disk.Flip(names[i], int64(w.IntN(int(sizes[i]*8)))); err != nil {
		w.fail("flip a bit of %s: %v", names[i], err)
	}
	n.hurt = true
	kind, _, _ := strings.Cut(names[i], "/")
	w.sometimes("bit flipped in " + kind)
	w.note("a bit of %s", names[i])
}

var errIO = errors.New("input/output error")

// diskOp is asked before each operation of p's disk.
func (w *World) diskOp(p *proc, op diskmodel.Op) error {
	if p.dead {
		return diskmodel.ErrCrashed
	}
	if !op.Changes() || w.running == nil || w.running.proc != p {
		return nil
	}
	if yields(op) && w.pause(p) != nil {
		return diskmodel.ErrCrashed
	}
	f := &w.store.faults
	switch {
	case w.store.in(f.crashDisk):
		w.crash(p, "at a "+string(op.Kind)+" of the disk")
		return diskmodel.ErrCrashed
	case w.store.in(f.diskIO):
		p.faulty = true
		w.sometimes("error of the disk")
		return errIO
	case op.Kind == diskmodel.OpWrite && w.store.full:
		p.faulty = true
		w.sometimes("no space for a file")
		return syscall.ENOSPC
	}
	return nil
}

// yields reports whether others run while an operation is under way. They do not where
// the store holds a lock that they may want.
func yields(op diskmodel.Op) bool {
	switch op.Kind {
	case diskmodel.OpWrite, diskmodel.OpSync, diskmodel.OpCreate:
		return strings.HasPrefix(op.Name, "packs/")
	}
	return false
}

// watch is a log handler that counts what the engine tells of itself.
type watch struct {
	w *World
	p *proc
}

// rare are the messages of the engine that tell of rare paths.
var rare = map[string]string{
	"a checkpoint cannot be used":                                          "fallback to an older checkpoint",
	"an older checkpoint cannot be used":                                   "older checkpoint damaged",
	"no checkpoint can be used: everything is computed from the log again": "fallback to the log",
	"checkpoint": "checkpoint logged",
}

// Enabled implements slog.Handler.
func (h watch) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h watch) Handle(_ context.Context, r slog.Record) error {
	if h.p.dead {
		return nil
	}
	if what := rare[r.Message]; what != "" && (r.Message != "checkpoint" || r.Level == slog.LevelInfo) {
		h.w.sometimes(what)
	}
	if h.w.opt.Trace && r.Level >= slog.LevelWarn {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		h.w.note("%s logs: %s", h.p.name, text)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h watch) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h watch) WithGroup(string) slog.Handler { return h }
