# Joins in time. PostgreSQL has no ASOF JOIN and no FOR SYSTEM_TIME AS OF; what it
# says with LATERAL stands next to them.

exec
CREATE TABLE trades (id INT, sym TEXT, at TIMESTAMP, price INT)
----
CREATE TABLE

exec
CREATE TABLE quotes (sym TEXT, at TIMESTAMP, bid INT)
----
CREATE TABLE

exec
INSERT INTO trades VALUES (1, 'a', '2026-01-01 10:00:00', 10), (2, 'a', '2026-01-01 10:00:05', 11), (3, 'b', '2026-01-01 10:00:05', 20), (4, 'c', '2026-01-01 10:00:06', 30), (5, NULL, '2026-01-01 10:00:07', 40), (6, 'a', NULL, 50), (7, 'a', 'infinity', 60), (8, 'b', '2026-01-01 09:00:00', 70)
----
INSERT 0 8

exec
INSERT INTO quotes VALUES ('a', '2026-01-01 09:59:58', 9), ('a', '2026-01-01 10:00:05', 10), ('a', '2026-01-01 10:00:05', 8), ('b', '2026-01-01 10:00:00', 19), ('b', '2026-01-01 10:00:09', 21), ('c', NULL, 29), (NULL, '2026-01-01 10:00:00', 1), ('a', '-infinity', 2), ('d', 'infinity', 3)
----
INSERT 0 9

query
SELECT t.id, q.bid FROM trades t JOIN quotes q ON t.sym = q.sym AND t.at BETWEEN q.at - INTERVAL '2 s' AND q.at + INTERVAL '5 s'
----
1 | 9
2 | 10
2 | 8
3 | 19

query
SELECT t.id, q.bid FROM trades t JOIN quotes q ON t.at BETWEEN q.at - INTERVAL '2 s' AND q.at + INTERVAL '5 s'
----
1 | 1
1 | 19
1 | 9
2 | 1
2 | 10
2 | 19
2 | 8
3 | 1
3 | 10
3 | 19
3 | 8
4 | 10
4 | 8
5 | 10
5 | 21
5 | 8
7 | 3

query
SELECT t.id, q.bid FROM trades t, quotes q WHERE t.at > q.at AND t.at <= q.at + INTERVAL '5 s'
----
1 | 9
2 | 1
2 | 19
3 | 1
3 | 19
4 | 10
4 | 8
5 | 10
5 | 8

query
SELECT t.id, q.bid FROM (SELECT * FROM trades WHERE id <> 7) t LEFT JOIN (SELECT * FROM quotes WHERE bid > 3) q ON t.at - q.at BETWEEN INTERVAL '-2 s' AND INTERVAL '1 s'
----
1 | 19
2 | 10
2 | 8
3 | 10
3 | 8
4 | 10
4 | 8
5 | 21
6 | NULL
8 | NULL

query
SELECT t.id, q.bid FROM trades t RIGHT JOIN quotes q ON q.at >= t.at - INTERVAL '2 s' AND q.at < t.at + INTERVAL '1 s'
----
1 | 1
1 | 19
1 | 9
2 | 10
2 | 8
3 | 10
3 | 8
4 | 10
4 | 8
5 | 10
5 | 8
NULL | 2
NULL | 21
NULL | 29
NULL | 3

query
SELECT t.id, q.bid FROM trades t FULL JOIN quotes q ON t.sym = q.sym AND q.at >= t.at - INTERVAL '2 s' AND q.at < t.at + INTERVAL '1 s'
----
1 | 9
2 | 10
2 | 8
3 | NULL
4 | NULL
5 | NULL
6 | NULL
7 | NULL
8 | NULL
NULL | 1
NULL | 19
NULL | 2
NULL | 21
NULL | 29
NULL | 3

query
SELECT t.id FROM trades t WHERE NOT EXISTS (SELECT 1 FROM quotes q WHERE q.at BETWEEN t.at - INTERVAL '3 s' AND t.at)
----
6
8

query
SELECT t.id, u.id FROM trades t JOIN trades u ON t.price - u.price BETWEEN 1 AND 10
----
2 | 1
3 | 1
3 | 2
4 | 3
5 | 4
6 | 5
7 | 6
8 | 7

query
SELECT t.id, u.id FROM trades t JOIN trades u ON t.at::date + 1 = u.at + INTERVAL '14 h'
----
1 | 1
2 | 1
3 | 1
4 | 1
5 | 1
7 | 7
8 | 1

query
SELECT t.id, q.bid FROM trades t JOIN quotes q ON t.sym = q.sym AND t.at >= q.at
----
1 | 2
1 | 9
2 | 10
2 | 2
2 | 8
2 | 9
3 | 19
7 | 10
7 | 2
7 | 8
7 | 9

# Each left row with the latest quote at or before it.

query nopg
SELECT t.id, q.at, q.bid FROM trades t ASOF JOIN quotes q ON t.sym = q.sym AND t.at >= q.at
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 10:00:05 | 8
3 | 2026-01-01 10:00:00 | 19
7 | 2026-01-01 10:00:05 | 8

query
SELECT t.id, q.at, q.bid FROM trades t JOIN LATERAL (SELECT * FROM quotes q WHERE t.sym = q.sym AND t.at >= q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 10:00:05 | 8
3 | 2026-01-01 10:00:00 | 19
7 | 2026-01-01 10:00:05 | 8

query nopg
SELECT t.id, q.at, q.bid FROM trades t ASOF LEFT JOIN quotes q ON t.at > q.at AND q.sym = t.sym
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 09:59:58 | 9
3 | 2026-01-01 10:00:00 | 19
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | 2026-01-01 10:00:05 | 8
8 | NULL | NULL

query
SELECT t.id, q.at, q.bid FROM trades t LEFT JOIN LATERAL (SELECT * FROM quotes q WHERE t.sym = q.sym AND t.at > q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 09:59:58 | 9
3 | 2026-01-01 10:00:00 | 19
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | 2026-01-01 10:00:05 | 8
8 | NULL | NULL

query nopg
SELECT t.id, q.at, q.bid FROM trades t ASOF LEFT JOIN quotes q ON q.sym = t.sym AND q.at >= t.at
----
1 | 2026-01-01 10:00:05 | 8
2 | 2026-01-01 10:00:05 | 8
3 | 2026-01-01 10:00:09 | 21
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | NULL | NULL
8 | 2026-01-01 10:00:00 | 19

query
SELECT t.id, q.at, q.bid FROM trades t LEFT JOIN LATERAL (SELECT * FROM quotes q WHERE t.sym = q.sym AND t.at <= q.at ORDER BY q.at, q.bid LIMIT 1) q ON true
----
1 | 2026-01-01 10:00:05 | 8
2 | 2026-01-01 10:00:05 | 8
3 | 2026-01-01 10:00:09 | 21
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | NULL | NULL
8 | 2026-01-01 10:00:00 | 19

query nopg
SELECT t.id, q.at, q.bid FROM trades t ASOF JOIN quotes q ON t.at + INTERVAL '5 s' < q.at
----
1 | 2026-01-01 10:00:09 | 21
2 | infinity | 3
3 | infinity | 3
4 | infinity | 3
5 | infinity | 3
8 | 2026-01-01 09:59:58 | 9

query
SELECT t.id, q.at, q.bid FROM trades t JOIN LATERAL (SELECT * FROM quotes q WHERE t.at + INTERVAL '5 s' < q.at ORDER BY q.at, q.sym, q.bid LIMIT 1) q ON true
----
1 | 2026-01-01 10:00:09 | 21
2 | infinity | 3
3 | infinity | 3
4 | infinity | 3
5 | infinity | 3
8 | 2026-01-01 09:59:58 | 9

# The quote is chosen before the filter; a filter before the choice is a subquery.

query nopg
SELECT t.id, q.bid FROM trades t ASOF JOIN quotes q ON t.sym = q.sym AND t.at >= q.at WHERE q.bid > 8
----
1 | 9
3 | 19

query
SELECT t.id, q.bid FROM trades t JOIN LATERAL (SELECT * FROM quotes q WHERE t.sym = q.sym AND t.at >= q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true WHERE q.bid > 8
----
1 | 9
3 | 19

query nopg
SELECT t.id, q.bid FROM trades t ASOF JOIN (SELECT * FROM quotes WHERE bid > 8) q ON t.sym = q.sym AND t.at >= q.at
----
1 | 9
2 | 10
3 | 19
7 | 10

query
SELECT t.id, q.bid FROM trades t JOIN LATERAL (SELECT * FROM quotes q WHERE bid > 8 AND t.sym = q.sym AND t.at >= q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true
----
1 | 9
2 | 10
3 | 19
7 | 10

query nopg
SELECT t.id FROM trades t WHERE t.price > (SELECT min(u.price) FROM trades u ASOF JOIN quotes q ON u.sym = q.sym AND u.at >= q.at WHERE u.sym = t.sym)
----
2
6
7
8

query
SELECT t.id FROM trades t WHERE t.price > (SELECT min(u.price) FROM trades u JOIN LATERAL (SELECT * FROM quotes q WHERE u.sym = q.sym AND u.at >= q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true WHERE u.sym = t.sym)
----
2
6
7
8

query nopg
SELECT t.id FROM trades t ASOF JOIN quotes q ON t.sym = q.sym
----
ERROR 42601: ASOF JOIN has 0 conditions besides equalities, and needs one

query nopg
SELECT t.id FROM trades t ASOF JOIN quotes q ON t.sym = q.sym AND t.at >= q.at AND q.bid > 8
----
ERROR 42601: ASOF JOIN has 2 conditions besides equalities, and needs one

query nopg
SELECT t.id FROM trades t ASOF JOIN quotes q ON t.sym >= q.sym
----
ERROR 42804: ASOF JOIN by text is not supported

# Versions: the rate that was valid at the time of the trade.

exec
CREATE TABLE rates (sym TEXT, valid_from TIMESTAMP, rate INT, PRIMARY KEY (sym, valid_from))
----
CREATE TABLE

exec
INSERT INTO rates VALUES ('a', '2026-01-01 09:00:00', 2), ('a', '2026-01-01 10:00:03', 3), ('b', '2026-01-01 10:00:05', 4), ('d', '2026-01-01 00:00:00', 5)
----
INSERT 0 4

query nopg
SELECT t.id, r.rate FROM trades t JOIN rates FOR SYSTEM_TIME AS OF t.at AS r ON t.sym = r.sym
----
1 | 2
2 | 3
3 | 4
7 | 3

query
SELECT t.id, r.rate FROM trades t JOIN LATERAL (SELECT * FROM rates r WHERE t.sym = r.sym AND t.at >= r.valid_from ORDER BY valid_from DESC LIMIT 1) r ON true
----
1 | 2
2 | 3
3 | 4
7 | 3

query nopg
SELECT t.id, r.sym, r.rate FROM trades t LEFT JOIN rates FOR SYSTEM_TIME AS OF t.at AS r ON t.sym = r.sym AND r.rate < 4
----
1 | a | 2
2 | a | 3
3 | NULL | NULL
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | a | 3
8 | NULL | NULL

query
SELECT t.id, r.sym, r.rate FROM trades t LEFT JOIN LATERAL (SELECT * FROM (SELECT * FROM rates r WHERE t.sym = r.sym AND t.at >= r.valid_from ORDER BY valid_from DESC LIMIT 1) r WHERE rate < 4) r ON true
----
1 | a | 2
2 | a | 3
3 | NULL | NULL
4 | NULL | NULL
5 | NULL | NULL
6 | NULL | NULL
7 | a | 3
8 | NULL | NULL

query nopg
SELECT t.id, r.rate FROM trades t JOIN rates FOR SYSTEM_TIME AS OF t.at AS r ON t.price = r.rate
----
ERROR 0A000: the versions of table rates are told apart by (sym): FOR SYSTEM_TIME AS OF needs an equality with each of these columns and with no other

query nopg
SELECT t.id, q.bid FROM trades t JOIN quotes FOR SYSTEM_TIME AS OF t.at AS q ON t.sym = q.sym
----
ERROR 0A000: table quotes has no versions

exec nopg
CREATE VIEW rate AS SELECT DISTINCT ON (sym) sym, rate, valid_from FROM rates ORDER BY sym, valid_from DESC
----
CREATE VIEW

query nopg
SELECT t.id, r.rate FROM trades t JOIN rate FOR SYSTEM_TIME AS OF t.at AS r ON t.sym = r.sym
----
1 | 2
2 | 3
3 | 4
7 | 3

query
SELECT t.id, r.rate FROM trades t JOIN LATERAL (SELECT * FROM rates r WHERE t.sym = r.sym AND t.at >= r.valid_from ORDER BY valid_from DESC LIMIT 1) r ON true
----
1 | 2
2 | 3
3 | 4
7 | 3

exec
UPDATE rates SET rate = 7 WHERE sym = 'a' AND rate = 2
----
UPDATE 1

exec
DELETE FROM quotes WHERE bid = 8
----
DELETE 1

query nopg
SELECT t.id, r.rate FROM trades t JOIN rates FOR SYSTEM_TIME AS OF t.at AS r ON t.sym = r.sym
----
1 | 7
2 | 3
3 | 4
7 | 3

query
SELECT t.id, r.rate FROM trades t JOIN LATERAL (SELECT * FROM rates r WHERE t.sym = r.sym AND t.at >= r.valid_from ORDER BY valid_from DESC LIMIT 1) r ON true
----
1 | 7
2 | 3
3 | 4
7 | 3

query nopg
SELECT t.id, q.at, q.bid FROM trades t ASOF JOIN quotes q ON t.sym = q.sym AND t.at >= q.at
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 10:00:05 | 10
3 | 2026-01-01 10:00:00 | 19
7 | 2026-01-01 10:00:05 | 10

query
SELECT t.id, q.at, q.bid FROM trades t JOIN LATERAL (SELECT * FROM quotes q WHERE t.sym = q.sym AND t.at >= q.at ORDER BY q.at DESC, q.bid LIMIT 1) q ON true
----
1 | 2026-01-01 09:59:58 | 9
2 | 2026-01-01 10:00:05 | 10
3 | 2026-01-01 10:00:00 | 19
7 | 2026-01-01 10:00:05 | 10

# As it is now: asked once, a lookup is a join.

query nopg noview
SELECT t.id, q.bid FROM trades t LEFT JOIN quotes FOR SYSTEM_TIME AS OF PROCTIME() AS q ON t.sym = q.sym AND q.bid < t.price
----
1 | 2
1 | 9
2 | 10
2 | 2
2 | 9
3 | 19
4 | 29
5 | NULL
6 | 10
6 | 2
6 | 9
7 | 10
7 | 2
7 | 9
8 | 19
8 | 21

query
SELECT t.id, q.bid FROM trades t LEFT JOIN quotes AS q ON t.sym = q.sym AND q.bid < t.price
----
1 | 2
1 | 9
2 | 10
2 | 2
2 | 9
3 | 19
4 | 29
5 | NULL
6 | 10
6 | 2
6 | 9
7 | 10
7 | 2
7 | 9
8 | 19
8 | 21
