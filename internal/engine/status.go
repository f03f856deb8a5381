package engine

// SinkStatus is how far a sink has come.
type SinkStatus struct {
	Name     string
	ID       uint32
	Position uint64 // everything up to this step was delivered
	Failure  string // why its connector does not run; "" if it does
}

// Sinks returns the state of every sink, in the order of their IDs.
func (e *Engine) Sinks() []SinkStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []SinkStatus
	for id, s := range e.sinks {
		out = append(out, SinkStatus{Name: s.def.Name, ID: uint32(id), Position: s.position, Failure: s.failure})
	}
	sortBy(out, func(s SinkStatus) uint32 { return s.ID })
	return out
}
