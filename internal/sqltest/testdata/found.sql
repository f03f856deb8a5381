# What random queries found, made small.

exec
CREATE TABLE t (a INT, b INT, c TEXT, d INTERVAL)
----
CREATE TABLE

exec
CREATE TABLE u (a INT, b INT, c TEXT)
----
CREATE TABLE

exec
INSERT INTO t VALUES (1, 2, 'a long enough text', '1 day'), (2, 2, 'b', '24:00:00'), (NULL, 3, 'c', NULL), (4, 1, 'a', '1 mon')
----
INSERT 0 4

exec
INSERT INTO t DEFAULT VALUES
----
INSERT 0 1

exec
INSERT INTO u VALUES (1, 3, 'a'), (3, NULL, 'b'), (NULL, 1, NULL), (4, 4, 'bb')
----
INSERT 0 4

# The text of a NULL row was read from an earlier block.
query
SELECT t.b, u.a FROM t, u WHERE rtrim(t.c) BETWEEN u.c AND 'b'
----
1 | 1
2 | 1
2 | 1
2 | 3

# The left side of IN is a grouping expression.
query
SELECT (t.a + t.b) IN (SELECT u.b FROM u) FROM t GROUP BY t.a + t.b
----
NULL
NULL
t
t

query
SELECT justify_interval(d) NOT IN (SELECT interval '30 days'), count(*) FROM t GROUP BY justify_interval(d)
----
NULL | 2
f | 1
t | 2

query
SELECT (t.a % NULLIF(t.a - t.b, 0)) IN (SELECT u.b FROM u WHERE u.a = t.a), count(*) FROM t GROUP BY t.a - t.b, t.a
----
f | 1
f | 1
f | 1
f | 2

query
SELECT t.a + t.b FROM t GROUP BY t.a + t.b HAVING t.a + t.b IN (SELECT u.b FROM u)
----
3
4

query
SELECT t.a + t.b FROM t GROUP BY t.a + t.b HAVING t.a + t.b NOT IN (SELECT u.b FROM u WHERE u.b IS NOT NULL) OR t.a + t.b > ALL (SELECT u.a FROM u)
----
5

query
SELECT t.a + t.b FROM t GROUP BY t.a + t.b HAVING t.a + t.b NOT IN (SELECT u.b FROM u WHERE u.b > 3)
----
3
5

query
SELECT t.a + t.b AS s, count((t.a + t.b) IN (SELECT u.b FROM u)) FROM t GROUP BY t.a + t.b ORDER BY t.a + t.b = ANY (SELECT u.b FROM u), s LIMIT 3
----
3 | 1
4 | 1
5 | 0

query
SELECT (sum(t.b), t.a + t.b) IN (SELECT u.b, u.a FROM u) FROM t GROUP BY t.a + t.b
----
NULL
NULL
NULL
f

# Constraints hold for rows that ON CONFLICT drops, too.
exec
CREATE TABLE k (id INT PRIMARY KEY, b INT NOT NULL CHECK (b > -5))
----
CREATE TABLE

exec
INSERT INTO k VALUES (6, 1)
----
INSERT 0 1

exec
INSERT INTO k VALUES (6, -7) ON CONFLICT (id) DO NOTHING
----
ERROR 23514: new row for relation "k" violates check constraint "k_b_check"

exec
INSERT INTO k VALUES (6, NULL) ON CONFLICT DO NOTHING
----
ERROR 23502: null value in column "b" of relation "k" violates not-null constraint

exec
INSERT INTO k VALUES (6, -7) ON CONFLICT (id) DO UPDATE SET b = 2
----
ERROR 23514: new row for relation "k" violates check constraint "k_b_check"

query
SELECT * FROM k
----
6 | 1

# Of several rows with one key, ON CONFLICT DO NOTHING takes the first.
exec
INSERT INTO k VALUES (1, 9), (1, 3), (2, 8), (1, 5), (2, 8) ON CONFLICT DO NOTHING
----
INSERT 0 2

query
SELECT * FROM k
----
1 | 9
2 | 8
6 | 1

exec
INSERT INTO k VALUES (3, 1), (3, 1) ON CONFLICT (id) DO UPDATE SET b = 0
----
ERROR 21000: ON CONFLICT DO UPDATE command cannot affect row a second time

# Rows whose columns are equal but not the same are told apart by a subquery.
exec
CREATE TABLE same (i INT, d INTERVAL, n NUMERIC, f DOUBLE PRECISION)
----
CREATE TABLE

exec
INSERT INTO same VALUES (1, '1 mon', 1.0, 0), (2, '30 days', 1.00, '-0'), (3, '720:00:00', 1, 1), (4, NULL, NULL, NULL)
----
INSERT 0 4

query
SELECT x.i, y.* FROM same x JOIN LATERAL (SELECT x.d AS d, x.n AS n, x.f AS f, u.a FROM u WHERE u.a <= x.i) AS y ON true
----
1 | 1 mon | 1.0 | 0 | 1
2 | 30 days | 1.00 | -0 | 1
3 | 720:00:00 | 1 | 1 | 1
3 | 720:00:00 | 1 | 1 | 3
4 | NULL | NULL | NULL | 1
4 | NULL | NULL | NULL | 3
4 | NULL | NULL | NULL | 4

query
SELECT x.i, y.* FROM same x LEFT JOIN LATERAL (SELECT x.d AS d) AS y ON x.i IN (1, 2)
----
1 | 1 mon
2 | 30 days
3 | NULL
4 | NULL

query
SELECT i, (SELECT max(x.n::text || u.c) FROM u) AS m, (SELECT max(u.c || x.d::text) FROM u WHERE u.b <> x.i) AS s FROM same x
----
1 | 1.0bb | bb1 mon
2 | 1.00bb | bb30 days
3 | 1bb | bb720:00:00
4 | NULL | NULL

query
SELECT i FROM same x WHERE EXISTS (SELECT 1 FROM u WHERE length(x.n::text) = u.b)
----
1
2
3

# A NaN in a grouped expression is the same wherever the expression is repeated; 0 and -0 are not one.
query
SELECT CASE f WHEN 'NaN' THEN 2 WHEN 1 THEN i END AS c, CASE f WHEN 'NaN' THEN 2 WHEN 1 THEN i END + 1 AS d, count(*)
FROM same GROUP BY CASE f WHEN 'NaN' THEN 2 WHEN 1 THEN i END
----
3 | 4 | 1
NULL | NULL | 3

query
SELECT f NOT IN ('NaN', 1) AS c, f NOT IN ('NaN', 1) IS NULL AS d, count(*) FROM same GROUP BY f NOT IN ('NaN', 1)
----
NULL | t | 1
f | f | 1
t | f | 2

exec
SELECT f * double precision '-0' FROM same GROUP BY f * double precision '0'
----
ERROR 42803: column "same.f" must appear in the GROUP BY clause or be used in an aggregate function

# A constant time shifted by a column's interval does not rise with anything.
query
SELECT timestamp '2001-01-01 00:00:00' + d AS t, date '2001-01-01' + d AS u FROM same WHERE i < 3
----
2001-01-31 00:00:00 | 2001-01-31 00:00:00
2001-02-01 00:00:00 | 2001-02-01 00:00:00

# The least and greatest of numerics below a tenth.
exec
CREATE TABLE small (id INT PRIMARY KEY, n NUMERIC)
----
CREATE TABLE

exec
INSERT INTO small VALUES (1, 0.05), (2, 0.001), (3, 0.00070), (4, -0.04), (5, -0.0004000), (6, 0.0300), (7, 0.5), (8, 12), (9, 0)
----
INSERT 0 9

query
SELECT id % 2 AS g, min(n), max(n), min(n) FILTER (WHERE n > 0) AS p, max(n) FILTER (WHERE n < 0) AS q, max(n) FILTER (WHERE n < 0.1) AS r FROM small GROUP BY id % 2
----
0 | -0.04 | 12 | 0.001 | -0.04 | 0.0300
1 | -0.0004000 | 0.5 | 0.00070 | -0.0004000 | 0.05

query
SELECT min(n) AS a, max(-n) AS b FROM small WHERE abs(n) < 0.1 AND n > 0
----
0.00070 | -0.00070
