package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// readEvents follows url behind the event lastID until it has got most events with
// data, and hangs up. It returns their data and the id of the last one.
func readEvents(ctx context.Context, url, lastID string, most int) (data []string, id string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, lastID, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, lastID, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return nil, lastID, fmt.Errorf("%s of %s behind %q", resp.Status, url, lastID)
	}
	seen, event := lastID, ""
	for lines := bufio.NewScanner(resp.Body); len(data) < most && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			seen = value
		case "data":
			event = value
		case "":
			lastID = seen
			if event != "" {
				data, event = append(data, event), ""
			}
		}
	}
	return data, lastID, nil
}

// TestEventsResume follows a view by server-sent events with a client that hangs up
// in the middle of steps, on a node that is killed meanwhile: what it got in pieces is
// what the view went through, each change once.
func TestEventsResume(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	dir := t.TempDir()
	n := dev(t, dir)
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id INT PRIMARY KEY, g INT)", "CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g",
		"INSERT INTO t SELECT i, i % 7 FROM generate_series(1, 30) AS x (i)")
	var first int64
	if err := c.QueryRow(deadline(t), "SELECT step FROM tidemill.relations WHERE name = 'v'").Scan(&first); err != nil {
		t.Fatal(err)
	}
	var got []string
	id := ""
	read := func(most int) {
		t.Helper()
		data, last, err := readEvents(deadline(t), "http://"+n.HTTP+fmt.Sprintf("/v1/subscribe/v?as_of=%d", first), id, most)
		if err != nil {
			t.Fatal(err)
		}
		got, id = append(got, data...), last
	}
	read(4) // in the middle of the rows there were
	for i := range 30 {
		exe(t, c, fmt.Sprintf("UPDATE t SET g = (g + id) %% 7 WHERE id %% 4 = %d", rng.IntN(4)))
		if i == 15 {
			n.kill()
			n = dev(t, dir)
			c = n.connect(t)
		}
		if rng.IntN(3) == 0 {
			read(1 + rng.IntN(5))
		}
	}
	var last int64
	if err := c.QueryRow(deadline(t), "SELECT step FROM tidemill.relations WHERE name = 'v'").Scan(&last); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, r := range rows(t, c, fmt.Sprintf("SUBSCRIBE v AS OF %d UP TO %d", first, last)) {
		v := strings.Split(r, "|")
		want = append(want, fmt.Sprintf(`{"step":%s,"weight":%s,"row":{"g":%s,"c":%s}}`, v[0], v[1], v[2], v[3]))
	}
	if len(want) < 50 {
		t.Fatalf("only %d changes", len(want))
	}
	read(len(want) - len(got))
	if !slices.Equal(got, want) {
		t.Errorf("in pieces:\n%s\nat once:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The envelope by key, from a step on.
	data, _, err := readEvents(deadline(t), "http://"+n.HTTP+fmt.Sprintf("/v1/subscribe/v?as_of=%d&envelope=upsert&key=g&progress=true", last), "", 8)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows(t, c, "SELECT g, c FROM v ORDER BY g") {
		g, n, _ := strings.Cut(r, "|")
		if e := fmt.Sprintf(`{"step":%d,"state":"upsert","key":{"g":%s},"value":{"c":%s}}`, last, g, n); data[i] != e {
			t.Errorf("got %s, want %s", data[i], e)
		}
	}
	if status, answer := n.get(t, fmt.Sprintf("/v1/subscribe/v?as_of=%d", 0)); status != 400 || !strings.Contains(answer, "the oldest step to begin with is") {
		t.Errorf("%d %s", status, answer)
	}
}

// TestSubscribeWithDrivers gives the steps as parameters, and follows by COPY.
func TestSubscribeWithDrivers(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'a')")
	var first int64
	if err := c.QueryRow(deadline(t), "SELECT step FROM tidemill.relations WHERE name = 't'").Scan(&first); err != nil {
		t.Fatal(err)
	}
	exe(t, c, "UPDATE t SET v = 'b'", "INSERT INTO t VALUES (2, 'c')")
	res, err := c.Query(deadline(t), "SUBSCRIBE t WITH (SNAPSHOT = false, PROGRESS) AS OF $1 UP TO $2", first, first+2)
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		Step       int64
		Progressed bool
		Weight     *int64
		ID         *int32
		V          *string
	}
	list, err := pgx.CollectRows(res, pgx.RowToStructByPos[change])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range list {
		if x.Progressed {
			got = append(got, fmt.Sprintf("%d over", x.Step-first))
		} else {
			got = append(got, fmt.Sprintf("%d %+d %d %s", x.Step-first, *x.Weight, *x.ID, *x.V))
		}
	}
	if want := "[0 over 1 -1 1 a 1 +1 1 b 1 over 2 +1 2 c 2 over]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(deadline(t), &out, fmt.Sprintf("COPY (SUBSCRIBE t ENVELOPE DEBEZIUM (KEY (id)) AS OF %d UP TO %d) TO STDOUT WITH (FORMAT csv, HEADER)", first, first+2)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("step,state,id,before_v,after_v\n%d,insert,1,,a\n%d,upsert,1,a,b\n%d,insert,2,,c\n", first, first+1, first+2)
	if out.String() != want {
		t.Errorf("got %s\nwant %s", out.String(), want)
	}
}

// sinkRecords reads the lines of a file sink once done says that the last one is there,
// and checks that each is there once.
func sinkRecords(t *testing.T, path string, done func(record map[string]any, n int) bool) []map[string]any {
	t.Helper()
	for end := time.Now().Add(opTimeout); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(path)
		var out []map[string]any
		over, at := false, [2]float64{}
		for i, line := range strings.SplitAfter(string(text), "\n") {
			if !strings.HasSuffix(line, "\n") {
				break
			}
			var r map[string]any
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s line %d: %v: %q", path, i+1, err, line)
			}
			now := [2]float64{r["_step"].(float64), r["_index"].(float64)}
			if i > 0 && (now[0] < at[0] || now[0] == at[0] && now[1] != at[1]+1 || now[0] > at[0] && now[1] != 0) {
				t.Fatalf("%s line %d: record %v comes behind %v", path, i+1, now, at)
			}
			at = now
			out = append(out, r)
			over = over || done(r, len(out))
		}
		if over {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("%s has only %d records: %v", path, len(out), err)
		}
	}
}

// TestSinksInEnvelopes writes a view to files in each envelope, on a node that is killed
// meanwhile, and applies what is there.
func TestSinksInEnvelopes(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	dir, files := t.TempDir(), t.TempDir()
	n := dev(t, dir)
	c := n.connect(t)
	path := func(name string) string { return filepath.Join(files, name) }
	exe(t, c, "CREATE TABLE t (id INT PRIMARY KEY, g INT)", "INSERT INTO t SELECT i, i % 7 FROM generate_series(1, 30) AS x (i)",
		"CREATE SOURCE s (n INT) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON",
		"CREATE MATERIALIZED VIEW v AS SELECT g, count(*) AS c FROM t GROUP BY g",
		"CREATE SINK u FROM v WITH (connector = 'file', envelope = 'upsert', key = 'g', path = '"+path("u")+"')",
		"CREATE SINK d FROM v WITH (connector = 'file', envelope = 'debezium', key = 'g', path = '"+path("d")+"')",
		"CREATE SINK a AS SELECT n FROM s WHERE n > 2 WITH (connector = 'file', envelope = 'append-only', path = '"+path("a")+"')")
	if _, err := c.Exec(deadline(t), "CREATE SINK x FROM v WITH (connector = 'file', envelope = 'append-only', path = '"+path("x")+"')"); err == nil || !strings.Contains(err.Error(), "may be withdrawn") {
		t.Errorf("append-only of a view that withdraws rows: %v", err)
	}
	for i := range 24 {
		exe(t, c, fmt.Sprintf("UPDATE t SET g = (g + id) %% 7 WHERE id %% 4 = %d", rng.IntN(4)))
		if status, answer := n.post(t, "/v1/sources/s", "application/json", "", fmt.Sprintf(`[{"n":%d},{"n":%d}]`, i, i)); status != 200 {
			t.Fatal(status, answer)
		}
		if i%8 == 7 {
			n.kill()
			n = dev(t, dir)
			c = n.connect(t)
		}
	}
	exe(t, c, "FLUSH")
	exe(t, c, "INSERT INTO t SELECT i + 100, i FROM generate_series(0, 6) AS x (i)") // changes every group
	var last int64
	if err := c.QueryRow(deadline(t), "SELECT step FROM tidemill.relations WHERE name = 'v'").Scan(&last); err != nil {
		t.Fatal(err)
	}
	atEnd := func(r map[string]any, _ int) bool { return int64(r["_step"].(float64)) == last }
	want := map[string]string{}
	for _, r := range rows(t, c, "SELECT g, c FROM v") {
		g, n, _ := strings.Cut(r, "|")
		want[g] = n
	}
	upserted := map[string]string{}
	for _, r := range sinkRecords(t, path("u"), atEnd) {
		g := fmt.Sprint(r["g"])
		if delete(upserted, g); r["_op"] == "upsert" {
			upserted[g] = fmt.Sprint(r["c"])
		}
	}
	if !maps.Equal(upserted, want) {
		t.Errorf("upsert: %v, want %v", upserted, want)
	}
	changed := map[string]string{}
	for _, r := range sinkRecords(t, path("d"), atEnd) {
		g := fmt.Sprint(r["key"].(map[string]any)["g"])
		before, after := "", ""
		if row, ok := r["before"].(map[string]any); ok {
			before = fmt.Sprint(row["c"])
		}
		if row, ok := r["after"].(map[string]any); ok {
			after = fmt.Sprint(row["c"])
		}
		if changed[g] != before {
			t.Fatalf("debezium: %v, and there was %q", r, changed[g])
		}
		if changed[g] = after; after == "" {
			delete(changed, g)
		}
	}
	if !maps.Equal(changed, want) {
		t.Errorf("debezium: %v, want %v", changed, want)
	}
	var numbers []string
	all := rows(t, c, "SELECT n FROM s WHERE n > 2")
	for _, r := range sinkRecords(t, path("a"), func(_ map[string]any, n int) bool { return n == len(all) }) {
		numbers = append(numbers, fmt.Sprint(r["n"]))
		if len(r) != 3 {
			t.Errorf("append-only: %v", r)
		}
	}
	if !slices.Equal(sorted(numbers), sorted(all)) {
		t.Errorf("append-only: %v, want %v", numbers, all)
	}
}
