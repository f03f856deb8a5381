package flow

// FinishInputs makes all inputs of g final: no step after the next brings changes.
func FinishInputs(g *Group) {
	for _, c := range g.circuits {
		for _, ins := range c.inputs {
			for _, n := range ins {
				n.marks.final = true
			}
		}
	}
}

// StateBytesOf returns what the operators of g hold together.
func StateBytesOf(g *Group) int64 {
	n := int64(0)
	for _, c := range g.circuits {
		for _, r := range c.nodes {
			n += r.op.StateBytes()
		}
	}
	return n
}

// PartitionsOf returns how many partitions final Matches remember.
func PartitionsOf(g *Group) int {
	n := 0
	for _, c := range g.circuits {
		for _, r := range c.nodes {
			if f, ok := r.op.(*matchFinal); ok {
				n += f.keys.Len()
			}
		}
	}
	return n
}

// SearchStepsOf returns how many steps all open searches of final Matches have taken.
func SearchStepsOf(g *Group) int64 {
	n := int64(0)
	for _, c := range g.circuits {
		for _, r := range c.nodes {
			f, ok := r.op.(*matchFinal)
			if !ok {
				continue
			}
			for i := uint32(1); i < f.count; i++ {
				w := f.parts.at(i)
				if w[partOpen] == 0 {
					continue
				}
				s := f.searches.find(i, w[partHot])
				if s == nil {
					s = f.newSearch()
					if err := s.load(f.matcher, f.searches.texts.Get(w[partSaved])); err != nil {
						panic(err)
					}
				}
				n += s.Steps()
			}
		}
	}
	return n
}
