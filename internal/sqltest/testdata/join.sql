# Joins of every kind, with NULL keys, duplicates and conditions beyond equality.

exec
CREATE TABLE l (a INT, b TEXT)
----
CREATE TABLE

exec
CREATE TABLE r (a INT, c TEXT)
----
CREATE TABLE

exec
INSERT INTO l VALUES (1, 'one'), (2, 'two'), (2, 'zwei'), (3, 'three'), (NULL, 'null'), (5, NULL)
----
INSERT 0 6

exec
INSERT INTO r VALUES (2, 'x'), (2, 'y'), (3, 'z'), (4, 'w'), (NULL, 'n')
----
INSERT 0 5

query
SELECT l.a, b, c FROM l JOIN r ON l.a = r.a
----
2 | two | x
2 | two | y
2 | zwei | x
2 | zwei | y
3 | three | z

query
SELECT l.a, b, r.a, c FROM l LEFT JOIN r ON l.a = r.a
----
1 | one | NULL | NULL
2 | two | 2 | x
2 | two | 2 | y
2 | zwei | 2 | x
2 | zwei | 2 | y
3 | three | 3 | z
5 | NULL | NULL | NULL
NULL | null | NULL | NULL

query
SELECT l.a, b, r.a, c FROM l RIGHT JOIN r ON l.a = r.a
----
2 | two | 2 | x
2 | two | 2 | y
2 | zwei | 2 | x
2 | zwei | 2 | y
3 | three | 3 | z
NULL | NULL | 4 | w
NULL | NULL | NULL | n

query
SELECT l.a, b, r.a, c FROM l FULL JOIN r ON l.a = r.a
----
1 | one | NULL | NULL
2 | two | 2 | x
2 | two | 2 | y
2 | zwei | 2 | x
2 | zwei | 2 | y
3 | three | 3 | z
5 | NULL | NULL | NULL
NULL | NULL | 4 | w
NULL | NULL | NULL | n
NULL | null | NULL | NULL

query
SELECT count(*) FROM l CROSS JOIN r
----
30

query
SELECT l.a, b, c FROM l LEFT JOIN r ON l.a = r.a AND c <> 'x'
----
1 | one | NULL
2 | two | y
2 | zwei | y
3 | three | z
5 | NULL | NULL
NULL | null | NULL

query
SELECT l.a, b, c FROM l FULL JOIN r ON l.a = r.a AND b < c
----
1 | one | NULL
2 | two | x
2 | two | y
2 | zwei | NULL
3 | three | z
5 | NULL | NULL
NULL | NULL | n
NULL | NULL | w
NULL | null | NULL

query
SELECT a, b, c FROM l JOIN r USING (a)
----
2 | two | x
2 | two | y
2 | zwei | x
2 | zwei | y
3 | three | z

query
SELECT a, b, c FROM l FULL JOIN r USING (a)
----
1 | one | NULL
2 | two | x
2 | two | y
2 | zwei | x
2 | zwei | y
3 | three | z
4 | NULL | w
5 | NULL | NULL
NULL | NULL | n
NULL | null | NULL

query
SELECT a, b, c FROM l NATURAL LEFT JOIN r
----
1 | one | NULL
2 | two | x
2 | two | y
2 | zwei | x
2 | zwei | y
3 | three | z
5 | NULL | NULL
NULL | null | NULL

query
SELECT l.a, r.a FROM l JOIN r ON l.a < r.a
----
1 | 2
1 | 2
1 | 3
1 | 4
2 | 3
2 | 3
2 | 4
2 | 4
3 | 4

query
SELECT l.a, r.a FROM l LEFT JOIN r ON l.a > r.a AND l.a = 3
----
1 | NULL
2 | NULL
2 | NULL
3 | 2
3 | 2
5 | NULL
NULL | NULL

query
SELECT x.a, y.a, z.c FROM l x JOIN l y ON x.a = y.a JOIN r z ON y.a = z.a
----
2 | 2 | x
2 | 2 | x
2 | 2 | x
2 | 2 | x
2 | 2 | y
2 | 2 | y
2 | 2 | y
2 | 2 | y
3 | 3 | z

query
SELECT x.b, y.b FROM l x, l y WHERE x.a = y.a AND x.b < y.b
----
two | zwei

exec
UPDATE r SET a = 1 WHERE c = 'y'
----
UPDATE 1

exec
DELETE FROM l WHERE b = 'zwei'
----
DELETE 1

query
SELECT l.a, b, r.a, c FROM l FULL JOIN r ON l.a = r.a
----
1 | one | 1 | y
2 | two | 2 | x
3 | three | 3 | z
5 | NULL | NULL | NULL
NULL | NULL | 4 | w
NULL | NULL | NULL | n
NULL | null | NULL | NULL

query
SELECT l.a, b, c FROM l LEFT JOIN (SELECT a, count(*) AS c FROM r GROUP BY a) r ON l.a = r.a
----
1 | one | 1
2 | two | 1
3 | three | 1
5 | NULL | NULL
NULL | null | NULL
