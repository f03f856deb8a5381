package node

import (
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/datagen"
	"github.com/tidemill/tidemill/internal/connector/file"
	"github.com/tidemill/tidemill/internal/connector/http"
	"github.com/tidemill/tidemill/internal/connector/nats"
	"github.com/tidemill/tidemill/internal/connector/nexmark"
)

// connectors is what every node knows.
func connectors() *connector.Registry {
	return connector.NewRegistry(datagen.System(), file.System(), http.System(), nats.System(), nexmark.System())
}
