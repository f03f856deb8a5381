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
