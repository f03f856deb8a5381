package state

// Small makes blocks of so many rows, directories of so many blocks, and images that
// hold the directories of runs of few rows.
func (s *Spine) Small(rows, blocks, inline int) {
	s.size, s.set.dirBlocks, s.set.inline = rows, blocks, inline
}
