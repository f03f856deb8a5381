package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/batch"
	"github.com/tidemill/tidemill/internal/catalog"
	"github.com/tidemill/tidemill/internal/connector"
	"github.com/tidemill/tidemill/internal/types"
)

// The base relations. The column w says which operation wrote a row; it is the last.
var baseTables = []string{
	`CREATE TABLE t (id INT PRIMARY KEY, g INT, n NUMERIC(10,2), f DOUBLE PRECISION, s TEXT, w BIGINT)`,
	`CREATE TABLE u (g INT, k INT, w BIGINT)`,
	`CREATE TABLE led (x BIGINT PRIMARY KEY, w BIGINT)`,
	`CREATE TABLE ev (sensor INT, at TIMESTAMP, v INT, w BIGINT, WATERMARK FOR at AS at - INTERVAL '10 seconds') APPEND ONLY`,
	`CREATE SOURCE src (k INT, at TIMESTAMP, v INT, w BIGINT, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (connector = 'pushed')`,
	`CREATE SOURCE gen (n BIGINT, g BIGINT) WITH (connector = 'counting')`,
}

// check says how a view is compared with the oracle.
type check int

const (
	exact  check = iota // it is the query's answer
	subset              // its rows are among the query's answer: EMIT ON WINDOW CLOSE
	replay              // by its digest alone: state_ttl forgets
)

// viewDef is a view of the pool.
type viewDef struct {
	name, with, query string
	check             check
	reads             string // a view it reads
}

// viewPool has every operator that keeps state.
var viewPool = []viewDef{
	{name: "v_join", query: `SELECT t.id, t.s, u.k, u.w AS uw FROM t JOIN u ON t.g = u.g`},
	{name: "v_left", query: `SELECT t.id, u.k FROM t LEFT JOIN u ON t.g = u.g AND u.k > 4`},
	{name: "v_full", query: `SELECT t.id, t.g AS tg, u.g AS ug, u.k FROM t FULL JOIN u ON t.g = u.g AND t.id = u.k`},
	{name: "v_anti", query: `SELECT id, g FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.g = t.g)`},
	{name: "v_semi", query: `SELECT id, n FROM t WHERE g IN (SELECT g FROM u WHERE k > 2)`},
	{name: "v_agg", query: `SELECT g, count(*) AS c, sum(n) AS sn, avg(n) AS an, min(s) AS ms, max(n) AS mn, sum(f) AS sf FROM t GROUP BY g`},
	{name: "v_global", query: `SELECT count(*) AS c, count(DISTINCT g) AS dg, sum(DISTINCT k) AS dk, min(k) AS mk, max(w) AS mw FROM u`},
	{name: "v_minmax", query: `SELECT g, min(k) AS mi, max(k) AS ma, min(w) AS mw FROM u GROUP BY g HAVING count(*) > 1`},
	{name: "v_text", query: `SELECT g, string_agg(s, ',' ORDER BY id) AS l, bool_or(f > 1) AS b FROM t GROUP BY g`},
	{name: "v_var", check: replay, query: `SELECT g, avg(f) AS af, stddev(n) AS sd, var_pop(f) AS vp FROM t GROUP BY g`},
	{name: "v_distinct", query: `SELECT DISTINCT g, k FROM u`},
	{name: "v_top", query: `SELECT id, n, s FROM t ORDER BY n DESC NULLS LAST, id LIMIT 3`},
	{name: "v_topk", query: `SELECT id, g, n, r FROM (SELECT id, g, n, row_number() OVER (PARTITION BY g ORDER BY n DESC, id) AS r FROM t) x WHERE r <= 2`},
	{name: "v_over", query: `SELECT id, g, sum(n) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS sn, lag(s) OVER (PARTITION BY g ORDER BY id) AS l, rank() OVER (ORDER BY n, id) AS r FROM t`},
	{name: "v_except", query: `SELECT g FROM t EXCEPT ALL SELECT g FROM u`},
	{name: "v_inter", query: `SELECT g FROM t INTERSECT SELECT g FROM u`},
	{name: "v_union", query: `SELECT g, id AS k FROM t UNION SELECT g, k FROM u`},
	{name: "v_scalar", query: `SELECT id, n FROM t WHERE n > (SELECT avg(n) FROM t)`},
	{name: "v_tumble", query: `SELECT window_start, sensor, count(*) AS c, sum(v) AS sv, max(v) AS mv FROM TUMBLE(ev, at, INTERVAL '10 seconds') GROUP BY window_start, sensor`},
	{name: "v_close", check: subset, query: `SELECT window_start, window_end, count(*) AS c, sum(v) AS sv FROM TUMBLE(ev, at, INTERVAL '10 seconds') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE`},
	{name: "v_hop", query: `SELECT window_start, count(*) AS c, min(v) AS mi FROM HOP(src, at, INTERVAL '5 seconds', INTERVAL '15 seconds') GROUP BY window_start`},
	{name: "v_session", query: `SELECT sensor, window_start, window_end, count(*) AS c FROM SESSION(ev PARTITION BY sensor, at, INTERVAL '4 seconds') GROUP BY sensor, window_start, window_end`},
	{name: "v_sclose", check: subset, query: `SELECT sensor, window_start, window_end, sum(v) AS sv FROM SESSION(ev PARTITION BY sensor, at, INTERVAL '4 seconds') GROUP BY sensor, window_start, window_end EMIT ON WINDOW CLOSE`},
	{name: "v_match", check: subset, query: `SELECT * FROM ev MATCH_RECOGNIZE (PARTITION BY sensor ORDER BY at MEASURES a.w AS fw, LAST(b.v) AS lv, count(b.v) AS nb ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (a b+) DEFINE b AS v > PREV(v))`},
	{name: "v_mtable", query: `SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY g ORDER BY id MEASURES FIRST(a.id) AS fi, LAST(b.id) AS li ONE ROW PER MATCH PATTERN (a b) DEFINE b AS n > PREV(n))`},
	{name: "v_asof", query: `SELECT e.sensor, e.at, e.w AS ew, s.v, s.w AS sw FROM ev e ASOF LEFT JOIN src s ON s.k = e.sensor AND e.at >= s.at`},
	{name: "v_between", query: `SELECT e.w AS ew, s.w AS sw FROM ev e JOIN src s ON s.k = e.sensor AND s.at BETWEEN e.at - INTERVAL '3 seconds' AND e.at + INTERVAL '2 seconds'`},
	{name: "v_lookup", query: `SELECT s.k, s.v, t.s FROM src s LEFT JOIN t ON t.id = s.k`},
	{name: "v_gen", query: `SELECT g, count(*) AS c, sum(n) AS sn, max(n) AS mn FROM gen GROUP BY g`},
	{name: "v_gtop", query: `SELECT g, n FROM (SELECT g, n, row_number() OVER (PARTITION BY g ORDER BY n DESC) AS r FROM gen) x WHERE r <= 2`},
	{name: "v_recent", query: `SELECT count(*) AS c, max(v) AS m FROM ev WHERE at > now()::timestamp - INTERVAL '20 seconds'`},
	{name: "v_ttl", check: replay, with: ` WITH (state_ttl = '20 s')`, query: `SELECT g, count(*) AS c, max(k) AS m FROM u GROUP BY g`},
	{name: "v_tjoin", check: replay, with: ` WITH (state_ttl = '15 s')`, query: `SELECT t.id, u.k FROM t JOIN u ON t.g = u.g`},
	{name: "v_chain", reads: "v_agg", query: `SELECT max(sn) AS m, sum(c) AS c, count(*) AS n FROM v_agg`},
	{name: "v_chain2", reads: "v_join", query: `SELECT id, count(*) AS c, max(k) AS mk FROM v_join GROUP BY id`},
	{name: "v_chain3", reads: "v_tumble", query: `SELECT sensor, max(c) AS m FROM v_tumble GROUP BY sensor`},
}

func (v *viewDef) create() string {
	return "CREATE MATERIALIZED VIEW " + v.name + v.with + " AS " + v.query
}

func viewByName(name string) *viewDef {
	for i := range viewPool {
		if viewPool[i].name == name {
			return &viewPool[i]
		}
	}
	return nil
}

// indexPool has indexes to come and go.
var indexPool = []string{
	`CREATE INDEX i_g ON t (g)`,
	`CREATE INDEX i_ng ON t (n, g)`,
	`CREATE INDEX i_u ON u (k DESC)`,
}

// registry has the systems that p knows.
func (w *World) registry(p *proc) *connector.Registry {
	return connector.NewRegistry(
		connector.System{Name: "kept", Sink: func(cfg connector.Config) (connector.Sink, error) {
			return kept{w, p, catalog.ID(cfg.ID)}, nil
		}},
		connector.System{Name: "pushed", Source: func(cfg connector.Config) (any, error) { return pushed{cfg.Columns}, nil }},
		connector.System{Name: "counting", Source: func(connector.Config) (any, error) { return counting{}, nil }})
}

// pushed is a source that takes the rows of requests, as http does: lines of integers,
// of which a time is in seconds. A line that is none is a bad record.
type pushed struct{ cols []connector.Column }

// Decode implements connector.Receiver.
func (p pushed) Decode(body []byte) (connector.Block, error) {
	var rows [][]types.Value
	var ts []types.Type
	var b connector.Block
	for _, c := range p.cols {
		ts = append(ts, c.Type)
	}
lines:
	for line := range strings.Lines(string(body)) {
		var row []types.Value
		fields := strings.Fields(line)
		for i, f := range fields {
			var x int64
			if _, err := fmt.Sscan(f, &x); err != nil || len(fields) != len(ts) {
				b.Bad = append(b.Bad, connector.Bad{Data: []byte(line), Reason: "not a row"})
				continue lines
			}
			if ts[i].Kind == types.Timestamp {
				x *= 1e6
			}
			row = append(row, types.IntValue(ts[i].Kind, x))
		}
		rows = append(rows, row)
	}
	b.Rows = batch.FromRows(ts, rows)
	return b, nil
}

// counting is a source whose row n is (n, n % 3), two rows a second.
type counting struct{}

// maxCounted bounds the rows of counting.
const maxCounted = 60

// Available implements connector.Replayable.
func (counting) Available(start, now int64) uint64 {
	return min(uint64(max(now-start, 0))/500_000, maxCounted)
}

// Read implements connector.Replayable.
func (counting) Read(from, to uint64, bu *batch.Builder) error {
	if to > maxCounted {
		return errors.New("counting: there are no such rows")
	}
	for n := from; n < to; n++ {
		bu.AppendRow([]types.Value{types.IntValue(types.Int8, int64(n)), types.IntValue(types.Int8, int64(n%3))}, 1)
	}
	return nil
}

// isGenerated reports whether a source's rows follow from their position.
func isGenerated(def *catalog.Relation) bool {
	for _, o := range def.Options {
		if o.Name == "connector" {
			return o.Value == "counting"
		}
	}
	return false
}

var _ connector.Receiver = pushed{}

// background is the context of everything in the model; nothing is ever cancelled.
func background() context.Context { return context.Background() }
