package state

// Small makes blocks of so many rows, directories of so many blocks, and images that
// hold the directories of runs of few rows.
func (s *Spine) Small(rows, blocks, inline int) {
	s.size, s.set.dirBlocks, s.set.inline = rows, blocks, inline
}

// Small makes blocks of so many rows, and directories of so many blocks.
func (h *Changes) Small(rows, blocks int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.size = rows
	h.set.dirBlocks = blocks
}
