# Functions written in SQL.

exec
CREATE FUNCTION count_char(s text, c text) RETURNS bigint LANGUAGE SQL IMMUTABLE RETURN length(s) - length(replace(s, c, ''))
----
CREATE FUNCTION

exec
CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE SQL AS $$ SELECT $1 * 2 $$
----
CREATE FUNCTION

exec
CREATE FUNCTION twice(t text) RETURNS text AS 'SELECT t || twice.t;' LANGUAGE sql STABLE
----
CREATE FUNCTION

exec
CREATE FUNCTION four(x integer) RETURNS bigint LANGUAGE SQL BEGIN ATOMIC SELECT twice(twice(x)); END
----
CREATE FUNCTION

exec
CREATE FUNCTION safe(a integer, b integer) RETURNS text LANGUAGE SQL STRICT RETURN CASE WHEN b = 0 THEN 'none' ELSE coalesce(a / b, 7)::text END
----
CREATE FUNCTION

exec
CREATE FUNCTION no_null(a integer) RETURNS integer LANGUAGE SQL CALLED ON NULL INPUT RETURN coalesce(a, -1)
----
CREATE FUNCTION

exec
CREATE FUNCTION one() RETURNS numeric LANGUAGE SQL RETURN 1
----
CREATE FUNCTION

exec
CREATE TABLE t (i INT, s TEXT)
----
CREATE TABLE

exec
INSERT INTO t VALUES (1, 'abcabc'), (2, 'ccc'), (NULL, 'x'), (3, NULL), (1, 'c')
----
INSERT 0 5

query
SELECT i, s, count_char(s, 'c'), twice(i), twice(s), four(i), no_null(i), one() FROM t ORDER BY i, s
----
1 | abcabc | 2 | 2 | abcabcabcabc | 4 | 1 | 1
1 | c | 1 | 2 | cc | 4 | 1 | 1
2 | ccc | 3 | 4 | cccccc | 8 | 2 | 1
3 | NULL | NULL | 6 | NULL | 12 | 3 | 1
NULL | x | 0 | NULL | xx | NULL | -1 | 1

query
SELECT safe(i, 2), safe(i, 0), safe(NULL, 0), safe(i, NULL) FROM t ORDER BY i, s
----
0 | none | NULL | NULL
0 | none | NULL | NULL
1 | none | NULL | NULL
1 | none | NULL | NULL
NULL | NULL | NULL | NULL

query
SELECT four(i), count(*), sum(count_char(s, 'c')), max(twice(i)) FROM t WHERE count_char(s, 'c') > 0 GROUP BY four(i) HAVING four(max(i)) < 100
----
4 | 2 | 3 | 2
8 | 1 | 3 | 4

query nopg
SELECT public.twice(x.i) FROM t AS x
----
2
2
4
6
NULL

query noview
SELECT twice('ab'), twice(3::smallint), count_char('abc', NULL), pg_typeof(one()), pg_typeof(four(1))
----
abab | 6 | NULL | numeric | bigint

query
SELECT a.i, b.i FROM t AS a JOIN t AS b ON twice(a.i) = b.i
----
1 | 2
1 | 2

query
SELECT i FROM t WHERE four(i) IN (SELECT twice(twice(b.i)) FROM t AS b WHERE b.s = twice('') || 'ccc')
----
2

query noview
SELECT count_char(1, 2)
----
ERROR 42883: function count_char(integer, integer) does not exist

query noview
SELECT count_char('a')
----
ERROR 42883: function count_char(unknown) does not exist

query noview
SELECT twice(DISTINCT 1)
----
ERROR 42809: DISTINCT specified, but twice is not an aggregate function

exec
CREATE FUNCTION twice(x integer) RETURNS integer LANGUAGE SQL RETURN x + x
----
ERROR 42723: function "twice" already exists with same argument types

exec
CREATE OR REPLACE FUNCTION twice(x integer) RETURNS bigint LANGUAGE SQL RETURN x + x
----
ERROR 42P13: cannot change return type of existing function

exec
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE SQL RETURN y + 1
----
ERROR 42703: column "y" does not exist

exec
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE SQL AS 'SELECT y + 1'
----
ERROR 42703: column "y" does not exist

exec
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE SQL RETURN $2
----
ERROR 42P02: there is no parameter $2

exec
CREATE FUNCTION bad(x integer) RETURNS boolean LANGUAGE SQL RETURN x + 1
----
ERROR 42P13: return type mismatch in function declared to return boolean

exec
CREATE FUNCTION bad(x integer, x integer) RETURNS integer LANGUAGE SQL RETURN x
----
ERROR 42P13: parameter name "x" used more than once

exec
CREATE FUNCTION bad(x integer) RETURNS integer AS 'SELECT x'
----
ERROR 42P13: no language specified

exec
CREATE FUNCTION bad(x integer) LANGUAGE SQL AS 'SELECT x'
----
ERROR 42P13: function result type must be specified

exec nopg
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE SQL AS 'SELECT x FROM t'
----
ERROR 0A000: a function that is more than SELECT and one expression is not supported yet

exec nopg
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN x; END'
----
ERROR 0A000: functions in LANGUAGE plpgsql are not supported yet

exec nopg
CREATE FUNCTION length(x text) RETURNS integer LANGUAGE SQL RETURN 1
----
ERROR 42723: function "length" is built in

exec nopg
CREATE FUNCTION bad(x integer) RETURNS bigint LANGUAGE SQL RETURN count(x)
----
ERROR 42803: aggregate functions are not allowed in a function

exec nopg
CREATE FUNCTION bad(x integer) RETURNS integer LANGUAGE SQL RETURN (SELECT max(i) FROM t)
----
ERROR 0A000: cannot use subquery in a function

# Of what depends on functions. (In PostgreSQL, the text in quotes of a function depends on nothing.)

exec
CREATE FUNCTION lone(integer) RETURNS integer LANGUAGE SQL RETURN $1
----
CREATE FUNCTION

exec
CREATE FUNCTION lone(text) RETURNS text LANGUAGE SQL RETURN $1
----
CREATE FUNCTION

exec
CREATE FUNCTION upon(x integer) RETURNS integer LANGUAGE SQL RETURN lone(x) + 1
----
CREATE FUNCTION

exec
CREATE VIEW v AS SELECT upon(i) AS f FROM t
----
CREATE VIEW

exec
DROP FUNCTION upon
----
ERROR 2BP01: cannot drop function upon(integer) because other objects depend on it

exec
DROP FUNCTION lone
----
ERROR 42725: function name "lone" is not unique

exec
DROP FUNCTION lone(integer)
----
ERROR 2BP01: cannot drop function lone(integer) because other objects depend on it

exec
DROP FUNCTION nothing
----
ERROR 42883: could not find a function named "nothing"

exec
DROP FUNCTION nothing(integer)
----
ERROR 42883: function nothing(integer) does not exist

exec
DROP FUNCTION IF EXISTS nothing(integer), nothing
----
DROP FUNCTION

query noview
SELECT f FROM v ORDER BY f
----
2
2
3
4
NULL

exec
CREATE OR REPLACE FUNCTION lone(a text) RETURNS text LANGUAGE SQL RETURN $1 || '!'
----
CREATE FUNCTION

query noview
SELECT lone('new'::text)
----
new!

exec nopg
CREATE OR REPLACE FUNCTION upon(x integer) RETURNS integer LANGUAGE SQL RETURN lone(x) + 2
----
ERROR 2BP01: cannot replace function upon(integer) because other objects depend on it

exec
DROP VIEW v
----
DROP VIEW

exec
DROP FUNCTION upon, lone(integer), lone(text)
----
DROP FUNCTION

query noview
SELECT lone(1)
----
ERROR 42883: function lone(integer) does not exist

exec
DROP TABLE IF EXISTS lone
----
DROP TABLE
