package node

import (
	"context"
	"log/slog"
	"strings"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/httpapi"
)

// backend is the engine as the HTTP API needs it.
type backend struct{ *engine.Engine }

// Ready implements httpapi.Backend.
func (b backend) Ready() error { return b.Err() }

// Ingest implements httpapi.Backend.
func (b backend) Ingest(ctx context.Context, source string, body []byte) (httpapi.Ingested, error) {
	schema, name, qualified := strings.Cut(source, ".")
	if !qualified {
		schema, name = "", source
	}
	rows, bad, position, err := b.Receive(ctx, schema, name, body)
	return httpapi.Ingested{Accepted: int64(rows), Quarantined: int64(bad), Position: position}, err
}

// fabricLog passes the broker's messages on.
type fabricLog struct{ logf func(string, ...any) }

// Log implements fabric.Logger. What the broker says about itself at the info level
// is of no use to whoever runs a node.
func (l fabricLog) Log(level slog.Level, msg string) {
	if level >= slog.LevelWarn {
		l.logf("%s nats: %s", strings.ToLower(level.String()), msg)
	}
}
