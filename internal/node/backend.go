package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"strings"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/httpapi"
)

const _ = uint(connector.MaxKeyBytes - httpapi.MaxNameBytes)

// backend is the engine as the HTTP API needs it.
type backend struct{ *pipeline }

// Ingest implements httpapi.Backend.
func (b backend) Ingest(ctx context.Context, source string, body []byte, name httpapi.RequestName) (httpapi.Ingested, error) {
	d := engine.Delivery{Name: source, Body: body}
	if schema, rel, qualified := strings.Cut(source, "."); qualified {
		d.Schema, d.Name = schema, rel
	}
	if name != (httpapi.RequestName{}) {
		sum := sha256.Sum256(body)
		d.Sent = &connector.Sent{Key: name.Key, Producer: name.Producer, Sequence: name.Sequence, Digest: binary.LittleEndian.Uint64(sum[:])}
	}
	e := b.running()
	if e == nil {
		return httpapi.Ingested{}, b.starting().clientError()
	}
	r, err := e.Receive(ctx, d)
	return httpapi.Ingested{Accepted: int64(r.Rows), Quarantined: int64(r.Bad), Position: r.Position, Duplicate: r.Duplicate, Forgotten: r.Forgotten}, err
}

// fabricLog passes the broker's messages on.
type fabricLog struct{ logf func(string, ...any) }

// Log implements fabric.Logger. What the broker says about itself at the info level
// is of no use to whoever runs a node.
func (l fabricLog) Log(level slog.Level, msg string) {
	if strings.HasPrefix(msg, "TLS certificate chain and hostname of solicited routes will not be verified") {
		return // they are: by the callbacks of security.Certs.Peer, which the broker does not look at
	}
	if level >= slog.LevelWarn {
		l.logf("%s nats: %s", strings.ToLower(level.String()), msg)
	}
}
