package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/node"
)

func TestBar(t *testing.T) {
	s := engine.RecoveryStatus{Phase: engine.PhaseReplay, From: 101, LogPosition: 150, Target: 200, Took: 1234 * time.Millisecond}
	if got, want := bar(s), "["+strings.Repeat("#", 15)+strings.Repeat(".", 15)+"] replaying steps 50 %, record 150 of 200, 1.2s"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := bar(engine.RecoveryStatus{Phase: "reading the log"}), "["+strings.Repeat(".", 30)+"] reading the log, 0s"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestNoBarWithoutATerminal(t *testing.T) {
	var cfg node.Config
	var out bytes.Buffer
	showProgress(&cfg, &out)()
	if cfg.Recovery != nil || out.Len() > 0 {
		t.Errorf("%v, %q", cfg.Recovery, out.String())
	}
}

func TestSizeFlag(t *testing.T) {
	for text, want := range map[string]int64{"1073741824": 1 << 30, "2GB": 2 << 30, "512 mb": 512 << 20, "8kB": 8 << 10, "100B": 100} {
		var n int64
		if err := (*sizeFlag)(&n).Set(text); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "0", "1.5GB", "1 XB", "99999999TB"} {
		var n int64
		if err := (*sizeFlag)(&n).Set(text); err == nil {
			t.Errorf("%q gave %d", text, n)
		}
	}
}
