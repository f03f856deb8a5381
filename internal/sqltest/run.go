package sqltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/sql"
)

// Mode is one way to run a file.
type Mode int

// The modes. In all of them every query is asked ad hoc; in the first four it is
// also a view made as soon as its tables exist, whose content must agree.
const (
	Batch     Mode = iota // as written
	RowByRow              // every row of an INSERT is a statement and a step of its own
	RandomCut             // INSERTs are cut at random, by a seed
	PutBack               // before each query, every table is emptied and filled again
	ViewAfter             // views are made after the data
	Postgres              // against PostgreSQL; no views
)

// Modes lists the modes that run on Tidemill, with their names.
var Modes = []Mode{Batch, RowByRow, RandomCut, PutBack, ViewAfter}

func (m Mode) String() string {
	return [...]string{"batch", "row-by-row", "random-cut", "put-back", "view-after", "postgres"}[m]
}

// Runner runs the blocks of one file on one connection.
type Runner struct {
	conn   *pgconn.PgConn
	mode   Mode
	rng    *rand.Rand
	blocks []Block
	views  map[int]string // of blocks: the view that holds the query's answer
	last   map[string]map[string]int
	tables []string // made so far, in order
}

// NewRunner returns a runner. seed decides the cuts of RandomCut.
func NewRunner(conn *pgconn.PgConn, mode Mode, blocks []Block, seed uint64) *Runner {
	return &Runner{conn: conn, mode: mode, blocks: blocks, rng: rand.New(rand.NewPCG(seed, 0)),
		views: map[int]string{}, last: map[string]map[string]int{}}
}

// Run runs block i and returns its output. The error is for what no output shows:
// a lost connection, or a view that disagrees with its query.
func (r *Runner) Run(ctx context.Context, i int) (string, error) {
	b := r.blocks[i]
	switch b.Kind {
	case "exec":
		return r.exec(ctx, b)
	case "query":
		return r.query(ctx, i, b)
	}
	return r.changes(ctx, i, b)
}

// result is what one statement gave.
type result struct {
	rows [][]string
	tag  string
	err  *pgconn.PgError
}

// do runs one text and returns the last statement's result.
func (r *Runner) do(ctx context.Context, text string) (result, error) {
	rs, err := r.conn.Exec(ctx, text).ReadAll()
	var out result
	if len(rs) > 0 {
		last := rs[len(rs)-1]
		out.tag = last.CommandTag.String()
		for _, row := range last.Rows {
			cells := make([]string, len(row))
			for i, c := range row {
				cells[i] = string(c)
				if c == nil {
					cells[i] = "NULL"
				}
			}
			out.rows = append(out.rows, cells)
		}
		if last.FieldDescriptions == nil {
			out.rows = nil
		}
	}
	if err != nil && !errors.As(err, &out.err) {
		return out, err
	}
	return out, nil
}

func (o result) errorLine() string {
	return fmt.Sprintf("ERROR %s: %s\n", o.err.Code, o.err.Message)
}

// lines prints rows, sorted unless ordered.
func (o result) lines(ordered bool) string {
	out := make([]string, len(o.rows))
	for i, row := range o.rows {
		out[i] = strings.TrimRight(strings.Join(row, " | "), " ") + "\n"
	}
	if !ordered {
		sort.Strings(out)
	}
	return strings.Join(out, "")
}

// exec runs a statement, cut up as the mode says.
func (r *Runner) exec(ctx context.Context, b Block) (string, error) {
	stmts, err := sql.Parse(b.SQL, sql.Options{})
	if err == nil && len(stmts) == 1 {
		if ins, ok := stmts[0].(*sql.Insert); ok && r.cuts() {
			return r.insertCut(ctx, b, ins)
		}
	}
	res, err := r.do(ctx, b.SQL)
	if err != nil {
		return "", err
	}
	if res.err != nil {
		return res.errorLine(), nil
	}
	for _, st := range stmts {
		if ct, ok := st.(*sql.CreateTable); ok {
			r.tables = append(r.tables, sql.Format(ct.Name))
		}
	}
	if r.mode < ViewAfter {
		if err := r.makeViews(ctx); err != nil {
			return "", err
		}
	}
	return res.lines(false) + res.tag + "\n", nil
}

func (r *Runner) cuts() bool { return r.mode == RowByRow || r.mode == RandomCut }

// insertCut runs INSERT ... VALUES as several statements, each a step of its own. If
// one of them fails, what the others did is undone by running nothing: files keep
// failing INSERTs in blocks of a single row.
func (r *Runner) insertCut(ctx context.Context, b Block, ins *sql.Insert) (string, error) {
	var values *sql.Values
	if ins.Source != nil {
		values, _ = ins.Source.Body.(*sql.Values)
	}
	if values == nil || len(values.Rows) < 2 || ins.Returning != nil || strings.HasPrefix(b.Want, "ERROR") {
		res, err := r.do(ctx, b.SQL)
		if err != nil {
			return "", err
		}
		if res.err != nil {
			return res.errorLine(), nil
		}
		return res.lines(false) + res.tag + "\n", nil
	}
	all, done := values.Rows, 0
	for len(all) > 0 {
		n := 1
		if r.mode == RandomCut {
			n = 1 + r.rng.IntN(len(all))
		}
		part, src, vals := *ins, *ins.Source, *values
		vals.Rows, all = all[:n], all[n:]
		src.Body, part.Source = &vals, &src
		res, err := r.do(ctx, sql.Format(&part))
		if err != nil {
			return "", err
		}
		if res.err != nil {
			return res.errorLine(), nil
		}
		count, _ := strconv.Atoi(res.tag[strings.LastIndexByte(res.tag, ' ')+1:])
		done += count
		if r.rng.IntN(2) == 0 {
			if _, err := r.do(ctx, "FLUSH"); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("INSERT 0 %d\n", done), nil
}

// makeViews makes a view for every later query whose tables exist by now.
func (r *Runner) makeViews(ctx context.Context) error {
	for i, b := range r.blocks {
		if b.Kind == "exec" || b.NoView || r.views[i] != "" || strings.HasPrefix(b.Want, "ERROR") {
			continue
		}
		if err := r.makeView(ctx, i, b); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) makeView(ctx context.Context, i int, b Block) error {
	name := fmt.Sprintf("sqltest_view_%d", b.Line)
	text := strings.TrimRight(b.SQL, "; \n")
	columns := ""
	if d, err := r.conn.Prepare(ctx, "", text, nil); err == nil {
		for k := range d.Fields { // queries may name two columns alike, views may not
			columns += fmt.Sprintf("%sc%d", map[bool]string{true: "", false: ", "}[k == 0], k+1)
		}
		columns = " (" + columns + ")"
	}
	res, err := r.do(ctx, "CREATE MATERIALIZED VIEW "+name+columns+" AS "+text)
	if err != nil {
		return err
	}
	switch {
	case res.err == nil:
		r.views[i] = name
	case res.err.Code != "42P01" && res.err.Code != "42703":
		return fmt.Errorf("line %d as a view: %s", b.Line, res.errorLine())
	}
	return nil
}

// query asks ad hoc and compares with the view.
func (r *Runner) query(ctx context.Context, i int, b Block) (string, error) {
	if r.mode == PutBack {
		if err := r.putBack(ctx); err != nil {
			return "", err
		}
	}
	res, err := r.do(ctx, b.SQL)
	if err != nil {
		return "", err
	}
	if res.err != nil {
		return res.errorLine(), nil
	}
	if r.mode == ViewAfter && !b.NoView && r.views[i] == "" {
		if err := r.makeView(ctx, i, b); err != nil {
			return "", err
		}
	}
	if view := r.views[i]; view != "" {
		held, err := r.do(ctx, "SELECT * FROM "+view)
		if err != nil {
			return "", err
		}
		if held.err != nil {
			return "", fmt.Errorf("line %d: read its view: %s", b.Line, held.errorLine())
		}
		if got, want := held.lines(false), res.lines(false); got != want {
			return "", fmt.Errorf("line %d: the view holds\n%sbut the query gives\n%s", b.Line, got, want)
		}
	}
	return res.lines(ordered(b.SQL)), nil
}

// ordered reports whether the statement's own ORDER BY fixes the order of its rows.
func ordered(text string) bool {
	stmts, err := sql.Parse(text, sql.Options{})
	if err != nil || len(stmts) != 1 {
		return false
	}
	q, ok := stmts[0].(*sql.Query)
	return ok && len(q.OrderBy) > 0
}

// changes prints how the query's answer differs from the last time.
func (r *Runner) changes(ctx context.Context, i int, b Block) (string, error) {
	text := b.SQL
	if view := r.views[i]; view != "" {
		text = "SELECT * FROM " + view
	}
	res, err := r.do(ctx, text)
	if err != nil {
		return "", err
	}
	if res.err != nil {
		return res.errorLine(), nil
	}
	now := map[string]int{}
	for _, row := range res.rows {
		now["("+strings.Join(row, ", ")+")"]++
	}
	old := r.last[b.SQL]
	r.last[b.SQL] = now
	var out []string
	for row, n := range now {
		if d := n - old[row]; d != 0 {
			out = append(out, fmt.Sprintf("%+d %s\n", d, row))
		}
	}
	for row, n := range old {
		if now[row] == 0 {
			out = append(out, fmt.Sprintf("%+d %s\n", -n, row))
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a][1:] < out[b][1:] || out[a][1:] == out[b][1:] && out[a] < out[b] })
	return strings.Join(out, ""), nil
}

// putBack withdraws every row of every table and puts it back.
func (r *Runner) putBack(ctx context.Context) error {
	for _, t := range r.tables {
		res, err := r.do(ctx, "DELETE FROM "+t+" RETURNING *")
		if err != nil {
			return err
		}
		if res.err != nil {
			return fmt.Errorf("withdraw %s: %s", t, res.errorLine())
		}
		for _, row := range res.rows {
			cells := make([]string, len(row))
			for i, c := range row {
				cells[i] = "'" + strings.ReplaceAll(c, "'", "''") + "'"
				if c == "NULL" {
					cells[i] = "NULL"
				}
			}
			back, err := r.do(ctx, "INSERT INTO "+t+" VALUES ("+strings.Join(cells, ", ")+")")
			if err != nil {
				return err
			}
			if back.err != nil {
				return fmt.Errorf("put back a row of %s: %s", t, back.errorLine())
			}
		}
	}
	return nil
}
