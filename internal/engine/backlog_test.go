package engine

import (
	"fmt"
	"runtime"
	"testing"
)

// TestOthersHaveTheirTurnInABacklog has a source with rows for many steps, and checks that
// a statement that comes meanwhile does not wait for the last of them.
func TestOthersHaveTheirTurnInABacklog(t *testing.T) {
	const blocks = 200
	logs := newMemLogs()
	b := start(t, logs, func(c *Config) { c.StepRows = 1 })
	c := b.client()
	c.exec(`CREATE TABLE t (n BIGINT); CREATE SOURCE s (k INT, name TEXT) WITH (connector = 'pushed')`)
	c.exec(`CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s`)
	before := b.e.Snapshot().Step
	inLoop(b, func() bool {
		for i := range blocks {
			b.push("s", int64(i), fmt.Sprint(i))
		}
		return true
	})
	other := b.client()
	done := make(chan uint64)
	logs.mu.Lock()
	steps := 0
	logs.fault = func(log string, _ int) fault {
		if steps++; steps != 3 || log != b.e.log.(*memLog).name {
			return fine
		}
		go func() {
			other.exec(`INSERT INTO t VALUES (1)`)
			done <- b.e.Snapshot().Step
		}()
		for len(b.e.submit) == 0 {
			runtime.Gosched()
		}
		return fine
	}
	logs.mu.Unlock()
	at := <-done
	if at >= before+blocks {
		t.Errorf("a statement was done at step %d; the backlog ends at %d", at, before+blocks)
	}
	c.exec(`FLUSH`)
	c.want(`SELECT n FROM v`, fmt.Sprint(blocks))
}
