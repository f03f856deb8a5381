package engine

// tidy removes what no kept checkpoint needs.
func (l *leader) tidy() {}
