package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

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
