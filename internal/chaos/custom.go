package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/internal/shell"
)

// Workload is statements of a user's own.
type Workload struct {
	Setup      []string // run once, in their order
	Statements []string // run by clients, at random
	Checks     []string // queries whose rows must be the same on all nodes at the end

	ids atomic.Int64
}

// clientsPerNode is how many clients run a user's statements on each node.
const clientsPerNode = 2

// Placeholders in a user's statements.
const (
	placeID     = "{id}"     // a number that is used once, from 1
	placeClient = "{client}" // the client's number
	placeRandom = "{random}" // 0 to 999, from the seed
)

// ParseWorkload reads a file of statements that end in semicolons. Statements before a line
// `-- run:` are the set-up; all are, and those behind it are run by clients again and again. Lines
// `-- check: SELECT ...` are queries for the end.
func ParseWorkload(text string) (*Workload, error) {
	w := &Workload{}
	var parts [2]strings.Builder
	part := 0
	for i, line := range strings.Split(text, "\n") {
		rest, isCheck := strings.CutPrefix(strings.TrimSpace(line), "-- check:")
		switch {
		case isCheck:
			q := strings.TrimRight(strings.TrimSpace(rest), ";")
			if q == "" {
				return nil, fmt.Errorf("workload, line %d: -- check: without a query", i+1)
			}
			w.Checks = append(w.Checks, q)
		case strings.TrimSpace(line) == "-- run:":
			if part == 1 {
				return nil, fmt.Errorf("workload, line %d: a second -- run:", i+1)
			}
			part = 1
		default:
			parts[part].WriteString(line + "\n")
		}
	}
	w.Setup, w.Statements = shell.Split(parts[0].String()), shell.Split(parts[1].String())
	if len(w.Statements) == 0 {
		return nil, errors.New("workload: no statement is behind a line `-- run:`, so clients have nothing to do")
	}
	return w, nil
}

// start starts the clients.
func (w *Workload) start(load context.Context, r *chaos, clients *sync.WaitGroup) {
	for i := range r.cluster.Nodes() * clientsPerNode {
		s := r.session(i, uint64(100+i))
		clients.Go(func() { w.client(load, r, s, i+1) })
	}
}

// client runs statements until load ends.
func (w *Workload) client(load context.Context, r *chaos, s *session, id int) {
	defer s.close()
	for ; load.Err() == nil; pause(load, pace) {
		c, err := s.get(load)
		if err != nil {
			return
		}
		k := s.rng.IntN(len(w.Statements))
		_, _, err = r.write(c, fmt.Sprintf("statement %d", k+1), 1, w.fill(w.Statements[k], id, s.rng))
		s.after(err)
	}
}

// fill replaces the placeholders of a statement.
func (w *Workload) fill(sql string, client int, rng *rand.Rand) string {
	if strings.Contains(sql, placeID) {
		sql = strings.ReplaceAll(sql, placeID, strconv.FormatInt(w.ids.Add(1), 10))
	}
	sql = strings.ReplaceAll(sql, placeClient, strconv.Itoa(client))
	for strings.Contains(sql, placeRandom) {
		sql = strings.Replace(sql, placeRandom, strconv.Itoa(rng.IntN(1000)), 1)
	}
	return sql
}

// check compares the answers of all nodes.
func (w *Workload) check(ctx context.Context, r *chaos) error {
	settings := []string{"FLUSH"}
	if r.latest {
		settings = append(settings, readLatest)
	}
	for k, query := range w.Checks {
		var first []string
		for i := range r.cluster.Nodes() {
			var got []string
			err := eventually(ctx, settleWithin, settleWithin, func(ctx context.Context) error {
				c, err := r.connect(ctx, i, nil, settings...)
				if err != nil {
					return err
				}
				defer c.Close(ctx)
				got, err = lines(ctx, c, query)
				return err
			})
			switch {
			case err != nil:
				return fmt.Errorf("check %d on node %s: %s: %w", k+1, r.cluster.Node(i).Name(), query, err)
			case i == 0:
				first = got
			case !slices.Equal(got, first):
				r.findings.add(mismatch, "check %d: %s: node a has %s, node %s has %s; %s", k+1, query, brief(first), r.cluster.Node(i).Name(), brief(got), difference(first, got))
			}
		}
		r.log("check %d: %s: %s", k+1, query, brief(first))
	}
	return nil
}
