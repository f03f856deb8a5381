package nexmark

import (
	"math"
	"testing"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

func TestComesIsTheInverseOfAvailable(t *testing.T) {
	for _, opts := range []map[string]string{
		{"nexmark.table.type": "bid", "nexmark.event.num": "10000", "nexmark.min.event.gap.in.ns": "100000"},
		{"nexmark.table.type": "person", "nexmark.event.num": "10000", "nexmark.min.event.gap.in.ns": "333"},
		{"nexmark.table.type": "bid", "nexmark.event.num": "1000"},
	} {
		s, err := New(connector.Config{Name: "n", Options: opts, Columns: []connector.Column{{Name: "date_time", Type: types.T(types.Timestamp)}}})
		if err != nil {
			t.Fatal(err)
		}
		const start = 1_000_000
		for pos := range s.Rows() {
			at := s.Comes(start, pos)
			if s.Available(start, at) <= pos || s.Available(start, at-1) > pos {
				t.Fatalf("%v: row %d comes at %d, when %d are there, and %d just before", opts, pos, at-start, s.Available(start, at), s.Available(start, at-1))
			}
		}
		if s.Comes(start, s.Rows()) != math.MaxInt64 {
			t.Error("a row that never comes")
		}
	}
}
