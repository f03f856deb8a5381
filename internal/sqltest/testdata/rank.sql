# Ranks as conditions: the first rows of each partition.

exec
CREATE TABLE s (id INT PRIMARY KEY, k TEXT, v INT, at TIMESTAMP)
----
CREATE TABLE

exec
INSERT INTO s VALUES (1, 'a', 10, '2024-01-01 00:00'), (2, 'a', 20, '2024-01-01 00:01'), (3, 'a', 20, '2024-01-01 00:02'), (4, 'b', 5, '2024-01-01 00:03'), (5, 'b', 5, '2024-01-01 00:04'), (6, 'b', 1, '2024-01-01 00:05'), (7, 'c', NULL, '2024-01-01 00:06')
----
INSERT 0 7

query
SELECT k, id FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY at DESC) AS r FROM s) x WHERE r = 1
----
a | 3
b | 6
c | 7

query
SELECT k, id, r FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS r FROM s) x WHERE r <= 2
----
a | 2 | 1
a | 3 | 2
b | 4 | 1
b | 5 | 2
c | 7 | 1

query
SELECT k, id, r FROM (SELECT *, rank() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM s) x WHERE r < 2
----
a | 2 | 1
a | 3 | 1
b | 4 | 1
b | 5 | 1
c | 7 | 1

query
SELECT k, v, r FROM (SELECT *, dense_rank() OVER (PARTITION BY k ORDER BY v) AS r FROM s) x WHERE 2 >= r
----
a | 10 | 1
a | 20 | 2
a | 20 | 2
b | 1 | 1
b | 5 | 2
b | 5 | 2
c | NULL | 1

query
SELECT id, r FROM (SELECT *, row_number() OVER (ORDER BY v NULLS FIRST, id DESC) AS r FROM s) x WHERE r BETWEEN 2 AND 4
----
4 | 4
5 | 3
6 | 2

query
SELECT id FROM (SELECT *, rank() OVER (ORDER BY v) AS r FROM s) x WHERE r >= 2 AND r <= 4 AND v > 5
----
1

query
SELECT k, id FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY id) AS r FROM s) x WHERE r <= 1 AND k <> 'b'
----
a | 1
c | 7

query
WITH t AS (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY id) AS r, sum(v) OVER (PARTITION BY k) AS total FROM s) SELECT k, v, total FROM t WHERE r = 1
----
a | 10 | 50
b | 5 | 11
c | NULL | NULL

query
SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM s) x WHERE r <= 0
----

exec
UPDATE s SET v = 30 WHERE id = 1
----
UPDATE 1

exec
DELETE FROM s WHERE id IN (5, 7)
----
DELETE 2

query
SELECT k, id, r FROM (SELECT *, rank() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM s) x WHERE r <= 2
----
a | 1 | 1
a | 2 | 2
a | 3 | 2
b | 4 | 1
b | 6 | 2

query
SELECT k, id FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY at) AS r FROM s) x WHERE r = 1
----
a | 1
b | 4

query
SELECT a.id, (SELECT b.id FROM (SELECT id, row_number() OVER (ORDER BY v DESC, id) AS r FROM s WHERE s.k = a.k) b WHERE b.r = 1) FROM s a
----
1 | 1
2 | 1
3 | 1
4 | 4
6 | 4
