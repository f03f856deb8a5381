# Window functions.

exec
CREATE TABLE e (id INT PRIMARY KEY, dept TEXT, pay INT, born DATE, rate DOUBLE PRECISION, fee NUMERIC, ok BOOLEAN)
----
CREATE TABLE

exec
INSERT INTO e VALUES (1, 'dev', 100, '2000-01-01', 0.1, 1.5, true), (2, 'dev', 200, '2000-01-03', 0.2, 2.25, false), (3, 'dev', 200, '2000-01-10', 0.3, NULL, true), (4, 'ops', 50, '2000-01-02', 1e300, 3, NULL), (5, 'ops', 70, '2000-02-01', -1e300, 4.0, true), (6, NULL, NULL, NULL, NULL, 1, false), (7, 'ops', 70, '2000-02-02', 0.7, 2, true)
----
INSERT 0 7

query
SELECT id, row_number() OVER (ORDER BY id), rank() OVER (ORDER BY pay), dense_rank() OVER (ORDER BY pay) FROM e
----
1 | 1 | 4 | 3
2 | 2 | 5 | 4
3 | 3 | 5 | 4
4 | 4 | 1 | 1
5 | 5 | 2 | 2
6 | 6 | 7 | 5
7 | 7 | 2 | 2

query
SELECT id, percent_rank() OVER (ORDER BY pay), cume_dist() OVER (ORDER BY pay), ntile(3) OVER (ORDER BY id) FROM e
----
1 | 0.5 | 0.5714285714285714 | 1
2 | 0.6666666666666666 | 0.8571428571428571 | 1
3 | 0.6666666666666666 | 0.8571428571428571 | 1
4 | 0 | 0.14285714285714285 | 2
5 | 0.16666666666666666 | 0.42857142857142855 | 2
6 | 1 | 1 | 3
7 | 0.16666666666666666 | 0.42857142857142855 | 3

query
SELECT id, lag(pay) OVER w, lead(pay) OVER w, lag(pay, 2) OVER w, lead(pay, 2, -1) OVER w, lag(pay, 1, 0) OVER (PARTITION BY dept ORDER BY id) FROM e WINDOW w AS (ORDER BY id)
----
1 | NULL | 200 | NULL | 200 | 0
2 | 100 | 200 | NULL | 50 | 100
3 | 200 | 50 | 100 | 70 | 200
4 | 200 | 70 | 200 | NULL | 0
5 | 50 | NULL | 200 | 70 | 50
6 | 70 | 70 | 50 | -1 | 0
7 | NULL | NULL | 70 | -1 | 70

query
SELECT id, lag(id, -1) OVER (ORDER BY id), lag(id, pay / 100) OVER (ORDER BY id), lag(id, NULL) OVER (ORDER BY id) FROM e
----
1 | 2 | NULL | NULL
2 | 3 | NULL | NULL
3 | 4 | 1 | NULL
4 | 5 | 4 | NULL
5 | 6 | 5 | NULL
6 | 7 | NULL | NULL
7 | NULL | 7 | NULL

query
SELECT id, first_value(id) OVER w, last_value(pay) OVER w, nth_value(id, 2) OVER (PARTITION BY dept ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM e WINDOW w AS (PARTITION BY dept ORDER BY pay, id)
----
1 | 1 | 100 | 2
2 | 1 | 200 | 2
3 | 1 | 200 | 2
4 | 4 | 50 | 5
5 | 4 | 70 | 5
6 | 6 | NULL | NULL
7 | 4 | 70 | 5

query
SELECT id, sum(pay) OVER (PARTITION BY dept), count(*) OVER (), count(pay) OVER (ORDER BY id), avg(pay) OVER (PARTITION BY dept ORDER BY id) FROM e
----
1 | 500 | 7 | 1 | 100.0000000000000000
2 | 500 | 7 | 2 | 150.0000000000000000
3 | 500 | 7 | 3 | 166.6666666666666667
4 | 190 | 7 | 4 | 50.0000000000000000
5 | 190 | 7 | 5 | 60.0000000000000000
6 | NULL | 7 | 5 | NULL
7 | 190 | 7 | 6 | 63.3333333333333333

query
SELECT id, sum(pay) OVER (ORDER BY pay), min(pay) OVER (ORDER BY id ROWS 2 PRECEDING), max(fee) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM e
----
1 | 290 | 100 | 2.25
2 | 690 | 100 | 2.25
3 | 690 | 100 | 3
4 | 50 | 50 | 4.0
5 | 190 | 50 | 4.0
6 | 690 | 50 | 4.0
7 | 190 | 70 | 2

query
SELECT id, sum(fee) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), sum(rate) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING) FROM e WHERE id <> 4 AND id <> 5
----
1 | 6.75 | 0.5
2 | 5.25 | 1
3 | 3 | 0.7
6 | 3 | 0.7
7 | 2 | NULL

query
SELECT id, count(*) OVER (ORDER BY born RANGE BETWEEN '2 days' PRECEDING AND '1 day' FOLLOWING), count(*) OVER (ORDER BY born DESC RANGE INTERVAL '1 week' PRECEDING) FROM e
----
1 | 2 | 3
2 | 3 | 2
3 | 1 | 1
4 | 3 | 2
5 | 2 | 2
6 | 1 | 1
7 | 2 | 1

query
SELECT id, sum(id) OVER (ORDER BY pay RANGE BETWEEN 30 PRECEDING AND 100 FOLLOWING), sum(id) OVER (ORDER BY pay DESC NULLS LAST RANGE BETWEEN 30 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY fee RANGE BETWEEN 0.5 PRECEDING AND 0.5 FOLLOWING) FROM e
----
1 | 18 | 1 | 3
2 | 5 | 5 | 2
3 | 5 | 5 | 1
4 | 17 | 16 | 1
5 | 17 | 13 | 1
6 | 6 | 6 | 2
7 | 17 | 13 | 3

query
SELECT id, count(*) OVER (ORDER BY rate RANGE BETWEEN 0.15 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY id RANGE BETWEEN 9223372036854775807 PRECEDING AND 2 FOLLOWING) FROM e
----
1 | 1 | 3
2 | 2 | 4
3 | 2 | 5
4 | 1 | 6
5 | 1 | 7
6 | 1 | 7
7 | 1 | 7

query
SELECT id, sum(id) OVER (ORDER BY pay GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW), count(*) OVER (ORDER BY pay GROUPS BETWEEN 1 FOLLOWING AND 2 FOLLOWING), array_length(ARRAY[1], 1) FROM e
----
1 | 13 | 3 | 1
2 | 6 | 1 | 1
3 | 6 | 1 | 1
4 | 4 | 3 | 1
5 | 16 | 3 | 1
6 | 11 | 0 | 1
7 | 16 | 3 | 1

query
SELECT id, count(*) OVER (ORDER BY pay EXCLUDE CURRENT ROW), count(*) OVER (ORDER BY pay EXCLUDE GROUP), count(*) OVER (ORDER BY pay EXCLUDE TIES), count(*) OVER (ORDER BY pay EXCLUDE NO OTHERS) FROM e
----
ERROR 42601: syntax error at or near "EXCLUDE"

query
SELECT id, sum(id) OVER (ORDER BY pay ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW), first_value(pay) OVER (ORDER BY pay RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP) FROM e WHERE id NOT IN (3, 5)
----
1 | 15 | 50
2 | 7 | 50
4 | 8 | NULL
6 | 2 | 50
7 | 7 | 50

query
SELECT id, count(*) FILTER (WHERE ok) OVER (ORDER BY id), bool_and(ok) OVER (ORDER BY id ROWS 1 PRECEDING), bool_or(ok) OVER (PARTITION BY dept), string_agg(dept, '-') OVER (ORDER BY id ROWS 2 PRECEDING) FROM e
----
1 | 1 | t | t | dev
2 | 1 | f | t | dev-dev
3 | 2 | f | t | dev-dev-dev
4 | 2 | t | t | dev-dev-ops
5 | 3 | t | t | dev-ops-ops
6 | 3 | f | f | ops-ops
7 | 4 | f | t | ops-ops

query
SELECT id, variance(pay) OVER (PARTITION BY dept), stddev_pop(pay) OVER (ORDER BY id), avg(id::DOUBLE PRECISION) OVER (PARTITION BY dept) FROM e
----
1 | 3333.3333333333333333 | 0 | 2
2 | 3333.3333333333333333 | 50.0000000000000000 | 2
3 | 3333.3333333333333333 | 47.1404520791031683 | 2
4 | 133.3333333333333333 | 64.9519052838328985 | 5.333333333333333
5 | 133.3333333333333333 | 64.0624695121878673 | 5.333333333333333
6 | NULL | 64.0624695121878673 | 6
7 | 133.3333333333333333 | 61.8465843842649082 | 5.333333333333333

query
SELECT dept, sum(pay), rank() OVER (ORDER BY sum(pay) DESC NULLS LAST), sum(sum(pay)) OVER () FROM e GROUP BY dept
----
NULL | NULL | 3 | 690
dev | 500 | 1 | 690
ops | 190 | 2 | 690

query
SELECT dept, count(*) OVER (PARTITION BY count(*)) FROM e GROUP BY dept HAVING count(*) > 1
----
dev | 2
ops | 2

query
SELECT DISTINCT dept, max(pay) OVER (PARTITION BY dept) AS m FROM e ORDER BY m DESC NULLS LAST
----
dev | 200
ops | 70
NULL | NULL

query
SELECT id FROM e ORDER BY row_number() OVER (ORDER BY id DESC) LIMIT 3
----
7
6
5

query
SELECT id, sum(pay) OVER (w ORDER BY id), count(*) OVER w2 FROM e WINDOW w AS (PARTITION BY dept), w2 AS (w ROWS UNBOUNDED PRECEDING)
----
1 | 100 | 1
2 | 300 | 2
3 | 500 | 3
4 | 50 | 1
5 | 120 | 2
6 | NULL | 1
7 | 190 | 3

query
SELECT id, pay - lag(pay) OVER (ORDER BY id) AS diff FROM e WHERE pay IS NOT NULL
----
1 | NULL
2 | 100
3 | 0
4 | -150
5 | 20
7 | 0

query
SELECT x, row_number() OVER (ORDER BY x), sum(x) OVER (ORDER BY x) FROM generate_series(1, 5) AS g (x)
----
1 | 1 | 1
2 | 2 | 3
3 | 3 | 6
4 | 4 | 10
5 | 5 | 15

query
SELECT id, (SELECT count(*) OVER () FROM e b WHERE b.dept = a.dept LIMIT 1) FROM e a
----
1 | 3
2 | 3
3 | 3
4 | 3
5 | 3
6 | NULL
7 | 3

exec
UPDATE e SET pay = 60 WHERE id = 2
----
UPDATE 1

exec
DELETE FROM e WHERE id = 5
----
DELETE 1

exec
INSERT INTO e VALUES (8, 'dev', 60, '1999-12-31', 0.05, 1.50, NULL)
----
INSERT 0 1

query
SELECT id, sum(pay) OVER (ORDER BY pay), rank() OVER (PARTITION BY dept ORDER BY pay DESC), lag(id) OVER (ORDER BY born) FROM e
----
1 | 340 | 2 | 8
2 | 170 | 3 | 4
3 | 540 | 1 | 2
4 | 50 | 2 | 1
6 | 540 | 1 | 7
7 | 240 | 1 | 3
8 | 170 | 3 | NULL

query
SELECT row_number() OVER (ORDER BY id) FROM e WHERE row_number() OVER () = 1
----
ERROR 42P20: window functions are not allowed in WHERE

query
SELECT 1 FROM e GROUP BY rank() OVER ()
----
ERROR 42P20: window functions are not allowed in GROUP BY

query
SELECT 1 FROM e GROUP BY id HAVING rank() OVER () = 1
----
ERROR 42P20: window functions are not allowed in HAVING

query
SELECT sum(rank() OVER ()) FROM e
----
ERROR 42803: aggregate function calls cannot contain window function calls

query
SELECT sum(rank() OVER ()) OVER () FROM e
----
ERROR 42P20: window function calls cannot be nested

query
SELECT count(DISTINCT id) OVER () FROM e
----
ERROR 0A000: DISTINCT is not implemented for window functions

query
SELECT string_agg(dept, ',' ORDER BY id) OVER () FROM e
----
ERROR 0A000: aggregate ORDER BY is not implemented for window functions

query
SELECT rank() FILTER (WHERE ok) OVER () FROM e
----
ERROR 0A000: FILTER is not implemented for non-aggregate window functions

query
SELECT rank() FROM e
----
ERROR 42809: window function rank requires an OVER clause

query
SELECT lower(dept) OVER () FROM e
----
ERROR 42809: OVER specified, but lower is not a window function nor an aggregate function

query
SELECT rank() OVER w FROM e
----
ERROR 42704: window "w" does not exist

query
SELECT rank() OVER w FROM e WINDOW w AS (ORDER BY id), w AS (ORDER BY pay)
----
ERROR 42P20: window "w" is already defined

query
SELECT rank() OVER (w ORDER BY pay) FROM e WINDOW w AS (ORDER BY id)
----
ERROR 42P20: cannot override ORDER BY clause of window "w"

query
SELECT rank() OVER (w PARTITION BY pay) FROM e WINDOW w AS (ORDER BY id)
----
ERROR 42P20: cannot override PARTITION BY clause of window "w"

query
SELECT sum(id) OVER (w ORDER BY id) FROM e WINDOW w AS (PARTITION BY id ROWS 1 PRECEDING)
----
ERROR 42P20: cannot copy window "w" because it has a frame clause

query
SELECT sum(id) OVER (w) FROM e WINDOW w AS (ORDER BY id ROWS 1 PRECEDING)
----
ERROR 42P20: cannot copy window "w" because it has a frame clause

query
SELECT sum(id) OVER (ORDER BY id ROWS -1 PRECEDING) FROM e
----
ERROR 22013: frame starting offset must not be negative

query
SELECT sum(id) OVER (ORDER BY id RANGE -1 PRECEDING) FROM e
----
ERROR 22013: invalid preceding or following size in window function

query
SELECT sum(id) OVER (ORDER BY id ROWS NULL PRECEDING) FROM e
----
ERROR 22004: frame starting offset must not be null

query
SELECT sum(id) OVER (ORDER BY id ROWS id PRECEDING) FROM e
----
ERROR 42P10: argument of ROWS must not contain variables

query
SELECT sum(id) OVER (ORDER BY dept RANGE 1 PRECEDING) FROM e
----
ERROR 0A000: RANGE with offset PRECEDING/FOLLOWING is not supported for column type text

query
SELECT sum(id) OVER (ORDER BY id, pay RANGE 1 PRECEDING) FROM e
----
ERROR 42P20: RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column

query
SELECT sum(id) OVER (ORDER BY born RANGE 1 PRECEDING) FROM e
----
ERROR 0A000: RANGE with offset PRECEDING/FOLLOWING is not supported for column type date and offset type integer

query
SELECT sum(id) OVER (GROUPS 1 PRECEDING) FROM e
----
ERROR 42P20: GROUPS mode requires an ORDER BY clause

query
SELECT ntile(0) OVER (ORDER BY id) FROM e
----
ERROR 22014: argument of ntile must be greater than zero

query
SELECT nth_value(id, 0) OVER (ORDER BY id) FROM e
----
ERROR 22016: argument of nth_value must be greater than zero

query
SELECT lag() OVER (ORDER BY id) FROM e
----
ERROR 42883: function lag() does not exist

query
SELECT id, rank() OVER (ORDER BY pay) FROM e GROUP BY id
----
1 | 5
2 | 2
3 | 6
4 | 1
6 | 7
7 | 4
8 | 2

query
SELECT dept, rank() OVER (ORDER BY pay) FROM e GROUP BY dept
----
ERROR 42803: column "e.pay" must appear in the GROUP BY clause or be used in an aggregate function

query
SELECT id, sum(fee) OVER (PARTITION BY dept ORDER BY id), 1 FROM e GROUP BY id ORDER BY id
----
1 | 1.5 | 1
2 | 3.75 | 1
3 | 3.75 | 1
4 | 3 | 1
6 | 1 | 1
7 | 5 | 1
8 | 5.25 | 1

query
SELECT id, lag(pay) OVER (ORDER BY born), ok FROM e GROUP BY id ORDER BY ok, id
----
2 | 50 | f
6 | 70 | f
1 | 60 | t
3 | 60 | t
7 | 200 | t
4 | 100 | NULL
8 | NULL | NULL

query
SELECT a.id, b.n FROM e a, LATERAL (SELECT count(*) OVER (ORDER BY x.id) AS n, x.id FROM e x WHERE x.dept = a.dept) b WHERE b.id = a.id
----
1 | 1
2 | 2
3 | 3
4 | 1
7 | 2
8 | 4

query
SELECT * FROM (SELECT id, dept, sum(pay) OVER (PARTITION BY dept) AS s FROM e) x WHERE dept = 'dev'
----
1 | dev | 420
2 | dev | 420
3 | dev | 420
8 | dev | 420

query
SELECT count(*) FROM (SELECT id, rank() OVER (ORDER BY pay) AS r FROM e) x
----
7

query
SELECT id, r FROM (SELECT id, rank() OVER (ORDER BY pay) AS r FROM e UNION ALL SELECT id, 0 FROM e) x WHERE r = 1
----
4 | 1

query
SELECT id, max(dept) OVER w, min(born) OVER w, any_value_is.x FROM e, (SELECT 1 AS x) any_value_is WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)
----
1 | dev | 2000-01-01 | 1
2 | dev | 2000-01-01 | 1
3 | ops | 2000-01-02 | 1
4 | ops | 2000-01-02 | 1
6 | ops | 2000-01-02 | 1
7 | ops | 1999-12-31 | 1
8 | ops | 1999-12-31 | 1

query
SELECT v, lag(v) OVER (ORDER BY v DESC NULLS FIRST), first_value(v) OVER (ORDER BY v DESC), rank() OVER (ORDER BY v DESC) FROM (VALUES (1.0), (1.00), (NULL), (2.5)) t (v)
----
1.0 | 2.5 | NULL | 3
1.00 | 1.0 | NULL | 3
2.5 | NULL | NULL | 2
NULL | NULL | NULL | 1

query
SELECT t, count(*) OVER (ORDER BY t RANGE BETWEEN '1 month' PRECEDING AND '1 day' PRECEDING) FROM (VALUES (TIMESTAMP '2024-01-31'), ('2024-02-29'), ('2024-03-31'), ('2024-03-30'), (NULL)) x (t)
----
2024-01-31 00:00:00 | 0
2024-02-29 00:00:00 | 1
2024-03-30 00:00:00 | 1
2024-03-31 00:00:00 | 2
NULL | 1

query
SELECT t, sum(EXTRACT(day FROM t)) OVER (ORDER BY t DESC RANGE BETWEEN CURRENT ROW AND '12 hours' FOLLOWING) FROM (VALUES (TIMESTAMPTZ '2024-01-31 00:00+00'), ('2024-01-31 10:00+00'), ('2024-01-31 13:00+00')) x (t)
----
2024-01-31 00:00:00+00 | 31
2024-01-31 10:00:00+00 | 62
2024-01-31 13:00:00+00 | 62

query
SELECT i, count(*) OVER (ORDER BY i RANGE BETWEEN '1 day' PRECEDING AND CURRENT ROW) FROM (VALUES (INTERVAL '1 day'), ('2 days'), ('1 month')) x (i)
----
1 day | 1
1 mon | 1
2 days | 2

query
SELECT lag(1, 1, 'x') OVER () FROM e
----
ERROR 22P02: invalid input syntax for type integer: "x"

query
SELECT count(*) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM e
----
ERROR 42P20: frame start cannot be UNBOUNDED FOLLOWING

query
SELECT row_number() OVER (ORDER BY id ROWS 1.5 PRECEDING) FROM e WHERE id = 1
----
1

query
SELECT row_number() OVER (ORDER BY id ROWS 'x' PRECEDING) FROM e
----
ERROR 22P02: invalid input syntax for type bigint: "x"

query
SELECT sum() OVER () FROM e
----
ERROR 42883: function sum() does not exist

query
SELECT sum(*) OVER () FROM e
----
ERROR 42883: function sum() does not exist

query
INSERT INTO e (id) VALUES (rank() OVER ())
----
ERROR 42P20: window functions are not allowed in VALUES

query
UPDATE e SET pay = rank() OVER ()
----
ERROR 42P20: window functions are not allowed in UPDATE

query
SELECT 1 FROM e a JOIN e b ON rank() OVER () = 1
----
ERROR 42P20: window functions are not allowed in JOIN conditions

query
SELECT id FROM e LIMIT rank() OVER ()
----
ERROR 42P20: window functions are not allowed in LIMIT

query
SELECT rank() OVER (ORDER BY rank() OVER ()) FROM e
----
ERROR 42P20: window functions are not allowed in window definitions
