package node_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestWatermarksAreShown(t *testing.T) {
	n := start(t, config(t.TempDir()))
	query(t, n, `CREATE SOURCE clicks (page text, at timestamp, p AS PROCTIME(), WATERMARK FOR at AS at - INTERVAL '5 s')
		WITH (connector = 'http', allowed_lateness = '1 s') FORMAT PLAIN ENCODE JSON;
		CREATE TABLE notes (id int, at timestamptz, WATERMARK FOR at AS at) APPEND ONLY;
		CREATE TABLE plain (id int);
		CREATE MATERIALIZED VIEW m AS SELECT window_start, count(*) AS n FROM TUMBLE(clicks, at, INTERVAL '10 s') GROUP BY window_start`)
	resp, err := http.Post("http://"+n.Addrs().HTTP+"/v1/sources/clicks", "application/x-ndjson", strings.NewReader(
		`{"page":"/","at":"2026-01-01T00:00:30"}`+"\n"+`{"page":"/","at":"2026-01-01T00:00:24"}`+"\n"+`{"page":"/","at":"2026-01-01T00:00:23"}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	query(t, n, "INSERT INTO notes VALUES (1, '2026-01-01 12:00+02'); INSERT INTO notes VALUES (2, '2026-01-01 11:00+02'), (3, '2026-01-01 13:00+02'); FLUSH")
	expect(t, n, "SELECT name, watermark, late_rows, partitions, idle_partitions FROM tidemill.sources", "clicks|2026-01-01 00:00:25|1|1|0")
	expect(t, n, "SELECT name, kind, column_name, watermark, late_rows FROM tidemill.watermarks WHERE column_name <> 'p' ORDER BY name",
		"clicks|source|at|2026-01-01 00:00:25|1\nm|materialized view|window_start|2026-01-01 00:00:20|\nnotes|table|at|2026-01-01 11:00:00|1")
	expect(t, n, "SELECT lag > INTERVAL '1 day' FROM tidemill.watermarks WHERE name = 'm'", "t")
	text := get(t, "http://"+n.Addrs().HTTP+"/metrics")
	for _, want := range []string{
		`tidemill_late_rows_total{relation="public.clicks"} 1`, `tidemill_late_rows_total{relation="public.notes"} 1`,
		`tidemill_watermark_seconds{column="at",relation="public.clicks"} 1.767225625e+09`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	expect(t, n, "SELECT a.attname, a.attgenerated FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'clicks'::regclass AND a.attgenerated <> ''", "p|s")
}
