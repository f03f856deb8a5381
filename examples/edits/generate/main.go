// Command generate writes the edits of a made-up wiki to standard output, a JSON
// object a line: see examples/edits.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/tidemill/tidemill/examples/edits"
)

func main() {
	n := flag.Int("n", 20000, "how many edits")
	seed := flag.Uint64("seed", 1, "equal seeds give equal edits")
	flag.Parse()
	w := bufio.NewWriter(os.Stdout)
	err := edits.Write(w, edits.Generate(*n, *seed))
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write edits:", err)
		os.Exit(1)
	}
}
