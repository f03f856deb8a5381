# Aggregates over groups, with DISTINCT, FILTER, NULLs and withdrawals.

exec
CREATE TABLE t (g TEXT, i INT, b BIGINT, n NUMERIC(10,2), f DOUBLE PRECISION, ok BOOLEAN)
----
CREATE TABLE

query
SELECT count(*), count(i), sum(i), avg(i), min(i), max(i) FROM t
----
0 | 0 | NULL | NULL | NULL | NULL

query
SELECT g, count(*) FROM t GROUP BY g
----

exec
INSERT INTO t VALUES ('a', 1, 10, 1.50, 0.5, true), ('a', 2, 20, 2.25, 1.5, false), ('b', 3, NULL, 3.00, 2.5, true), ('b', NULL, 40, NULL, NULL, NULL), (NULL, 5, 50, 5.10, 4.5, true), ('a', 1, 10, 1.50, 0.5, true)
----
INSERT 0 6

query
SELECT count(*), count(i), sum(i), avg(i), min(i), max(i) FROM t
----
6 | 5 | 12 | 2.4000000000000000 | 1 | 5

query
SELECT g, count(*), count(i), sum(i), sum(b), sum(n), sum(f) FROM t GROUP BY g
----
NULL | 1 | 1 | 5 | 50 | 5.10 | 4.5
a | 3 | 3 | 4 | 40 | 5.25 | 2.5
b | 2 | 1 | 3 | 40 | 3.00 | 2.5

query
SELECT g, avg(i), avg(b), avg(n), avg(f) FROM t GROUP BY g
----
NULL | 5.0000000000000000 | 50.0000000000000000 | 5.1000000000000000 | 4.5
a | 1.3333333333333333 | 13.3333333333333333 | 1.7500000000000000 | 0.8333333333333334
b | 3.0000000000000000 | 40.0000000000000000 | 3.0000000000000000 | 2.5

query
SELECT g, min(i), max(b), min(n), max(f), min(g) FROM t GROUP BY g
----
NULL | 5 | 50 | 5.10 | 4.5 | NULL
a | 1 | 20 | 1.50 | 1.5 | a
b | 3 | 40 | 3.00 | 2.5 | b

query
SELECT count(DISTINCT i), sum(DISTINCT i), avg(DISTINCT n), count(DISTINCT g) FROM t
----
4 | 11 | 2.9625000000000000 | 2

query
SELECT g, count(DISTINCT i), sum(DISTINCT b) FROM t GROUP BY g
----
NULL | 1 | 50
a | 2 | 30
b | 1 | 40

query
SELECT g, count(*) FILTER (WHERE ok), sum(i) FILTER (WHERE i > 1) FROM t GROUP BY g
----
NULL | 1 | 5
a | 2 | 2
b | 1 | 3

query
SELECT bool_and(ok), bool_or(ok), every(ok) FROM t
----
f | t | f

query
SELECT g, sum(i) FROM t GROUP BY g HAVING sum(i) > 3
----
NULL | 5
a | 4

query
SELECT i % 2 AS odd, count(*) FROM t GROUP BY i % 2
----
0 | 1
1 | 4
NULL | 1

query
SELECT i % 2 AS odd, count(*) FROM t GROUP BY 1 HAVING count(*) > 1
----
1 | 4

query
SELECT g || '!' AS x, max(i) + min(i) FROM t GROUP BY g || '!'
----
NULL | 10
a! | 3
b! | 6

query
SELECT sum(i) + 1, count(*) * 2 FROM t WHERE g = 'nothing'
----
NULL | 0

query
SELECT DISTINCT g, ok FROM t
----
NULL | t
a | f
a | t
b | NULL
b | t

query
SELECT DISTINCT i % 2 FROM t WHERE i IS NOT NULL
----
0
1

query
SELECT g, s FROM (SELECT g, sum(i) AS s FROM t GROUP BY g) x WHERE s > 2
----
NULL | 5
a | 4
b | 3

query
SELECT max(s) FROM (SELECT g, sum(i) AS s FROM t GROUP BY g) x
----
5

query
SELECT string_agg(g, ',' ORDER BY g), string_agg(DISTINCT g, '-') FROM t
----
a,a,a,b,b | a-b

exec
DELETE FROM t WHERE i = 5
----
DELETE 1

exec
UPDATE t SET i = i + 10, n = n * 2 WHERE g = 'a' AND b = 20
----
UPDATE 1

query
SELECT g, count(*), sum(i), sum(n), min(i), max(i) FROM t GROUP BY g
----
a | 3 | 14 | 7.50 | 1 | 12
b | 2 | 3 | 3.00 | 3 | 3

query
SELECT stddev(i), variance(i), stddev_pop(i), var_pop(f) FROM t
----
5.2519837521962435 | 27.5833333333333333 | 4.5483513496650630 | 0.6875

exec
DELETE FROM t
----
DELETE 5

query
SELECT count(*), count(i), sum(i), avg(i), min(i), max(i) FROM t
----
0 | 0 | NULL | NULL | NULL | NULL

query
SELECT g, count(*) FROM t GROUP BY g
----
