# Set operations keep or drop duplicates; NULLs are equal to each other.

exec
CREATE TABLE a (x INT, y TEXT)
----
CREATE TABLE

exec
CREATE TABLE b (x INT, y TEXT)
----
CREATE TABLE

exec
INSERT INTO a VALUES (1, 'p'), (1, 'p'), (2, 'q'), (NULL, NULL), (3, 'r'), (1, 'p')
----
INSERT 0 6

exec
INSERT INTO b VALUES (1, 'p'), (2, 'q'), (2, 'q'), (NULL, NULL), (4, 's'), (1, 'p')
----
INSERT 0 6

query
SELECT * FROM a UNION SELECT * FROM b
----
1 | p
2 | q
3 | r
4 | s
NULL | NULL

query
SELECT * FROM a UNION ALL SELECT * FROM b
----
1 | p
1 | p
1 | p
1 | p
1 | p
2 | q
2 | q
2 | q
3 | r
4 | s
NULL | NULL
NULL | NULL

query
SELECT * FROM a INTERSECT SELECT * FROM b
----
1 | p
2 | q
NULL | NULL

query
SELECT * FROM a INTERSECT ALL SELECT * FROM b
----
1 | p
1 | p
2 | q
NULL | NULL

query
SELECT * FROM a EXCEPT SELECT * FROM b
----
3 | r

query
SELECT * FROM a EXCEPT ALL SELECT * FROM b
----
1 | p
3 | r

query
SELECT x FROM a UNION SELECT 2.5 ORDER BY 1
----
1
2
2.5
3
NULL

query
SELECT x FROM a WHERE x > 1 UNION ALL (SELECT x FROM b ORDER BY x LIMIT 2)
----
1
1
2
3

query
SELECT x, count(*) FROM (SELECT x FROM a UNION ALL SELECT x FROM b) u GROUP BY x
----
1 | 5
2 | 3
3 | 1
4 | 1
NULL | 2

exec
DELETE FROM b WHERE x = 1
----
DELETE 2

query
SELECT * FROM a EXCEPT ALL SELECT * FROM b
----
1 | p
1 | p
1 | p
3 | r

query
SELECT * FROM a INTERSECT ALL SELECT * FROM b
----
2 | q
NULL | NULL

exec
INSERT INTO b VALUES (3, 'r')
----
INSERT 0 1

query
SELECT * FROM a EXCEPT SELECT * FROM b
----
1 | p

query noview
SELECT x FROM a UNION SELECT y FROM b
----
ERROR 42804: UNION types integer and text cannot be matched

query noview
SELECT x, y FROM a UNION SELECT x FROM b
----
ERROR 42601: each UNION query must have the same number of columns
