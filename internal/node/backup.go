package node

import (
	"context"
	"io"

	"github.com/tidemill/tidemill/internal/backup"
)

// backup writes a backup of the pipeline; see backup.Write.
func (n *Node) backup(ctx context.Context, have map[string]int64, w io.Writer) error {
	e := n.pipeline.running()
	if e == nil {
		return n.pipeline.starting().clientError()
	}
	held, err := e.Hold(ctx)
	if err != nil {
		return err
	}
	defer held.Release()
	h := &backup.Held{Pipeline: Database, Engine: n.cfg.Version, Step: held.Step, Files: held.Files, Manifest: held.Manifest, Hash: held.Hash}
	for _, l := range held.Logs {
		h.Logs = append(h.Logs, backup.HeldLog{Name: l.Name, First: l.First, Last: l.Last, Read: l.Read})
	}
	return backup.Write(ctx, h, have, w)
}
