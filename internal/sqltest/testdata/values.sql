# VALUES, generate_series, CASE and expressions without tables.

query
SELECT 1 + 2 * 3, 'a' || 'b', NOT true, 2 ^ 3, 7 % 4, -7 / 2
----
7 | ab | f | 8 | 3 | -3

query
SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS v(n, s)
----
1 | a
2 | b
3 | NULL

query
SELECT n * 2 FROM (VALUES (1), (2.5)) AS v(n)
----
2
5.0

query
SELECT x FROM generate_series(1, 5) AS g(x) WHERE x % 2 = 1
----
1
3
5

query
SELECT count(*), sum(x) FROM generate_series(1, 1000) AS g(x)
----
1000 | 500500

query
SELECT g::date FROM generate_series('2001-01-30'::timestamp, '2001-02-02', '1 day') AS g
----
2001-01-30
2001-01-31
2001-02-01
2001-02-02

query
VALUES (1, 'x'), (2, 'y')
----
1 | x
2 | y

query
SELECT a.x, b.x FROM generate_series(1, 3) AS a(x), generate_series(1, 2) AS b(x) WHERE a.x > b.x
----
2 | 1
3 | 1
3 | 2

query
SELECT 1 AS one, NULL AS nothing, 'text' AS "Quoted Name"
----
1 | NULL | text

exec
CREATE TABLE n (lo INT, hi INT)
----
CREATE TABLE

exec
INSERT INTO n VALUES (1, 3), (5, 4), (2, 2)
----
INSERT 0 3

query
SELECT lo, x FROM n, generate_series(lo, hi) AS g(x)
----
1 | 1
1 | 2
1 | 3
2 | 2

query
SELECT lo, x FROM n LEFT JOIN LATERAL generate_series(lo, hi) AS g(x) ON true
----
1 | 1
1 | 2
1 | 3
2 | 2
5 | NULL

query
SELECT n.lo, m.c FROM n, LATERAL (SELECT count(*) AS c FROM n o WHERE o.lo <= n.lo) m
----
1 | 1
2 | 2
5 | 3
