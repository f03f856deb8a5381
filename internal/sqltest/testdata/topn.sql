# ORDER BY, LIMIT and OFFSET, also under withdrawals.

exec
CREATE TABLE t (k INT, v TEXT, d DOUBLE PRECISION)
----
CREATE TABLE

exec
INSERT INTO t VALUES (3, 'c', 0.5), (1, 'a', -1), (2, 'b', NULL), (5, 'e', 2), (4, 'd', 2), (NULL, 'n', 1)
----
INSERT 0 6

query
SELECT k, v FROM t ORDER BY k
----
1 | a
2 | b
3 | c
4 | d
5 | e
NULL | n

query
SELECT k, v FROM t ORDER BY k DESC
----
NULL | n
5 | e
4 | d
3 | c
2 | b
1 | a

query
SELECT k, v FROM t ORDER BY k NULLS FIRST LIMIT 3
----
NULL | n
1 | a
2 | b

query
SELECT v, d FROM t ORDER BY d DESC NULLS LAST, v LIMIT 3
----
d | 2
e | 2
n | 1

query
SELECT v FROM t ORDER BY k LIMIT 2 OFFSET 1
----
b
c

query
SELECT v FROM t ORDER BY k OFFSET 4
----
e
n

query
SELECT k * 10 AS x FROM t WHERE k IS NOT NULL ORDER BY -k LIMIT 2
----
50
40

query
SELECT v FROM t ORDER BY length(v), v DESC LIMIT 1
----
n

query
SELECT k FROM t ORDER BY k LIMIT 0
----

exec
DELETE FROM t WHERE k IN (1, 5)
----
DELETE 2

exec
INSERT INTO t VALUES (0, 'z', 3)
----
INSERT 0 1

query
SELECT k, v FROM t ORDER BY k LIMIT 3
----
0 | z
2 | b
3 | c

query
SELECT v, d FROM t ORDER BY d DESC NULLS LAST, v LIMIT 3
----
z | 3
d | 2
n | 1

query
SELECT d, count(*) FROM t GROUP BY d ORDER BY count(*) DESC, d LIMIT 2
----
0.5 | 1
1 | 1

query
SELECT DISTINCT ON (d) d, v FROM t ORDER BY d, v
----
0.5 | c
1 | n
2 | d
3 | z
NULL | b
