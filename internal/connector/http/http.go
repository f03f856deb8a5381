// Package http is the connector for sources that are fed by requests to this node.
// The server itself is elsewhere; here bodies become blocks.
package http

import (
	"bytes"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// System returns the connector.
func System() connector.System {
	return connector.System{Name: "http", Source: func(cfg connector.Config) (any, error) { return New(cfg) }}
}

// Source decodes bodies: NDJSON or a JSON array, or CSV with a header. It never
// changes, so it is safe for concurrent use.
type Source struct {
	name string
	enc  *connector.Encoding
}

var _ connector.Receiver = (*Source)(nil)

// New returns the source that cfg describes. Options: format ('json' or 'csv', if
// ENCODE does not say so), and those of the encoding.
func New(cfg connector.Config) (*Source, error) {
	o := connector.NewOptions("http source", cfg.Options)
	enc, err := connector.ReadEncoding(cfg, o, false)
	if err == nil {
		err = o.Err()
	}
	if err != nil {
		return nil, err
	}
	return &Source{name: cfg.Name, enc: enc}, nil
}

var utf8Mark = []byte("\ufeff")

// Decode implements connector.Receiver. A body without a record is an error.
func (s *Source) Decode(body []byte) (connector.Block, error) {
	body = bytes.TrimPrefix(body, utf8Mark)
	if len(bytes.TrimSpace(body)) == 0 {
		return connector.Block{}, &types.Error{Code: types.CodeInvalidText, Message: "empty body for source \"" + s.name + "\"",
			Hint: "Send one JSON object a line, an array of objects, or what ENCODE of the source says."}
	}
	var block connector.Block
	bu := batch.NewBuilder(s.enc.Types())
	s.enc.Decoder().Decode(body, bu, func(b format.Bad) { block.Bad = append(block.Bad, connector.BadOf(b)) })
	block.Rows = bu.Seal()
	return block, nil
}
