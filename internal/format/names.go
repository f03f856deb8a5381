package format

import "strings"

// names finds columns by the names that records give them.
type names struct {
	exact map[string]int
	fold  map[string]int // lower case to the one column that has it, or -1 for several
}

func newNames(cols []Column) names {
	n := names{exact: map[string]int{}, fold: map[string]int{}}
	for i, c := range cols {
		if c.Skip {
			continue
		}
		n.exact[c.Name] = i
		low := strings.ToLower(c.Name)
		if _, ok := n.fold[low]; ok {
			i = -1
		}
		n.fold[low] = i
	}
	return n
}

// find returns the column that name means, or -1, and whether it is the name to the letter.
func (n *names) find(name []byte) (col int, exact bool) {
	if i, ok := n.exact[string(name)]; ok {
		return i, true
	}
	if i, ok := n.fold[strings.ToLower(string(name))]; ok {
		return i, false
	}
	return -1, false
}
