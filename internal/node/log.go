package node

import (
	"context"
	"log/slog"
	"strings"
)

// logHandler writes records of slog as lines of Logf.
type logHandler struct {
	logf  func(format string, args ...any)
	attrs []slog.Attr
}

// Enabled implements slog.Handler: debug records are left out.
func (h logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		b.WriteString(" " + a.Key + "=" + a.Value.String())
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if r.Level >= slog.LevelWarn {
		h.logf("%s %s", strings.ToLower(r.Level.String()), b.String())
		return nil
	}
	h.logf("%s", b.String())
	return nil
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return logHandler{h.logf, append(append([]slog.Attr(nil), h.attrs...), as...)}
}

// WithGroup implements slog.Handler; groups are left out.
func (h logHandler) WithGroup(string) slog.Handler { return h }
