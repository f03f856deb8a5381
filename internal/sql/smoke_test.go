package sql

import "testing"

func TestSmoke(t *testing.T) {
	for _, s := range []string{
		`SELECT 1+2*3 AS x, count(*) FILTER (WHERE a > 1) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t a LEFT JOIN u USING (x) WHERE a.b IS NOT NULL AND NOT x = ANY(ARRAY[1,2]) GROUP BY 1 HAVING sum(x) > 2 ORDER BY 1 DESC NULLS LAST LIMIT 10 OFFSET 5`,
		`CREATE SOURCE bids (auction BIGINT, price BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (connector = 'nats', subject = 'bids.>') FORMAT PLAIN ENCODE JSON;`,
		`CREATE MATERIALIZED VIEW hot AS SELECT window_start, auction, count(*) AS bids FROM HOP(bids, at, INTERVAL '2 s', INTERVAL '10 s') GROUP BY window_start, auction EMIT ON WINDOW CLOSE;`,
		`CREATE SINK alerts FROM hot WITH (connector = 'nats', subject = 'alerts.hot'); SUBSCRIBE hot;`,
		`COPY (SUBSCRIBE v) TO STDOUT; DECLARE c CURSOR FOR SUBSCRIBE v; FETCH 10 c`,
		`((select 1) union select 2) order by 1`,
		`select ((select 1) + 1), (((select 2))), ((1),2)`,
		`select * from ((select 1) x join (select 2) y on true) z`,
	} {
		if _, err := Parse(s, Options{}); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
