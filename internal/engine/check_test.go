package engine

import (
	"errors"
	"testing"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
	"github.com/tidemill/tidemill/internal/state/statetest"
	"github.com/tidemill/tidemill/internal/types"
)

// TestARowThatCannotBeReadIsNotAbsent: a key is not free because the block that has it
// is damaged.
func TestARowThatCannotBeReadIsNotAbsent(t *testing.T) {
	def := &catalog.Relation{Name: "t", Kind: catalog.Table, Columns: []catalog.Column{{Name: "id", Type: types.T(types.Int8)}}, PrimaryKey: []int{0}}
	back := statetest.New()
	sp := state.NewCache(back, blockCodec{}, state.NewBudget(0)).NewSpine(1, def.Types(), orderOf(def), 1)
	sp.Append(oneRow(7))
	free, taken := oneRow(8), oneRow(7)
	var te *types.Error
	if err := checkRows(def, newLookup(def, sp.Snapshot()), taken); !errors.As(err, &te) || te.Code != types.CodeUnique {
		t.Fatal(err)
	}
	back.Damaged = func(state.Loc) bool { return true }
	for _, rows := range []*batch.Batch{taken, withdrawn(taken)} {
		if err := checkRows(def, newLookup(def, sp.Snapshot()), rows); !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
	if err := checkRows(def, newLookup(def, sp.Snapshot()), free); err != nil {
		t.Errorf("a key that no block can have: %v", err)
	}
	a := &admission{l: &leader{rels: map[catalog.ID]*relation{0: {def: def, spine: sp}}, snaps: map[catalog.ID]*state.Snapshot{0: sp.Snapshot()}}}
	defer func() {
		var fault *state.FaultError
		if err, _ := recover().(error); !errors.As(err, &fault) {
			t.Errorf("admission: %v", err)
		}
	}()
	_ = a.table(a.l.rels[0], taken)
}
