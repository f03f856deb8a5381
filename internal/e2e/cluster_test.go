package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/devcluster"
)

// failoverTimeout bounds how long a cluster may be without a leader on a busy machine.
const failoverTimeout = 60 * time.Second

// trio is a cluster of three nodes under test.
type trio struct {
	testing.TB
	*devcluster.Cluster
}

// threeNodes starts a cluster. Its nodes are killed at the end of the test, and their logs
// shown if it failed.
func threeNodes(t testing.TB, args ...string) trio {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), failoverTimeout)
	defer cancel()
	c, err := devcluster.Start(ctx, devcluster.Config{Binary: tidemill(t), Dir: t.TempDir(), Nodes: 3, Args: append([]string{"--disk-reserve", "-1"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for i := range c.Nodes() {
			if t.Failed() {
				t.Logf("log of node %s:\n%s", c.Node(i).Name(), c.Node(i).Tail())
			}
		}
	})
	return trio{t, c}
}

// conn connects to node i, as soon as it takes connections.
func (c trio) conn(i int) *pgx.Conn {
	c.Helper()
	var conn *pgx.Conn
	c.eventually(func() (err error) {
		ctx, cancel := context.WithTimeout(c.Context(), opTimeout)
		defer cancel()
		conn, err = pgx.Connect(ctx, fmt.Sprintf("postgres://tidemill@%s/tidemill?sslmode=disable", c.Node(i).PG()))
		return err
	})
	c.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// eventually tries until there is no error.
func (c trio) eventually(try func() error) {
	c.Helper()
	end := time.Now().Add(failoverTimeout)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			c.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// exec runs statements over one connection.
func (c trio) exec(conn *pgx.Conn, texts ...string) {
	c.Helper()
	for _, text := range texts {
		ctx, cancel := context.WithTimeout(c.Context(), failoverTimeout)
		_, err := conn.Exec(ctx, text)
		cancel()
		if err != nil {
			c.Fatalf("%s: %v", text, err)
		}
	}
}

// want runs a query of one text value.
func (c trio) want(conn *pgx.Conn, text, want string) {
	c.Helper()
	if got, err := c.value(conn, text); err != nil || got != want {
		c.Fatalf("%s: %q, want %q (%v)", text, got, want, err)
	}
}

func (c trio) value(conn *pgx.Conn, text string) (got string, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), opTimeout)
	defer cancel()
	err = conn.QueryRow(ctx, text).Scan(&got)
	return got, err
}

// leader waits until one of the nodes that live says who leads, other than not.
func (c trio) leader(not int) int {
	c.Helper()
	found := -1
	c.eventually(func() error {
		for i := range c.Nodes() {
			if !c.Node(i).Alive() {
				continue
			}
			s, err := c.status(i)
			if err != nil {
				continue
			}
			for _, n := range s.Nodes {
				at := c.Index(n.Name)
				if n.Online && at != not && at >= 0 && c.Node(at).Alive() && len(n.Pipelines) > 0 && n.Pipelines[0].Role == "leader" {
					found = at
					return nil
				}
			}
		}
		return errors.New("nobody leads")
	})
	return found
}

// status asks node i how the cluster does.
func (c trio) status(i int) (s clusterStatus, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), opTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Node(i).HTTP()+"/v1/cluster", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

type clusterStatus struct {
	Nodes []struct {
		Name      string
		Online    bool
		Pipelines []struct {
			Role  string
			Epoch uint64
			Step  uint64
		}
	}
	Problems []string
}

func TestClusterAnswersAsOne(t *testing.T) {
	c := threeNodes(t)
	conns := []*pgx.Conn{c.conn(0), c.conn(1), c.conn(2)}
	for _, conn := range conns {
		c.exec(conn, `SET read = 'latest'`)
	}
	c.exec(conns[0], `CREATE TABLE t (id BIGINT PRIMARY KEY, node TEXT NOT NULL)`)
	c.exec(conns[1], `CREATE MATERIALIZED VIEW v AS SELECT node, count(*) AS n FROM t GROUP BY node`)
	for round := range 5 {
		for i, conn := range conns {
			c.exec(conn, fmt.Sprintf(`INSERT INTO t VALUES (%d, 'n%d')`, 10*round+i, i))
			c.want(conn, fmt.Sprintf(`SELECT n::text FROM v WHERE node = 'n%d'`, i), fmt.Sprint(round+1)) // what it wrote
		}
	}
	for _, conn := range conns {
		c.want(conn, `SELECT count(*)::text FROM t`, "15")
		c.exec(conn, `UPDATE t SET node = node || 'x' WHERE id = 0`) // conflicts with nobody
	}
	c.want(conns[0], `SELECT node FROM t WHERE id = 0`, "n0xxx")
	// A key that is taken is refused on every node alike.
	for _, conn := range conns {
		_, err := conn.Exec(t.Context(), `INSERT INTO t VALUES (1, 'again')`)
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "23505" {
			t.Fatalf("%v", err)
		}
	}
	c.eventually(func() error { // nodes tell each other once a second
		got, err := c.value(conns[2], `SELECT string_agg(role, ' ' ORDER BY role) FROM tidemill.replicas`)
		if err == nil && got != "leader standby standby" {
			err = errors.New(got)
		}
		return err
	})
	c.want(conns[2], `SELECT count(*)::text FROM tidemill.nodes WHERE state = 'online'`, "3")
	c.want(conns[2], `SELECT standbys::text FROM tidemill.pipelines`, "2")
	if out, code := run(t, "status", "--url", "http://"+c.Node(1).HTTP()); code != 0 || strings.Count(out, "online") != 3 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if out, code := run(t, "drain", "zz", "--url", "http://"+c.Node(1).HTTP()); code != 1 || !strings.Contains(out, "not in the cluster") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if out, code := run(t, "node", "remove", c.Node(2).Name(), "--url", "http://"+c.Node(1).HTTP()); code != 1 || !strings.Contains(out, "online") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
}

// TestClusterFailover kills the leader with SIGKILL, hands the lead over, and stops all.
func TestClusterFailover(t *testing.T) {
	c := threeNodes(t)
	first := c.leader(-1)
	conn := c.conn(first)
	c.exec(conn, `CREATE TABLE t (id BIGINT PRIMARY KEY)`, `CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t`,
		`CREATE SOURCE s (k BIGINT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`, `CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n, sum(k) AS k FROM s`)
	rows := 0
	insert := func(conn *pgx.Conn) {
		t.Helper()
		rows++
		c.exec(conn, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, rows))
	}
	post := func(i, k int) error {
		resp, err := http.Post("http://"+c.Node(i).HTTP()+"/v1/sources/s", "application/x-ndjson", strings.NewReader(fmt.Sprintf(`{"k":%d}`, k)))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
	other := c.conn((first + 1) % 3)
	for range 20 {
		insert(conn)
		insert(other)
	}
	for i := range 3 {
		if err := post(i, i+1); err != nil {
			t.Fatal(err)
		}
	}
	c.exec(other, `FLUSH`)
	c.want(other, `SELECT n || ' ' || k FROM w`, "3 6")

	c.Node(first).Kill()
	began := time.Now()
	c.eventually(func() error {
		_, err := other.Exec(t.Context(), fmt.Sprintf(`INSERT INTO t VALUES (%d)`, rows+1))
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Code == "23505" { // an attempt whose outcome was not known
			return nil
		}
		return err
	})
	rows++
	t.Logf("writes went on %v after the leader was killed", time.Since(began).Round(time.Millisecond))
	second := c.leader(first)
	c.want(other, `SELECT n::text FROM v`, fmt.Sprint(rows))
	if err := post(second, 4); err != nil {
		t.Fatal(err)
	}
	c.exec(other, `FLUSH`)
	c.want(other, `SELECT n || ' ' || k FROM w`, "4 10")

	start := func(i int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), failoverTimeout)
		defer cancel()
		if err := c.Node(i).Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	start(first)
	back := c.conn(first)
	c.exec(back, `SET read = 'latest'`)
	c.want(back, `SELECT n::text FROM v`, fmt.Sprint(rows))

	// A planned move.
	began = time.Now()
	if out, code := run(t, "drain", c.Node(second).Name(), "--url", "http://"+c.Node(first).HTTP()); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	third := c.leader(second)
	insert(back)
	t.Logf("writes went on %v after the drain began", time.Since(began).Round(time.Millisecond))
	if third == second {
		t.Fatal("the drained node leads")
	}

	// All at once.
	for i := range 3 {
		c.Node(i).Kill()
	}
	ctx, cancel := context.WithTimeout(t.Context(), failoverTimeout)
	defer cancel()
	if err := c.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		conn := c.conn(i)
		c.exec(conn, `SET read = 'latest'`)
		c.want(conn, `SELECT n::text FROM v`, fmt.Sprint(rows))
		c.want(conn, `SELECT n || ' ' || k FROM w`, "4 10")
	}

	// A node that lost its disk is filled by the others.
	lost := (c.leader(-1) + 1) % 3
	lead := c.conn(c.leader(-1))
	insert(lead)
	c.exec(lead, `CHECKPOINT`)
	insert(lead)
	c.exec(lead, `CHECKPOINT`) // the log's beginning may go
	insert(lead)
	c.Node(lost).Kill()
	if err := os.RemoveAll(c.Node(lost).Dir() + "/checkpoints"); err != nil {
		t.Fatal(err)
	}
	start(lost)
	conn = c.conn(lost)
	c.exec(conn, `SET read = 'latest'`)
	c.want(conn, `SELECT n::text FROM v`, fmt.Sprint(rows))
}

// TestClusterFigures measures, with TIDEMILL_FIGURES set to a number of rounds, for how long nothing
// is committed when the leader is killed, and when it is drained.
func TestClusterFigures(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("TIDEMILL_FIGURES"))
	if err != nil {
		t.Skip("TIDEMILL_FIGURES is not set")
	}
	c := threeNodes(t)
	lead := c.leader(-1)
	c.exec(c.conn(lead), `CREATE TABLE t (id BIGINT PRIMARY KEY)`, `CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t`)
	id := 0
	// outage is the time from begin until a client of a node other than the leader gets a
	// new row acknowledged, which asks all the time.
	outage := func(begin func()) time.Duration {
		conn := c.conn((lead + 1) % 3)
		id += 1000
		c.exec(conn, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, id))
		begin()
		began := time.Now()
		c.eventually(func() error {
			id++
			_, err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO t VALUES (%d)`, id))
			return err
		})
		return time.Since(began)
	}
	var kills, drains []time.Duration
	for range rounds {
		time.Sleep(5 * time.Second) // until the log's leader is where the pipeline's is
		kills = append(kills, outage(c.Node(lead).Kill))
		was := lead
		lead = c.leader(was)
		ctx, cancel := context.WithTimeout(t.Context(), failoverTimeout)
		if err := c.Node(was).Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	for range rounds {
		time.Sleep(3 * time.Second)
		name, url := c.Node(lead).Name(), "http://"+c.Node(lead).HTTP()
		drains = append(drains, outage(func() { go run(t, "drain", name, "--url", url) }))
		was := lead
		lead = c.leader(was)
		if out, code := run(t, "drain", name, "--undo", "--url", url); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}
	slices.Sort(kills)
	slices.Sort(drains)
	t.Logf("kill -9 of the leader: p50 %v, most %v of %d; drain: p50 %v, most %v", kills[rounds/2].Round(time.Millisecond), kills[rounds-1].Round(time.Millisecond), rounds,
		drains[rounds/2].Round(time.Millisecond), drains[rounds-1].Round(time.Millisecond))
	t.Log(kills)
}
