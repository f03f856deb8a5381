//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// at and visit are when to die.
var at, visit = parse(os.Getenv(Env))

var visits atomic.Int64

func parse(s string) (Point, int64) {
	name, count, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	return Point(name), n
}

// Hit says that the process is at p. If that is where it has to die, it does at once,
// as if it had been killed from outside.
func Hit(p Point) {
	if p != at || visits.Add(1) != visit {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic("failpoint: " + err.Error())
	}
	select {} // until the signal comes
}
