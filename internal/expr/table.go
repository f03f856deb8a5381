package expr

import (
	_ "embed"
	"strings"
)

// functionTable is the list of every scalar function and operator.
//
//go:embed functions.tsv
var functionTable string

// spec is one line of the table.
type spec struct{ name, args, ret, flags, example, want string }

func specs() []spec {
	var out []spec
	for _, line := range strings.Split(functionTable, "\n") {
		if line == "" || line[0] == '#' && !strings.HasPrefix(line, "#\t") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 6 {
			panic("expr: line of the function table: " + line)
		}
		out = append(out, spec{f[0], f[1], f[2], f[3], f[4], f[5]})
	}
	return out
}
