package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tidemill/tidemill/internal/coord"
	"github.com/tidemill/tidemill/internal/types"
)

// replanWait bounds how long a statement on a standby waits for what it names to be there.
const replanWait = 2 * time.Second

// replan plans a statement, on a standby a second time if it names what this node has not
// heard of: another client may just have made it on another node.
func (s *Session) replan(ctx context.Context, plan func() error) error {
	err := plan()
	if !undefined(err) || s.e.cfg.Leader == nil || s.e.role() == RoleLeader || s.tx != nil && s.tx.snap != nil {
		return err
	}
	ctx, cancel := s.e.within(ctx, replanWait)
	defer cancel()
	before := s.e.Snapshot().Catalog.Version()
	a, cerr := s.e.call(ctx, &request{kind: coord.Barrier, leave: ctx})
	if cerr != nil || !s.e.waitFor(ctx, a.seq, replanWait) || s.e.Snapshot().Catalog.Version() == before {
		return err
	}
	return plan()
}

// undefined reports whether err says that something is not there.
func undefined(err error) bool {
	var te *types.Error
	if !errors.As(err, &te) {
		return false
	}
	switch te.Code {
	case types.CodeUndefinedTable, types.CodeUndefinedColumn, types.CodeUndefinedFunction, types.CodeUndefinedObject, "3F000":
		return true
	}
	return false
}
