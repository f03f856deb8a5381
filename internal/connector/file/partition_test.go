package file

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/connector/conntest"
)

// noted is an intake that writes down what blocks say of partitions, by the names of
// their files.
func noted(dir string, names ...string) (*conntest.Intake, func() string) {
	by := map[uint32]string{0: "-"}
	for _, n := range names {
		by[connector.PartitionOf(filepath.Join(dir, n))] = n
	}
	var said []string
	list := func(ids []uint32) string {
		var out []string
		for _, id := range ids {
			out = append(out, by[id])
		}
		slices.Sort(out)
		return strings.Join(out, ",")
	}
	in := &conntest.Intake{Before: func(b connector.Block) error {
		switch {
		case b.Opened != nil:
			said = append(said, "open "+list(b.Opened))
		case b.Ended != nil:
			said = append(said, "end "+list(b.Ended))
		default:
			said = append(said, fmt.Sprintf("%s:%d", by[b.Partition], b.Rows.Len()))
		}
		return nil
	}}
	return in, func() string { return strings.Join(said, "; ") }
}

func TestFilesArePartitions(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.json"), `{"a":1}`+"\n"+`{"a":2}`)
	write(t, filepath.Join(dir, "b.json"), `{"a":3}`)
	cfg := config(&logs{}, map[string]string{"path": filepath.Join(dir, "*.json")})
	cfg.Watermark = true
	in, said := noted(dir, "a.json", "b.json", "c.json")
	for range 2 { // nothing is said twice
		if err := source(t, cfg).Run(limit(t), in); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := said(), "open a.json,b.json; a.json:2; end a.json; b.json:1; end b.json"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	write(t, filepath.Join(dir, "c.json"), `{"a":4}`)
	if err := source(t, cfg).Run(limit(t), in); err != nil {
		t.Fatal(err)
	}
	if got, want := said(), "; open c.json; c.json:1; end c.json"; !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant ...%s", got, want)
	}

	// One file, or no watermark: there is one partition.
	for _, alone := range []bool{true, false} {
		cfg := config(&logs{}, map[string]string{"path": filepath.Join(dir, "*.json")})
		if cfg.Watermark = alone; alone {
			cfg.Options["path"] = filepath.Join(dir, "a.json")
		}
		in, said := noted(dir, "a.json", "b.json", "c.json")
		if err := source(t, cfg).Run(limit(t), in); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said(), "open") || !strings.HasPrefix(said(), "-:2") {
			t.Errorf("one partition: %s", said())
		}
	}
}

func TestFollowedFilesArePartitions(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.log"), `{"a":1}`+"\n")
	write(t, filepath.Join(dir, "b.log"), `{"a":2}`+"\n")
	cfg := config(&logs{}, map[string]string{"path": filepath.Join(dir, "*.log"), "follow": "true", "poll_interval": "5ms"})
	cfg.Watermark = true
	in, said := noted(dir, "a.log", "b.log", "c.log")
	follow := func() func() error {
		return start(limit(t), func(ctx context.Context) error { return source(t, cfg).Run(ctx, in) })
	}
	stop := follow()
	if err := in.Wait(2); err != nil {
		t.Fatal(err)
	}
	add(t, filepath.Join(dir, "a.log"), `{"a":3}`+"\n")
	if err := in.Wait(3); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c.log"), `{"a":4}`+"\n")
	if err := in.Wait(4); err != nil {
		t.Fatal(err)
	}
	stop()
	if got, want := said(), "open a.log,b.log; a.log:1; b.log:1; a.log:1; open c.log; c.log:1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	stop = follow() // it goes on in the same partitions
	add(t, filepath.Join(dir, "b.log"), `{"a":5}`+"\n")
	if err := in.Wait(5); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := said(); !strings.HasSuffix(got, "c.log:1; b.log:1") {
		t.Errorf("after a restart: %s", got)
	}
}
