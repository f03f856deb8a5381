package sqltest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/pgtest"
	"github.com/tidemill/tidemill/internal/sqltest/sqlgen"
)

var (
	firstSeed = flag.Uint64("firstseed", 1, "of the random cases")
	seedCount = flag.Int("seeds", 0, "how many random cases; 0: what fits into the time")
	duration  = flag.Duration("duration", 0, "of the random test; 0: 25 s, or 10 minutes with TIDEMILL_PROVE=1")
	tries     = flag.Int("tries", 400, "how often a failing case may be run to make it smaller")
)

// Bounds of the random test.
const (
	quickDuration    = 25 * time.Second
	proveDuration    = 10 * time.Minute
	statementTimeout = 10 * time.Second // of Tidemill; PostgreSQL has a fifth
	answerTimeout    = 60 * time.Second // for an answer of Tidemill, be it that the statement took too long
	maxReduce        = time.Minute      // of making one failing case smaller
	maxFailures      = 12               // different ones, before the test gives up
	casesPerNode     = 20               // in the last of them the node restarts; then comes a new one
	maxUnsupported   = 3                // percent of the queries that may answer 0A000
	maxTooLarge      = 3                // percent of the queries that may be too large for Tidemill alone
	viewMemoryMB     = 512              // of a node: products are made up now and then
)

// TestRandom runs random schemas, histories and queries on Tidemill and on
// PostgreSQL. After every few steps each query must give the same ad hoc, as a view
// made before the data, and as one made half-way. The workers' number alternates.
func TestRandom(t *testing.T) {
	pg := connect(t, pgtest.Start(t))
	d := &differ{t: t, pg: pg, seen: map[string]int{}}
	for _, workers := range []int{1, 3} {
		n := &nodeUnderTest{t: t, workers: workers}
		t.Cleanup(n.stop) // the last one; those before it are stopped and forgotten
		d.nodes = append(d.nodes, n)
	}
	end := time.Now().Add(timeBudget())
	for n := 0; *seedCount == 0 && time.Now().Before(end) || n < *seedCount; n++ {
		d.seed = *firstSeed + uint64(n)
		d.one()
		if len(d.seen) >= maxFailures {
			t.Errorf("%d different failures; giving up at seed %d", maxFailures, d.seed)
			break
		}
	}
	t.Logf("%d cases from seed %d, %d statements, %d queries compared %d times, %d not supported, %d not valid in PostgreSQL, %d too large; %s in PostgreSQL, %s in Tidemill",
		d.cases, *firstSeed, d.statements, d.queries, d.compared, d.unsupported, d.invalid, d.tooLarge, d.inPG.Round(time.Millisecond), d.inTM.Round(time.Millisecond))
	if d.unsupported*100 > d.queries*maxUnsupported {
		t.Errorf("%d of %d queries are not supported; at most %d %% may be", d.unsupported, d.queries, maxUnsupported)
	}
	if d.tooLarge*100 > d.queries*maxTooLarge {
		t.Errorf("%d of %d queries are too large; at most %d %% may be", d.tooLarge, d.queries, maxTooLarge)
	}
	for what, n := range d.seen {
		t.Logf("%d times: %s", n, what)
	}
}

func timeBudget() time.Duration {
	switch {
	case *duration > 0:
		return *duration
	case os.Getenv("TIDEMILL_PROVE") == "1":
		return proveDuration
	}
	return quickDuration
}

// nodeUnderTest is a node that is started when it is needed, and again after it broke.
type nodeUnderTest struct {
	t       *testing.T
	workers int
	cases   int // so far
	dir     string
	node    *node.Node
	conn    *pgconn.PgConn
}

func (n *nodeUnderTest) get() *pgconn.PgConn {
	n.t.Helper()
	if n.conn != nil && !n.conn.IsClosed() {
		return n.conn
	}
	n.stop()
	n.cases, n.dir = 0, n.t.TempDir()
	n.start()
	return n.conn
}

func (n *nodeUnderTest) start() {
	n.t.Helper()
	nd, err := node.Start(n.t.Context(), node.Config{DataDir: n.dir, PG: "127.0.0.1:0", Workers: n.workers, ViewMemoryMB: viewMemoryMB})
	if err != nil {
		n.t.Fatal(err)
	}
	n.node = nd
	n.conn = connect(n.t, fmt.Sprintf("postgres://tidemill@%s/tidemill?sslmode=disable&statement_timeout=%d", nd.Addrs().PG, statementTimeout.Milliseconds()))
}

// restart stops the node and starts it on the same data.
func (n *nodeUnderTest) restart() *pgconn.PgConn {
	n.t.Helper()
	n.stop()
	n.start()
	return n.conn
}

// stop drops the node, so that the next case starts a new one.
func (n *nodeUnderTest) stop() {
	if n.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.t.Context()), 5*time.Second)
	defer cancel()
	if n.conn != nil {
		_ = n.conn.Close(ctx)
	}
	_ = n.node.Close(ctx)
	n.node, n.conn = nil, nil
}

// differ runs cases and collects differences.
type differ struct {
	t     *testing.T
	pg    *pgconn.PgConn
	nodes []*nodeUnderTest
	seed  uint64
	seen  map[string]int // failures by what they are

	restart    bool // in this case
	inPG, inTM time.Duration

	cases, statements, queries, compared, unsupported, invalid, tooLarge int
}

// difference is a failure. kind is the same for failures that probably have one cause.
type difference struct {
	kind, detail string
	query        int // which one, or -1
}

func (d *differ) one() {
	c := sqlgen.New(rand.New(rand.NewPCG(d.seed, 0)), sqlgen.Size{Steps: 10, Queries: 8})
	d.cases++
	d.queries += len(c.Queries)
	n := d.nodes[d.seed%uint64(len(d.nodes))]
	n.get()
	n.cases++
	d.restart = n.cases%casesPerNode == 0
	if d.restart {
		defer n.stop()
	}
	for len(c.Queries) > 0 {
		diff := d.run(c, n, true)
		if diff == nil {
			return
		}
		if strings.HasPrefix(diff.kind, "error 0A000") {
			d.seen[diff.kind]++
		} else if diff.kind == tooLarge {
			d.tooLarge++
		} else if rows := strings.HasSuffix(diff.kind, "rows"); rows || d.seen[diff.kind] == 0 {
			d.report(c, n, diff)
		} else {
			d.seen[diff.kind]++
		}
		if diff.query < 0 {
			return
		}
		c.Queries = append(c.Queries[:diff.query:diff.query], c.Queries[diff.query+1:]...)
	}
}

// report makes the case smaller and prints it as a file of testdata would have it.
func (d *differ) report(c *sqlgen.Case, n *nodeUnderTest, diff *difference) {
	d.t.Helper()
	one := *c
	if diff.query >= 0 {
		one.Queries = c.Queries[diff.query : diff.query+1]
	}
	last, end := diff, time.Now().Add(maxReduce)
	fails := func(c *sqlgen.Case) bool {
		if time.Now().After(end) {
			return false
		}
		got := d.run(c, n, false)
		if got == nil || got.kind != diff.kind {
			return false
		}
		last = got
		return true
	}
	small := &one
	if fails(&one) {
		small = sqlgen.Reduce(&one, fails, *tries)
	}
	kind := last.kind
	if len(small.Queries) > 0 && strings.HasSuffix(kind, "rows") { // tell them apart by what remains of the query
		kind += " of " + literals.ReplaceAllString(small.Queries[0].SQL, "_")
	}
	if d.seen[kind]++; d.seen[kind] == 1 {
		d.t.Errorf("seed %d, %d workers: %s\n%s\n%s", d.seed, n.workers, last.kind, last.detail, small)
	}
}

// run runs a case on both and returns the first difference. count is for the statistics.
func (d *differ) run(c *sqlgen.Case, n *nodeUnderTest, count bool) (diff *difference) {
	r := &caseRun{differ: d, c: c, node: n, tm: n.get(), count: count, rng: rand.New(rand.NewPCG(d.seed, 9)), skip: map[int]bool{}}
	defer func() {
		if diff = r.failure(recover()); !r.cleanUp() || diff != nil && strings.HasPrefix(diff.kind, "lost") {
			n.stop()
		}
	}()
	r.all()
	return nil
}

// caseRun is one run of one case. Differences are thrown.
type caseRun struct {
	*differ
	c     *sqlgen.Case
	node  *nodeUnderTest
	tm    *pgconn.PgConn
	count bool
	rng   *rand.Rand
	made  []string          // DROP statements for what was made on Tidemill, in order
	views []namedQuery      // of queries
	skip  map[int]bool      // queries that PostgreSQL refuses
	known map[string]result // what PostgreSQL answers at this point
}

type namedQuery struct {
	name  string
	query int
}

func (r *caseRun) failure(x any) *difference {
	switch x := x.(type) {
	case nil:
		return nil
	case *difference:
		return x
	}
	panic(x)
}

// tooLarge is the kind of the difference that Tidemill ran out of its limits of memory
// or time. PostgreSQL meets its own on queries that it then does not answer.
const tooLarge = "too large"

func throw(query int, kind, format string, args ...any) {
	panic(&difference{kind: kind, query: query, detail: fmt.Sprintf(format, args...)})
}

func (r *caseRun) all() {
	r.onPG("DROP SCHEMA IF EXISTS r CASCADE; CREATE SCHEMA r; SET search_path = r; SET statement_timeout = '2s'; SET jit = off")
	for i, s := range r.c.Tables {
		r.both(s)
		r.made = append(r.made, "DROP TABLE IF EXISTS "+r.c.Names[i])
	}
	for _, v := range r.c.Views {
		plain := v
		plain.Materialized = false
		if out := r.onPG(plain.Create()); out.err != nil {
			r.invalid++
			return
		}
		kind := "VIEW"
		if v.Materialized {
			kind = "MATERIALIZED VIEW"
		}
		r.makeOnTM(v.Create(), "DROP "+kind+" IF EXISTS "+v.Name, -1)
	}
	for i := range r.c.Queries {
		if i%2 == 0 {
			r.makeView(fmt.Sprintf("early%d", i), i)
		}
	}
	half := len(r.c.Steps) / 2
	for i, s := range r.c.Steps {
		if i == half {
			for q := range r.c.Queries {
				r.makeView(fmt.Sprintf("later%d", q), q)
			}
		}
		for _, stmt := range s {
			r.both(stmt)
		}
		if r.rng.IntN(4) == 0 {
			r.onTM("FLUSH", -1)
		}
		if r.rng.IntN(3) == 0 || i == half {
			r.check()
		}
		if r.restart && i == half {
			r.tm = r.node.restart()
			r.check()
		}
	}
	r.check()
}

func (r *caseRun) makeView(name string, q int) {
	if r.skip[q] {
		return
	}
	// PostgreSQL shows whether it is a product that takes too long.
	if out := r.onPG(r.c.Queries[q].SQL); out.err != nil {
		r.skip[q] = true
		if r.count {
			r.invalid++
		}
		return
	}
	r.makeOnTM("CREATE MATERIALIZED VIEW "+name+" AS "+r.c.Queries[q].SQL, "DROP MATERIALIZED VIEW IF EXISTS "+name, q)
	r.views = append(r.views, namedQuery{name, q})
}

func (r *caseRun) makeOnTM(create, drop string, query int) {
	r.made = append(r.made, drop)
	if out := r.onTM(create, query); out.err != nil {
		r.refused(create, query, out)
	}
}

var literals = regexp.MustCompile(`'[^']*'|[0-9]+`)

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'|\(.*\)|[0-9]+`)

// refused throws that Tidemill does not take what PostgreSQL takes.
func (r *caseRun) refused(text string, query int, out result) {
	switch {
	case out.err.Code == "53200" || out.err.Code == "57014":
		throw(query, tooLarge, "%s\n%s %s", text, out.err.Message, out.err.Detail)
	case out.err.Code == "0A000" && r.count:
		r.unsupported++
	}
	throw(query, "error "+out.err.Code+" "+quoted.ReplaceAllString(out.err.Message, "_"), "%s\n%s: %s (%s)", text, out.err.Code, out.err.Message, out.err.Detail)
}

type result struct {
	rows []string
	tag  string
	err  *pgconn.PgError
}

func ask(ctx context.Context, conn *pgconn.PgConn, text string) (result, error) {
	rs, err := conn.Exec(ctx, text).ReadAll()
	var out result
	if len(rs) > 0 {
		last := rs[len(rs)-1]
		out.tag = last.CommandTag.String()
		for _, row := range last.Rows {
			var b strings.Builder
			for i, c := range row {
				if i > 0 {
					b.WriteString(" | ")
				}
				switch {
				case c == nil:
					b.WriteString("NULL")
				case string(c) == "-0":
					b.WriteString(`"0"`) // a sum of nothing but -0 is 0 here; see docs/STATUS.md
				default:
					fmt.Fprintf(&b, "%q", c)
				}
			}
			out.rows = append(out.rows, b.String())
		}
	}
	if err != nil && !errors.As(err, &out.err) {
		return out, err
	}
	return out, nil
}

func (r *caseRun) onPG(text string) result {
	start := time.Now()
	defer func() { r.inPG += time.Since(start) }()
	out, err := ask(r.t.Context(), r.pg, text)
	if err != nil {
		r.t.Fatalf("PostgreSQL: %s: %v", text, err)
	}
	return out
}

func (r *caseRun) onTM(text string, query int) result {
	start := time.Now()
	defer func() { r.inTM += time.Since(start) }()
	ctx, cancel := context.WithTimeout(r.t.Context(), answerTimeout)
	defer cancel()
	out, err := ask(ctx, r.tm, text)
	if err != nil {
		throw(query, "lost connection", "%s\n%v", text, err)
	}
	if out.err != nil && out.err.Code == "XX000" {
		throw(query, "error XX000 "+quoted.ReplaceAllString(out.err.Message, "_"), "%s\n%s %s", text, out.err.Message, out.err.Detail)
	}
	return out
}

// both runs a statement on both and compares tags and error codes.
func (r *caseRun) both(text string) {
	if r.count {
		r.statements++
	}
	pg, tm := r.onPG(text), r.onTM(text, -1)
	switch {
	case pg.err == nil && tm.err != nil:
		r.refused(text, -1, tm)
	case pg.err != nil && tm.err == nil:
		throw(-1, "no error "+pg.err.Code, "%s\nPostgreSQL: %s: %s\nTidemill: %s", text, pg.err.Code, pg.err.Message, tm.tag)
	case pg.err != nil && pg.err.Code != tm.err.Code:
		throw(-1, "error "+tm.err.Code+" for "+pg.err.Code, "%s\nPostgreSQL: %s: %s\nTidemill: %s", text, pg.err.Code, pg.err.Message, tm.err.Message)
	case pg.err == nil && pg.tag == tm.tag:
		sort.Strings(pg.rows)
		sort.Strings(tm.rows)
		if !slices.Equal(pg.rows, tm.rows) {
			throw(-1, "statement: rows", "%s\nPostgreSQL:\n%s\nTidemill:\n%s", text, strings.Join(pg.rows, "\n"), strings.Join(tm.rows, "\n"))
		}
	case pg.err == nil:
		throw(-1, "tag", "%s\nPostgreSQL: %s\nTidemill: %s", text, pg.tag, tm.tag)
	}
}

// check compares everything there is.
func (r *caseRun) check() {
	r.known = map[string]result{}
	for _, name := range r.c.Names {
		r.compare(-1, "table", "SELECT * FROM "+name, "SELECT * FROM "+name, false)
	}
	for _, v := range r.c.Views {
		r.compare(-1, "view", "SELECT * FROM "+v.Name, "SELECT * FROM "+v.Name, false)
	}
	for i, q := range r.c.Queries {
		if !r.skip[i] {
			r.compare(i, "query", q.SQL, q.SQL, q.Ordered)
		}
	}
	for _, v := range r.views {
		if !r.skip[v.query] {
			r.compare(v.query, "view of query", r.c.Queries[v.query].SQL, "SELECT * FROM "+v.name, false)
		}
	}
}

func (r *caseRun) compare(query int, what, pgText, tmText string, ordered bool) {
	pg, ok := r.known[pgText]
	if !ok {
		pg = r.onPG(pgText)
		r.known[pgText] = pg
	}
	pg.rows = slices.Clone(pg.rows)
	if pg.err != nil {
		if query >= 0 {
			r.skip[query] = true
			r.dropViews(query) // they may be what PostgreSQL has no time for
		}
		if r.count {
			r.invalid++
		}
		return
	}
	tm := r.onTM(tmText, query)
	if tm.err != nil {
		r.refused(tmText, query, tm)
	}
	if r.count {
		r.compared++
	}
	if !ordered {
		sort.Strings(pg.rows)
		sort.Strings(tm.rows)
	}
	if a, b := strings.Join(pg.rows, "\n"), strings.Join(tm.rows, "\n"); a != b {
		r.stable(query, pgText, ordered, a)
		kind := what + ": rows"
		if sort.Strings(pg.rows); ordered {
			sort.Strings(tm.rows)
			if strings.Join(pg.rows, "\n") == strings.Join(tm.rows, "\n") {
				kind = what + ": order"
			}
		}
		throw(query, kind, "%s\nPostgreSQL:\n%s\nTidemill:\n%s", tmText, a, b)
	}
}

// dropViews drops the views of a query that is not compared any more.
func (r *caseRun) dropViews(query int) {
	for _, v := range r.views {
		if v.query == query {
			r.onTM("DROP MATERIALIZED VIEW IF EXISTS "+v.name, query)
		}
	}
}

// stable gives the query up if PostgreSQL itself answers otherwise by another plan.
func (r *caseRun) stable(query int, text string, ordered bool, want string) {
	const off = "SET enable_hashjoin = %[1]s; SET enable_hashagg = %[1]s; SET enable_nestloop = %[1]s; SET enable_material = %[1]s"
	r.onPG(fmt.Sprintf(off, "off"))
	pg := r.onPG(text)
	r.onPG(fmt.Sprintf(off, "on"))
	if !ordered {
		sort.Strings(pg.rows)
	}
	if strings.Join(pg.rows, "\n") != want {
		throw(query, "PostgreSQL: rows depend on the plan", "%s", text)
	}
}

// cleanUp drops what was made and reports whether it could.
func (r *caseRun) cleanUp() (ok bool) {
	ctx, cancel := context.WithTimeout(r.t.Context(), answerTimeout)
	defer cancel()
	for _, conn := range []*pgconn.PgConn{r.pg, r.tm} {
		if conn.TxStatus() != 'I' {
			if _, err := ask(ctx, conn, "ROLLBACK"); err != nil {
				return false
			}
		}
	}
	for i := len(r.made) - 1; i >= 0; i-- {
		if out, err := ask(ctx, r.tm, r.made[i]); err != nil || out.err != nil {
			return false
		}
	}
	return true
}
