package engine

import (
	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/state"
)

// FillConfig says how views are made over rows that are there. Results do not depend on it.
type FillConfig struct {
	// ChunkRows is how many rows a circuit is fed before state may leave memory. Zero:
	// worker.FillRows.
	ChunkRows int
	// LargeRows is from how many rows of its inputs on a view, sink or index is made beside
	// the steps. Zero: largeFill.
	LargeRows int64
}

// Pretend makes c the configuration of another version of the program, which takes the
// query of a view for what reads makes of it; for tests.
func (c *Config) Pretend(version string, reads func(query string) string) {
	c.version, c.reads = version, reads
}

// content gathers what a new circuit gives until the relation has it: the rows of a view
// in their own order, those of a sink in the order of whole rows.
type content struct {
	def  *catalog.Relation
	rows *state.Spine
}

func (l *leader) newContent(def *catalog.Relation) *content {
	if def.Kind == catalog.Sink {
		return &content{def, l.cache.NewSpine(ringOwner(def), def.Types(), allAscending(def), 0)}
	}
	return &content{def, l.newSpine(def, def.Types())}
}

// allAscending is the order of whole rows.
func allAscending(def *catalog.Relation) []batch.Key {
	keys := make([]batch.Key, len(def.Columns))
	for i := range keys {
		keys[i].Col = i
	}
	return keys
}

// add adds what a chunk gave, which is sealed.
func (c *content) add(b *batch.Batch) error {
	c.rows.AppendSealed(b)
	return nil
}

// close gives the rows up, unless the relation has them.
func (c *content) close() {
	if c.rows != nil {
		c.rows.Close()
		c.rows = nil
	}
}

// give makes the rows those of rel, made at a step: a view's its content, a sink's its
// first changes, a row in one of them at most.
func (c *content) give(l *leader, rel *relation, step uint64) error {
	if rel.def.Kind != catalog.Sink {
		rel.ring = l.newRing(rel.def, step)
		rel.spine, c.rows = c.rows, nil
		return nil
	}
	defer c.close()
	rel.ring = l.newRing(rel.def, 0)
	err := c.rows.Snapshot().Merged(func(b *batch.Batch) error {
		rel.ring.add(step, batch.Copy(b))
		return nil
	})
	if err != nil {
		rel.release()
	}
	return err
}

// less returns what takes the old rows of the relation to those gathered, sealed.
func (c *content) less(old *state.Snapshot) (*batch.Batch, error) {
	if err := c.take(old); err != nil {
		return nil, err
	}
	return c.sum()
}

// take takes rows away from those gathered.
func (c *content) take(old *state.Snapshot) error {
	return old.Blocks(func(b *batch.Batch) error {
		c.rows.AppendSealed(withdrawn(b))
		return nil
	})
}

// sum returns what is gathered as one change, sealed.
func (c *content) sum() (*batch.Batch, error) {
	bu := batch.NewBuilder(c.def.Types())
	err := c.rows.Snapshot().Merged(func(b *batch.Batch) error {
		bu.AppendBatch(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return batch.Consolidate(bu.View()), nil
}
