package flow

// overKeep frees rows that no answer to come can depend on.
type overKeep struct{}

func newOverKeep(Env, *Over) overKeep { return overKeep{} }

func (k *overKeep) bytes() int64 { return 0 }

// forget frees the partitions that lie below a mark.
func (o *over) forget() {
	if o.free.begin(o.m.types) {
		for g := range uint32(len(o.parts)) << groupChunkBits {
			if root := o.part(g).root; root != 0 {
				o.free.add(o.m.rowStore, o.firstRow(root), uint64(g))
			}
		}
	}
	o.free.due(o.m.rowStore, func(g uint64) []uint64 {
		if root := o.part(uint32(g)).root; root != 0 {
			return o.firstRow(root)
		}
		return nil
	}, func(g uint64) { o.freePart(uint32(g)) })
	o.drop.flush()
}

// firstRow returns the words of a row of a tree.
func (o *over) firstRow(root uint32) []uint64 { return o.m.row(o.tree.block(root).rows[0]) }

// freePart frees a partition.
func (o *over) freePart(g uint32) {
	p := o.part(g)
	o.freeTree(p.root)
	*p = overPart{}
}

// freeTree frees the blocks of a tree with their answers and rows.
func (o *over) freeTree(root uint32) {
	for root != 0 {
		b := o.tree.block(root)
		o.freeTree(b.left)
		for k, row := range b.rows[:b.n] {
			if b.ans[k] != 0 {
				o.releaseAnswer(b.ans[k])
			}
			if k == 0 || b.rows[k-1] != row {
				o.drop.add(row)
			}
		}
		right := b.right
		o.tree.release(root)
		root = right
	}
}
