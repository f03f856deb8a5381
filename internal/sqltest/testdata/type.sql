# Values of every type, in and out, compared and computed.

exec
CREATE TABLE v (b BOOLEAN, s SMALLINT, i INTEGER, l BIGINT, r REAL, d DOUBLE PRECISION, n NUMERIC, t TEXT, c VARCHAR(5), da DATE, ti TIME, ts TIMESTAMP, tz TIMESTAMPTZ, iv INTERVAL)
----
CREATE TABLE

exec
INSERT INTO v VALUES (true, 1, 2, 3, 1.5, 2.5, 1.10, 'text', 'char', '2001-02-03', '04:05:06.7', '2001-02-03 04:05:06.789', '2001-02-03 04:05:06+02', '1 year 2 mons 3 days 04:05:06'), (false, -32768, -2147483648, -9223372036854775808, -1e30, 1e300, -123456789012345678901234567890.123456789, '', '', '0044-03-15 BC', '24:00:00', 'infinity', '-infinity', '-1 days +02:03:00'), (NULL, NULL, NULL, NULL, 'NaN', 'Infinity', 'NaN', NULL, NULL, 'infinity', NULL, NULL, NULL, NULL)
----
INSERT 0 3

query
SELECT * FROM v
----
NULL | NULL | NULL | NULL | NaN | Infinity | NaN | NULL | NULL | infinity | NULL | NULL | NULL | NULL
f | -32768 | -2147483648 | -9223372036854775808 | -1e+30 | 1e+300 | -123456789012345678901234567890.123456789 |  |  | 0044-03-15 BC | 24:00:00 | infinity | -infinity | -1 days +02:03:00
t | 1 | 2 | 3 | 1.5 | 2.5 | 1.10 | text | char | 2001-02-03 | 04:05:06.7 | 2001-02-03 04:05:06.789 | 2001-02-03 02:05:06+00 | 1 year 2 mons 3 days 04:05:06

query
SELECT i + s, l - i, i * 2, i / 2, i % 3, -i FROM v WHERE b
----
3 | 1 | 4 | 1 | 2 | -2

query
SELECT n + 1, n * n, n / 3, n - 0.1, round(n, 1), n % 1 FROM v WHERE b
----
2.10 | 1.2100 | 0.36666666666666666667 | 1.00 | 1.1 | 0.10

query
SELECT d * 2, d / 3, r + 1, r * d, sqrt(d), power(d, 2) FROM v WHERE b
----
5 | 0.8333333333333334 | 2.5 | 3.75 | 1.5811388300841898 | 6.25

query
SELECT da + 1, da - 1, da - '2001-01-01'::date, ts + iv, tz - iv, ti + iv FROM v WHERE b
----
2001-02-04 | 2001-02-02 | 33 | 2002-04-06 08:10:12.789 | 1999-11-29 22:00:00+00 | 08:10:12.7

query
SELECT ts - '2001-01-01'::timestamp, iv * 2, iv / 2, -iv, iv + INTERVAL '1 hour' FROM v WHERE b
----
33 days 04:05:06.789 | 2 years 4 mons 6 days 08:10:12 | 7 mons 1 day 14:02:33 | -1 years -2 mons -3 days -04:05:06 | 1 year 2 mons 3 days 05:05:06

query
SELECT extract(year FROM ts), extract(epoch FROM iv), date_trunc('hour', ts), extract(dow FROM da), date_part('minute', ti) FROM v WHERE b
----
2001 | 37015506.000000 | 2001-02-03 04:00:00 | 6 | 5

query
SELECT i::text, n::int, d::numeric(6,3), t || c, l::double precision, ts::date, da::timestamp, b::int, '12'::smallint, 3.7::int FROM v WHERE b
----
2 | 1 | 2.500 | textchar | 3 | 2001-02-03 | 2001-02-03 00:00:00 | 1 | 12 | 4

query
SELECT b, count(*) FROM v GROUP BY b
----
NULL | 1
f | 1
t | 1

query
SELECT i FROM v WHERE t LIKE 't%t' OR c = ''
----
-2147483648
2

query
SELECT max(ts), min(da), max(iv), min(n), max(r), max(d) FROM v
----
infinity | 0044-03-15 BC | 1 year 2 mons 3 days 04:05:06 | -123456789012345678901234567890.123456789 | NaN | Infinity

query
SELECT CASE WHEN i > 0 THEN 'pos' WHEN i < 0 THEN 'neg' ELSE 'null' END, COALESCE(t, 'none'), NULLIF(s, 1), GREATEST(i, s, 2), LEAST(l, 2) FROM v
----
neg |  | -32768 | 2 | -9223372036854775808
null | none | NULL | 2 | 2
pos | text | NULL | 2 | 2

query
SELECT i BETWEEN 1 AND 5, i NOT BETWEEN 1 AND 5, i IN (1, 2), i NOT IN (1, NULL), t IS NULL, b IS TRUE, b IS NOT FALSE, i IS DISTINCT FROM 2 FROM v
----
NULL | NULL | NULL | NULL | t | f | t | t
f | t | f | NULL | f | f | f | t
t | f | t | NULL | f | t | t | f

query
SELECT upper(t), length(t), substr(t, 2, 2), replace(t, 'e', 'E'), position('x' IN t), trim('  x '), lpad(t, 6, '*'), split_part('a,b,c', ',', 2), left(t, 2), reverse(t) FROM v WHERE b
----
TEXT | 4 | ex | tExt | 3 | x | **text | b | te | txet

query noview
SELECT 32767::smallint + 1::smallint
----
ERROR 22003: smallint out of range

query noview
SELECT 1 / 0
----
ERROR 22012: division by zero

query noview
SELECT 'x'::int
----
ERROR 22P02: invalid input syntax for type integer: "x"

query noview
SELECT 9223372036854775807 + 1
----
ERROR 22003: bigint out of range

query noview
SELECT '2001-02-30'::date
----
ERROR 22008: date/time field value out of range: "2001-02-30"

query noview
SELECT 1 + 'a'::text
----
ERROR 42883: operator does not exist: integer + text

query noview
SELECT nope FROM v
----
ERROR 42703: column "nope" does not exist

query noview
SELECT nofunction(1)
----
ERROR 42883: function nofunction(integer) does not exist

exec noview
INSERT INTO v (c) VALUES ('too long')
----
ERROR 22001: value too long for type character varying(5)
