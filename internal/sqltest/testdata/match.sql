# MATCH_RECOGNIZE: patterns in the order of rows. The runner asks every query ad hoc and as
# views that are kept up to date row by row, in random cuts and under withdrawals.

exec
CREATE TABLE ticker (symbol TEXT, day INT, price INT)
----
CREATE TABLE

exec
INSERT INTO ticker VALUES ('ACME', 1, 12), ('ACME', 2, 17), ('ACME', 3, 19), ('ACME', 4, 21), ('ACME', 5, 25), ('ACME', 6, 12), ('ACME', 7, 15), ('ACME', 8, 20), ('ACME', 9, 24), ('ACME', 10, 25), ('ACME', 11, 19), ('ACME', 12, 15), ('ACME', 13, 25), ('ACME', 14, 25), ('ACME', 15, 14), ('ACME', 16, 12), ('ACME', 17, 14), ('ACME', 18, 24), ('ACME', 19, 23), ('ACME', 20, 22), ('OSIRIS', 1, 5), ('OSIRIS', 2, 4), ('OSIRIS', 3, 3), ('OSIRIS', 4, 6), ('OSIRIS', 5, 6), ('OSIRIS', 6, 2)
----
INSERT 0 26

# The V shape of every textbook.
query nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES strt.day AS start_day, LAST(down.day) AS bottom_day, LAST(up.day) AS end_day
  ONE ROW PER MATCH
  AFTER MATCH SKIP TO LAST up
  PATTERN (strt down+ up+)
  DEFINE down AS down.price < PREV(down.price), up AS up.price > PREV(up.price)
) AS mr
----
ACME | 10 | 12 | 13
ACME | 14 | 16 | 18
ACME | 5 | 6 | 10
OSIRIS | 1 | 3 | 4

query nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES strt.day AS start_day, FINAL LAST(down.day) AS bottom_day, FINAL LAST(up.day) AS end_day,
    MATCH_NUMBER() AS match_num, CLASSIFIER() AS var_match
  ALL ROWS PER MATCH
  AFTER MATCH SKIP TO LAST up
  PATTERN (strt down+ up+)
  DEFINE down AS down.price < PREV(down.price), up AS up.price > PREV(up.price)
)
----
ACME | 10 | 10 | 12 | 13 | 2 | strt | 25
ACME | 10 | 5 | 6 | 10 | 1 | up | 25
ACME | 11 | 10 | 12 | 13 | 2 | down | 19
ACME | 12 | 10 | 12 | 13 | 2 | down | 15
ACME | 13 | 10 | 12 | 13 | 2 | up | 25
ACME | 14 | 14 | 16 | 18 | 3 | strt | 25
ACME | 15 | 14 | 16 | 18 | 3 | down | 14
ACME | 16 | 14 | 16 | 18 | 3 | down | 12
ACME | 17 | 14 | 16 | 18 | 3 | up | 14
ACME | 18 | 14 | 16 | 18 | 3 | up | 24
ACME | 5 | 5 | 6 | 10 | 1 | strt | 25
ACME | 6 | 5 | 6 | 10 | 1 | down | 12
ACME | 7 | 5 | 6 | 10 | 1 | up | 15
ACME | 8 | 5 | 6 | 10 | 1 | up | 20
ACME | 9 | 5 | 6 | 10 | 1 | up | 24
OSIRIS | 1 | 1 | 3 | 4 | 1 | strt | 5
OSIRIS | 2 | 1 | 3 | 4 | 1 | down | 4
OSIRIS | 3 | 1 | 3 | 4 | 1 | down | 3
OSIRIS | 4 | 1 | 3 | 4 | 1 | up | 6

# Running and final aggregates.
query nopg
SELECT symbol, day, price, var, run, fin, downs, up_max, average FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES CLASSIFIER() AS var, RUNNING count(*) AS run, FINAL count(*) AS fin, count(down.*) AS downs, max(up.price) AS up_max,
    FINAL avg(price) AS average
  ALL ROWS PER MATCH
  PATTERN (strt down+ up+)
  DEFINE down AS price < PREV(price), up AS price > PREV(price)
)
----
ACME | 10 | 25 | up | 6 | 6 | 1 | 25 | 20.1666666666666667
ACME | 11 | 19 | strt | 1 | 3 | 0 | NULL | 19.6666666666666667
ACME | 12 | 15 | down | 2 | 3 | 1 | NULL | 19.6666666666666667
ACME | 13 | 25 | up | 3 | 3 | 1 | 25 | 19.6666666666666667
ACME | 14 | 25 | strt | 1 | 5 | 0 | NULL | 17.8000000000000000
ACME | 15 | 14 | down | 2 | 5 | 1 | NULL | 17.8000000000000000
ACME | 16 | 12 | down | 3 | 5 | 2 | NULL | 17.8000000000000000
ACME | 17 | 14 | up | 4 | 5 | 2 | 14 | 17.8000000000000000
ACME | 18 | 24 | up | 5 | 5 | 2 | 24 | 17.8000000000000000
ACME | 5 | 25 | strt | 1 | 6 | 0 | NULL | 20.1666666666666667
ACME | 6 | 12 | down | 2 | 6 | 1 | NULL | 20.1666666666666667
ACME | 7 | 15 | up | 3 | 6 | 1 | 15 | 20.1666666666666667
ACME | 8 | 20 | up | 4 | 6 | 1 | 20 | 20.1666666666666667
ACME | 9 | 24 | up | 5 | 6 | 1 | 24 | 20.1666666666666667
OSIRIS | 1 | 5 | strt | 1 | 4 | 0 | NULL | 4.5000000000000000
OSIRIS | 2 | 4 | down | 2 | 4 | 1 | NULL | 4.5000000000000000
OSIRIS | 3 | 3 | down | 3 | 4 | 2 | NULL | 4.5000000000000000
OSIRIS | 4 | 6 | up | 4 | 4 | 2 | 6 | 4.5000000000000000

# Aggregates of the match so far, in a condition.
query nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES FIRST(a.day) AS first_day, LAST(a.day) AS last_day, avg(a.price) AS average, b.day AS b_day
  PATTERN (a+ b)
  DEFINE a AS avg(a.price) < 18
)
----
ACME | 1 | 4 | 17.2500000000000000 | 5
ACME | 12 | 12 | 15.0000000000000000 | 13
ACME | 15 | 19 | 17.4000000000000000 | 20
ACME | 6 | 9 | 17.7500000000000000 | 10
OSIRIS | 1 | 5 | 4.8000000000000000 | 6

# What LAST and FIRST with offsets reach, and what they do not.
query nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES FIRST(up.day) AS f0, FIRST(up.day, 1) AS f1, LAST(up.day) AS l0, LAST(up.day, 1) AS l1, LAST(up.day, 100) AS none,
    PREV(FIRST(up.day, 1), 1) AS before_f1, NEXT(LAST(up.day)) AS after, PREV(up.day, 2) AS two
  PATTERN (up up+)
  DEFINE up AS PREV(price) IS NULL OR price > PREV(price)
)
----
ACME | 1 | 2 | 5 | 4 | NULL | 1 | 6 | 3
ACME | 17 | 18 | 18 | 17 | NULL | 17 | 19 | 16
ACME | 7 | 8 | 10 | 9 | NULL | 7 | 11 | 8

# Conditions that look at rows of other variables.
query nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES a.day AS a, LAST(b.day) AS b, c.day AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (a b+ c)
  DEFINE b AS b.price < a.price, c AS c.price > a.price AND c.price > LAST(b.price) + 5
)
----
ACME | 11 | 12 | 13

exec
DELETE FROM ticker WHERE symbol = 'ACME' AND day = 6
----
DELETE 1

changes nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES strt.day AS start_day, LAST(down.day) AS bottom_day, LAST(up.day) AS end_day, MATCH_NUMBER() AS n
  PATTERN (strt down+ up+)
  DEFINE down AS price < PREV(price), up AS price > PREV(price)
)
----
+1 (ACME, 11, 12, 13, 2)
+1 (ACME, 14, 16, 18, 3)
+1 (ACME, 5, 7, 10, 1)
+1 (OSIRIS, 1, 3, 4, 1)

exec
UPDATE ticker SET price = 1 WHERE symbol = 'ACME' AND day = 3
----
UPDATE 1

changes nopg
SELECT * FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol ORDER BY day
  MEASURES strt.day AS start_day, LAST(down.day) AS bottom_day, LAST(up.day) AS end_day, MATCH_NUMBER() AS n
  PATTERN (strt down+ up+)
  DEFINE down AS price < PREV(price), up AS price > PREV(price)
)
----
+1 (ACME, 10, 12, 13, 2)
-1 (ACME, 11, 12, 13, 2)
+1 (ACME, 2, 3, 5, 1)
-1 (ACME, 5, 7, 10, 1)

# Sequences of letters: n gives the order, l the letter.
exec
CREATE TABLE s (n INT, l TEXT)
----
CREATE TABLE

exec
INSERT INTO s VALUES (1, 'a'), (2, 'a'), (3, 'b'), (4, 'a'), (5, 'c'), (6, 'b'), (7, 'b'), (8, 'a')
----
INSERT 0 8

# Greedy and reluctant, and which of two ways is preferred.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l, count(*) AS c
  PATTERN (a+) DEFINE a AS l = 'a')
----
1 | 2 | 2
4 | 4 | 1
8 | 8 | 1

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l, string_agg(l, '' ORDER BY n) AS letters
  PATTERN (a+?) DEFINE a AS l = 'a')
----
1 | 1 | a
2 | 2 | a
4 | 4 | a
8 | 8 | a

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES CLASSIFIER() AS v, n AS at ALL ROWS PER MATCH
  PATTERN (x | y) DEFINE y AS l = 'a', x AS l <> 'b')
----
1 | x | 1 | a
2 | x | 2 | a
4 | x | 4 | a
5 | x | 5 | c
8 | x | 8 | a

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l
  PATTERN (a{2} b | a b) DEFINE a AS l = 'a', b AS l = 'b')
----
1 | 3

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, count(*) AS c
  PATTERN (x{2,3}))
----
1 | 3
4 | 3
7 | 2

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, count(*) AS c
  PATTERN (x{2,3}?))
----
1 | 2
3 | 2
5 | 2
7 | 2

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, count(*) AS c, match_number() AS m
  PATTERN (x{,3}))
----
1 | 3 | 1
4 | 3 | 2
7 | 2 | 3

# Empty matches: shown, omitted; unmatched rows.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES match_number() AS m, classifier() AS v, count(*) AS c, first(n) AS f
  ONE ROW PER MATCH PATTERN (a*) DEFINE a AS l = 'a')
----
1 | a | 2 | 1
2 | NULL | 0 | NULL
3 | a | 1 | 4
4 | NULL | 0 | NULL
5 | NULL | 0 | NULL
6 | NULL | 0 | NULL
7 | a | 1 | 8

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES match_number() AS m, classifier() AS v, count(*) AS c, first(n) AS f
  ALL ROWS PER MATCH PATTERN (a*) DEFINE a AS l = 'a')
----
1 | 1 | a | 1 | 1 | a
2 | 1 | a | 2 | 1 | a
3 | 2 | NULL | 0 | NULL | b
4 | 3 | a | 1 | 4 | a
5 | 4 | NULL | 0 | NULL | c
6 | 5 | NULL | 0 | NULL | b
7 | 6 | NULL | 0 | NULL | b
8 | 7 | a | 1 | 8 | a

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES match_number() AS m, classifier() AS v, count(*) AS c
  ALL ROWS PER MATCH OMIT EMPTY MATCHES PATTERN (a*) DEFINE a AS l = 'a')
----
1 | 1 | a | 1 | a
2 | 1 | a | 2 | a
4 | 3 | a | 1 | a
8 | 7 | a | 1 | a

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES match_number() AS m, classifier() AS v, count(*) AS c
  ALL ROWS PER MATCH WITH UNMATCHED ROWS PATTERN (a b) DEFINE a AS l = 'a', b AS l = 'b')
----
1 | NULL | NULL | NULL | a
2 | 1 | a | 1 | a
3 | 1 | b | 2 | b
4 | NULL | NULL | NULL | a
5 | NULL | NULL | NULL | c
6 | NULL | NULL | NULL | b
7 | NULL | NULL | NULL | b
8 | NULL | NULL | NULL | a

# Anchors.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l PATTERN (^ a+) DEFINE a AS l = 'a')
----
1 | 2

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l PATTERN (x x $))
----
7 | 8

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l PATTERN (x $ y))
----

# PERMUTE prefers the order in which it is written.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, CLASSIFIER() AS v, count(*) AS c
  ALL ROWS PER MATCH PATTERN (PERMUTE(a, b, c)) DEFINE a AS l = 'a', b AS l = 'b', c AS l = 'c')
----
3 | 3 | b | 1 | b
4 | 3 | a | 2 | a
5 | 3 | c | 3 | c

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES CLASSIFIER() AS v ALL ROWS PER MATCH PATTERN (PERMUTE(x, y, z)))
----
1 | x | a
2 | y | a
3 | z | b
4 | x | a
5 | y | c
6 | z | b

# Exclusion: matched, counted, but not shown.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES CLASSIFIER() AS v, FINAL count(*) AS c ALL ROWS PER MATCH
  PATTERN (a {- b+ -} c | a {- (a | c) -} b+) DEFINE a AS l = 'a', b AS l = 'b', c AS l = 'c')
----
1 | a | 3 | a
3 | b | 3 | b
4 | a | 4 | a
6 | b | 4 | b
7 | b | 4 | b

# Subsets.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n
  MEASURES LAST(u.n) AS last_u, CLASSIFIER(u) AS class_u, count(u.l) AS count_u, FIRST(CLASSIFIER()) AS fc, LAST(CLASSIFIER(), 1) AS lc
  AFTER MATCH SKIP TO LAST u
  PATTERN ((a | b)+ c (a | b)) SUBSET u = (a, b), w = (c, a) DEFINE a AS l = 'a', b AS l = 'b', c AS l = 'c')
----
6 | b | 5 | a | c

# Where the search goes on.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l AFTER MATCH SKIP TO NEXT ROW PATTERN (x y z))
----
1 | 3
2 | 4
3 | 5
4 | 6
5 | 7
6 | 8

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l AFTER MATCH SKIP TO FIRST y PATTERN (x y+ z)
  DEFINE z AS l = 'c')
----
1 | 5
2 | 5
3 | 5

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, LAST(n) AS l AFTER MATCH SKIP TO y PATTERN (x y+ z)
  DEFINE z AS l = 'b')
----
1 | 7

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f AFTER MATCH SKIP TO FIRST x PATTERN (x y))
----
ERROR 2202L: AFTER MATCH SKIP failed: cannot skip to the first row of the match

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f AFTER MATCH SKIP TO y PATTERN (x y?) DEFINE y AS l = 'z')
----
ERROR 2202K: AFTER MATCH SKIP failed: the match has no row of the variable to skip to

# What a navigation makes of rows that are not there is NULL, whatever the expression.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES PREV(coalesce(l, 'none')) AS p, coalesce(PREV(l), 'none') AS q, NEXT(l || '!') AS nx
  PATTERN (x) DEFINE x AS l = 'a')
----
NULL | none | a!
a | a | b!
b | b | NULL
b | b | c!

# Nothing matches; no rows at all.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES n AS at PATTERN (x) DEFINE x AS l = 'q')
----

query nopg
SELECT count(*) FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (x y))
----
4

# In a larger query: a subquery as input, filters on the partition, a join of two.
query nopg
SELECT m.k, m.c, o.c FROM (SELECT n % 2 AS k, n, l FROM s) AS q MATCH_RECOGNIZE (PARTITION BY k ORDER BY n MEASURES count(*) AS c PATTERN (x+)) AS m
  JOIN (SELECT n % 3 AS k, n FROM s) MATCH_RECOGNIZE (PARTITION BY k ORDER BY n MEASURES count(*) AS c PATTERN (x+)) AS o ON o.k = m.k
WHERE m.k >= 0
----
0 | 4 | 2
1 | 4 | 3

query nopg
SELECT t.n, x.c FROM s AS t, LATERAL (SELECT * FROM (SELECT * FROM s AS i WHERE i.n <= t.n) AS r
  MATCH_RECOGNIZE (ORDER BY n MEASURES count(*) AS c PATTERN (a+ $) DEFINE a AS l = 'a')) AS x
----
1 | 1
2 | 2
4 | 1
8 | 1

# WITHIN bounds the time from the first row to the last: less than the interval.
exec
CREATE TABLE log (at TIMESTAMP, who TEXT, what TEXT)
----
CREATE TABLE

exec
INSERT INTO log VALUES ('2026-01-01 10:00:00', 'ann', 'fail'), ('2026-01-01 10:00:20', 'ann', 'fail'), ('2026-01-01 10:00:40', 'ann', 'fail'), ('2026-01-01 10:01:00', 'ann', 'ok'), ('2026-01-01 10:00:00', 'bob', 'fail'), ('2026-01-01 10:00:10', 'bob', 'fail'), ('2026-01-01 10:00:30', 'bob', 'fail'), ('2026-01-01 10:00:59', 'bob', 'ok'), (NULL, 'bob', 'fail'), ('2026-01-01 10:05:00', 'cid', 'fail')
----
INSERT 0 10

query nopg
SELECT * FROM log MATCH_RECOGNIZE (PARTITION BY who ORDER BY at
  MEASURES count(f.*) AS fails, LAST(at) - FIRST(at) AS took
  PATTERN (f{2,} ok) WITHIN INTERVAL '1 minute'
  DEFINE f AS what = 'fail', ok AS what = 'ok')
----
ann | 2 | 00:00:40
bob | 3 | 00:00:59

# Equal rows, and rows that tie: the whole row breaks ties.
exec
INSERT INTO s VALUES (1, 'a'), (1, 'a'), (8, 'z')
----
INSERT 0 3

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, count(*) AS c PATTERN (a+) DEFINE a AS l = 'a')
----
1 | 4
4 | 1
8 | 1

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES LAST(l) AS l PATTERN (a z) DEFINE a AS n = 8, z AS n = 8)
----
z

# A condition that cannot be computed.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES n AS at PATTERN (a) DEFINE a AS 1 / (n - 8) = 1)
----
ERROR 22012: division by zero

# Nested loops without rows end.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES FIRST(n) AS f, count(*) AS c PATTERN (((a?)* (b*)*)+ c) DEFINE a AS l = 'a', b AS l = 'b', c AS l = 'c')
----
1 | 7

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES count(*) AS c PATTERN ((() | a)* b) DEFINE a AS l = 'a', b AS l = 'b')
----
1
1
5

# What is not allowed.
query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) DEFINE b AS l = 'a')
----
ERROR 42704: row pattern has no variable "b"

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) DEFINE a AS l = 'a', a AS l = 'b')
----
ERROR 42712: row pattern variable "a" defined more than once

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) SUBSET u = (a, c))
----
ERROR 42704: row pattern has no variable "c"

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) SUBSET a = (a))
----
ERROR 42712: row pattern variable "a" specified more than once

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) SUBSET u = (a) DEFINE u AS true)
----
ERROR 42601: "u" is a subset: only variables of the pattern can be defined

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n AFTER MATCH SKIP TO b PATTERN (a))
----
ERROR 42704: row pattern has no variable "b"

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) DEFINE a AS s.l = 'a')
----
ERROR 42704: row pattern has no variable "s"

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a) DEFINE a AS FINAL LAST(l) = 'a')
----
ERROR 42601: FINAL cannot be used in DEFINE: the match is not known yet

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS PREV(a.n + b.n) = 1)
----
ERROR 42601: all columns in one prev must be of the same row pattern variable

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS FIRST(PREV(a.n)) = 1)
----
ERROR 42601: prev cannot be nested in another navigation

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS PREV(a.n, -1) = 1)
----
ERROR 22023: the offset of prev must be a constant integer that is not negative

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS PREV(1) = 1)
----
ERROR 42601: the argument of prev must have a column

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS sum(FIRST(a.n)) = 1)
----
ERROR 42803: first cannot be used in an aggregate

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS sum(a.n + b.n) = 1)
----
ERROR 42601: all columns in one sum must be of the same row pattern variable

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) DEFINE b AS l)
----
ERROR 42804: argument of DEFINE must be type boolean, not type text

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n ALL ROWS PER MATCH WITH UNMATCHED ROWS PATTERN (a {- b -}))
----
ERROR 42601: {- -} cannot be used with ALL ROWS PER MATCH WITH UNMATCHED ROWS

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (a b) WITHIN INTERVAL '1 s')
----
ERROR 42804: WITHIN needs rows ordered by a timestamp or date, not integer

query nopg
SELECT * FROM log MATCH_RECOGNIZE (ORDER BY at DESC PATTERN (a b) WITHIN INTERVAL '1 s')
----
ERROR 42601: WITHIN needs an ORDER BY that begins with a time, ascending

query nopg
SELECT * FROM log MATCH_RECOGNIZE (ORDER BY at PATTERN (a b) WITHIN INTERVAL '1 month')
----
ERROR 22023: the durations of WITHIN must not contain months: their length varies

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN (PERMUTE(a, b, c, d, e, f, g, h, i)))
----
ERROR 54001: row pattern is too large: written out it has more than 16384 parts

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n PATTERN ((a{1000}){1000}))
----
ERROR 54001: row pattern is too large: written out it has more than 16384 parts

query nopg
SELECT * FROM s MATCH_RECOGNIZE (ORDER BY n MEASURES first(n) OVER () AS x PATTERN (a))
----
ERROR 42P20: window functions are not allowed in MEASURES

query nopg
SELECT first(n) FROM s
----
ERROR 42883: function first(integer) does not exist
