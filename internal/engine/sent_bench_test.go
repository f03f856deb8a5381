package engine

import (
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/wire"
)

// BenchmarkSourceSave freezes a source that remembers as much as it may.
func BenchmarkSourceSave(b *testing.B) {
	s := &source{def: &catalog.Relation{Name: "s"}, sent: newSentBook()}
	for i := range uint64(connector.MaxKeys) {
		s.sent.add(i, []wire.Sent{{Key: fmt.Sprintf("8e03978e-40d5-43dd-bc93-%012d", i), Digest: i, Rows: 1}})
	}
	for i := range uint64(connector.MaxProducers) {
		s.sent.add(connector.MaxKeys+i, []wire.Sent{{Producer: fmt.Sprintf("8e03978e-40d5-43dd-bc93-%012d", i), Sequence: i, Digest: i, Rows: 1}})
	}
	s.done.seq = 1 << 40
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = len(s.save().Known)
	}
	b.ReportMetric(float64(n), "pieces")
}
