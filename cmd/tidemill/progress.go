package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/node"
)

const (
	// barDelay is how long a start may take before a bar is shown, barEvery how often it
	// is drawn.
	barDelay = 500 * time.Millisecond
	barEvery = 100 * time.Millisecond
	barWidth = 30
)

// showProgress draws a bar on a terminal while the node that cfg is for starts. What it
// returns takes the bar away.
func showProgress(cfg *node.Config, to io.Writer) func() {
	f, ok := to.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	r := &engine.Recovery{}
	cfg.Recovery = r
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(barEvery)
		defer tick.Stop()
		shown := false
		began := time.Now()
		for {
			select {
			case <-stop:
				if shown {
					fmt.Fprint(to, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			if time.Since(began) >= barDelay {
				shown = true
				fmt.Fprintf(to, "\r\x1b[K%s", bar(r.Status()))
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
	}
}

// bar is a line that says how far a start has come.
func bar(s engine.RecoveryStatus) string {
	full := int(s.Percent() / 100 * barWidth)
	if s.Phase != engine.PhaseReplay {
		full = 0
	}
	line := fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), s.Phase)
	if s.Phase == engine.PhaseReplay {
		line += fmt.Sprintf(" %.0f %%, record %d of %d", s.Percent(), s.LogPosition, s.Target)
	}
	return line + fmt.Sprintf(", %v", s.Took.Round(100*time.Millisecond))
}
