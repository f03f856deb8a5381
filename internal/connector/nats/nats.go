// Package nats is the connector for NATS clients of this node: sources that listen
// on a subject or read a JetStream stream, and sinks that publish.
package nats

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/types"
)

// System returns the connector.
func System() connector.System {
	return connector.System{
		Name:   "nats",
		Source: func(cfg connector.Config) (any, error) { return NewSource(cfg) },
		Sink:   func(cfg connector.Config) (connector.Sink, error) { return NewSink(cfg) },
	}
}

// NewSource returns the source that cfg describes. Options: subject, which may have
// wildcards, or stream with subject as a filter; partition_by = 'subject' to give each
// subject a watermark of its own; format and the encoding's.
func NewSource(cfg connector.Config) (connector.Runner, error) {
	o := connector.NewOptions("nats source", cfg.Options)
	enc, err := connector.ReadEncoding(cfg, o, true)
	if err != nil {
		return nil, err
	}
	if enc.CSV && !enc.Options.NoHeader {
		o.Failf("Messages carry no header: leave the option out.", "nats source: messages of CSV have no header")
	}
	stream := o.Str("stream", "")
	if o.Has("stream") && !validStream(stream) {
		o.Bad("stream", stream, "the name of a stream")
	}
	subject := o.Str("subject", "")
	switch {
	case stream != "" && !o.Has("subject"):
	case stream == "" && !o.Has("subject"):
		o.Failf("Such as subject = 'bids.>' or stream = 'BIDS'.", `nats source needs option "subject" or "stream"`)
	case !validPattern(subject):
		o.Bad("subject", subject, "a subject, whose words may be * and whose last may be >, and that begins with no $ or _INBOX")
	}
	bySubject := o.Word("partition_by", "", "subject") != ""
	if bySubject && !cfg.Watermark {
		o.Failf("Add WATERMARK FOR column AS expression to its columns.", "nats source: partition_by without a watermark")
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	p := packer{cfg: cfg, enc: enc, bySubject: bySubject}
	if stream != "" {
		return &streamSource{packer: p, stream: stream, filter: subject}, nil
	}
	return &subjectSource{packer: p, subject: subject}, nil
}

func validStream(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsAny(name, " \t\r\n.*>/\\\x00")
}

// reserved reports whether subject belongs to the server or to somebody's answers.
func reserved(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, "_INBOX.")
}

// validPattern reports whether subject may be listened to.
func validPattern(subject string) bool {
	words := strings.Split(subject, ".")
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\r\n\x00") || w == ">" && i != len(words)-1 ||
			len(w) > 1 && strings.ContainsAny(w, "*>") {
			return false
		}
	}
	return !strings.HasPrefix(subject, "$") && words[0] != "_INBOX"
}

// validSubject reports whether subject may be published to.
func validSubject(subject string) bool {
	return validPattern(subject) && !strings.ContainsAny(subject, "*>")
}

func logf(cfg connector.Config, msg string, args ...any) {
	if cfg.Logf != nil {
		cfg.Logf("source or sink %q: %s", cfg.Name, fmt.Sprintf(msg, args...))
	}
}

// tooLong is what is wrong with a message that no block could hold.
func tooLong(n int) string {
	return fmt.Sprintf("message of %d bytes is longer than %d", n, format.MaxRecordBytes)
}

var errNoFabric = &types.Error{Code: types.CodeInternal, Message: "nats: no server"}
