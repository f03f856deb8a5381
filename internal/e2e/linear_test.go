package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	linearRounds      = 4
	linearRoundsProve = 40
	linearClients     = 5
	linearCells       = 3
	linearRound       = 500 * time.Millisecond
	linearCheck       = 2 * time.Minute // for the checker
)

// cells is what a table of linearCells rows holds; values are never used twice but by
// moves, so a stale read shows.
type cells [linearCells]int64

type linearOp struct {
	kind     string // read, readAll, write, cas, move
	at, to   int
	old, new int64
}

type linearResult struct {
	unknown bool  // the connection was lost: it may have happened or not
	done    bool  // of cas: it swapped
	all     cells // of reads; read has its cell alone
}

// linearModel says what a correct table may answer.
var linearModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{cells{}} },
	Step: func(s, in, out any) []any {
		was, op, r := s.(cells), in.(linearOp), out.(linearResult)
		next := was
		switch op.kind {
		case "read":
			if !r.unknown && r.all[op.at] != was[op.at] {
				return nil
			}
		case "readAll":
			if !r.unknown && r.all != was {
				return nil
			}
		case "write":
			next[op.at] = op.new
		case "cas":
			swaps := was[op.at] == op.old
			if !r.unknown && r.done != swaps {
				return nil
			}
			if swaps {
				next[op.at] = op.new
			}
		case "move":
			next[op.at], next[op.to] = was[op.to], was[op.at]
		}
		if r.unknown {
			return []any{was, next}
		}
		return []any{next}
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}).ToModel()

// TestLinearizable checks that reads and writes of a table, alone and in transactions
// over several rows, by several clients, happen as if one after the other, each between
// its call and its answer, while the node is killed, stopped and continued.
// Source: Herlihy and Wing, "Linearizability", ACM TOPLAS 1990.
func TestLinearizable(t *testing.T) {
	rounds := linearRounds
	if prove() {
		rounds = linearRoundsProve
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 3))
	dir, start := t.TempDir(), time.Now()
	n := dev(t, dir)
	c := n.connect(t)
	exe(t, c, `CREATE TABLE cells (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)`, `INSERT INTO cells VALUES (0, 0), (1, 0), (2, 0)`)
	h := &history{start: start}
	for round := range rounds {
		var wg sync.WaitGroup
		for id := range linearClients {
			r := rand.New(rand.NewPCG(seed, uint64(round*linearClients+id+10)))
			wg.Go(func() { h.client(n, id, r) })
		}
		end := time.After(linearRound/2 + time.Duration(rng.Int64N(int64(linearRound))))
		if rng.IntN(2) == 0 {
			_ = n.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rng.Int64N(int64(linearRound / 2))))
			_ = n.cmd.Process.Signal(syscall.SIGCONT)
		}
		<-end
		n.kill()
		wg.Wait()
		n = dev(t, dir)
		h.settle() // nothing of before can happen any more
	}
	res, info := porcupine.CheckOperationsVerbose(linearModel, h.ops, linearCheck)
	t.Logf("%d operations, %d of unknown outcome: %v", len(h.ops), h.unknown, res)
	if res != porcupine.Ok {
		path := t.TempDir() + "/history.html"
		if err := porcupine.VisualizePath(linearModel, info, path); err == nil {
			t.Logf("history: %s", path)
		}
		t.Fatalf("seed %d: the history is not linearizable: %v", seed, res)
	}
	if len(h.ops)-h.unknown < 20*rounds {
		t.Errorf("only %d operations were answered in %d rounds", len(h.ops)-h.unknown, rounds)
	}
	if len(h.wrong) > 0 {
		t.Error(strings.Join(h.wrong, "\n"))
	}
}

// history is what the clients saw.
type history struct {
	start time.Time

	mu      sync.Mutex
	ops     []porcupine.Operation
	open    []int // of ops whose outcome is unknown and that may still happen
	next    int64 // value that has not been written
	unknown int
	wrong   []string
}

func (h *history) now() int64 { return int64(time.Since(h.start)) }

// settle ends what was under way when the node died.
func (h *history) settle() {
	for _, i := range h.open {
		h.ops[i].Return = h.now()
	}
	h.open = nil
}

func (h *history) fresh() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	return h.next
}

// client works until its connection breaks.
func (h *history) client(n *node, id int, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	c, err := pgx.Connect(ctx, n.url())
	if err != nil {
		return
	}
	defer c.Close(ctx)
	var last cells
	for {
		op := linearOp{at: r.IntN(linearCells), kind: []string{"read", "readAll", "write", "cas", "cas", "move"}[r.IntN(6)]}
		op.to = (op.at + 1 + r.IntN(linearCells-1)) % linearCells
		op.old = last[op.at]
		if op.kind == "write" || op.kind == "cas" {
			op.new = h.fresh()
		}
		call := h.now()
		res, err := perform(ctx, c, op)
		ret := h.now()
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Code == "40001" {
			continue // it did not happen, and said so
		}
		lost := err != nil
		if lost && errors.As(err, &pe) && !strings.HasPrefix(pe.Code, "57P") && !strings.HasPrefix(pe.Code, "58") {
			h.mu.Lock()
			h.wrong = append(h.wrong, fmt.Sprintf("%+v: %v", op, err))
			h.mu.Unlock()
		}
		res.unknown = lost
		h.mu.Lock()
		h.ops = append(h.ops, porcupine.Operation{ClientId: id, Input: op, Call: call, Output: res, Return: ret})
		if lost {
			h.unknown++
			h.open = append(h.open, len(h.ops)-1)
		}
		h.mu.Unlock()
		if lost {
			return
		}
		switch op.kind {
		case "read":
			last[op.at] = res.all[op.at]
		case "readAll":
			last = res.all
		case "write":
			last[op.at] = op.new
		}
	}
}

// perform carries an operation out.
func perform(ctx context.Context, c *pgx.Conn, op linearOp) (res linearResult, err error) {
	switch op.kind {
	case "read":
		err = c.QueryRow(ctx, `SELECT v FROM cells WHERE id = `+strconv.Itoa(op.at)).Scan(&res.all[op.at])
	case "readAll":
		err = readAll(ctx, c, &res.all)
	case "write":
		_, err = c.Exec(ctx, fmt.Sprintf(`UPDATE cells SET v = %d WHERE id = %d`, op.new, op.at))
	case "cas":
		var tag pgconn.CommandTag
		tag, err = c.Exec(ctx, fmt.Sprintf(`UPDATE cells SET v = %d WHERE id = %d AND v = %d`, op.new, op.at, op.old))
		res.done = tag.RowsAffected() == 1
	case "move":
		err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			var all cells
			if err := readAll(ctx, tx, &all); err != nil {
				return err
			}
			for _, x := range []struct{ at, from int }{{op.at, op.to}, {op.to, op.at}} {
				if _, err := tx.Exec(ctx, fmt.Sprintf(`UPDATE cells SET v = %d WHERE id = %d`, all[x.from], x.at)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return res, err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readAll(ctx context.Context, q querier, into *cells) error {
	rows, err := q.Query(ctx, `SELECT v FROM cells ORDER BY id`)
	if err != nil {
		return err
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if len(got) != linearCells {
		return fmt.Errorf("%d rows: %v", len(got), slices.Clip(got))
	}
	copy(into[:], got)
	return nil
}
