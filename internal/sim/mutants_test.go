//go:build mutants

package sim

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMutants takes a safety away, one at a time, in a process of its own: within 1,000
// seeds some invariant must break. TIDEMILL_MUTANT names what is switched off.
func TestMutants(t *testing.T) {
	for mutant, flips := range map[string]string{"checksum": "900", "dirty": "0"} {
		t.Run(mutant, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSeeds$", "-seeds", fmt.Sprint(mutantSeeds), "-give-up", "1", "-flips", flips)
			cmd.Env = append(os.Environ(), "TIDEMILL_MUTANT="+mutant)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("%d seeds did not find it", mutantSeeds)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "seed ") {
					t.Log(strings.TrimSpace(line))
					return
				}
			}
			t.Fatalf("%v\n%s", err, out)
		})
	}
}
