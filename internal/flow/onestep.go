package flow

// OneStep reports whether what the circuit gives depends on the steps in which its input
// came, and not only on what the inputs hold and their marks: a Lookup joins a row with
// the other side of its own step, an Expire withdraws rows some time after the step in
// which they came. Such a circuit is filled in one step. All others may be filled in any
// number of them, and at one step or at an earlier one with the steps behind it.
func (s *Spec) OneStep() bool {
	for i := range s.Nodes {
		switch s.Nodes[i].Op.(type) {
		case *Lookup, *Expire:
			return true
		}
	}
	return false
}
