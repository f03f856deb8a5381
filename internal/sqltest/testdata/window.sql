# Window table functions. PostgreSQL has none; what it says with date_bin, generate_series
# and lag stands next to some of them, with the same answer.

exec
CREATE TABLE bid (id INT, item TEXT, price INT, at TIMESTAMP)
----
CREATE TABLE

exec
INSERT INTO bid VALUES (1, 'A', 400, '2026-01-01 08:05:00'), (2, 'B', 200, '2026-01-01 08:07:00'), (3, 'C', 500, '2026-01-01 08:09:00'), (4, 'D', 500, '2026-01-01 08:11:00'), (5, 'E', 100, '2026-01-01 08:13:00'), (6, 'A', 600, '2026-01-01 08:17:00'), (7, 'A', NULL, '2026-01-01 08:10:00'), (8, 'B', 50, NULL), (9, NULL, 70, '2026-01-01 08:19:59.999999')
----
INSERT 0 9

# A row on the border of two windows belongs to the later one. Rows without a time
# belong to none.
query nopg
SELECT id, window_start, window_end FROM TUMBLE(bid, at, INTERVAL '10 minutes')
----
1 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
2 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
3 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
4 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
5 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
6 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
7 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
9 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00

query
SELECT id, date_bin('10 minutes', at, '2000-01-01') AS window_start, date_bin('10 minutes', at, '2000-01-01') + INTERVAL '10 minutes' AS window_end FROM bid WHERE at IS NOT NULL
----
1 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
2 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
3 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
4 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
5 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
6 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
7 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00
9 | 2026-01-01 08:10:00 | 2026-01-01 08:20:00

query nopg
SELECT window_start, window_end, sum(price), count(*) FROM TUMBLE(bid, at, INTERVAL '10 minutes') GROUP BY window_start, window_end
----
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100 | 3
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270 | 5

# Windows begin at the offset, and before the year 2000 as well.
query nopg
SELECT id, window_start FROM TUMBLE(bid, at, INTERVAL '10 minutes', INTERVAL '3 minutes') WHERE id < 4
----
1 | 2026-01-01 08:03:00
2 | 2026-01-01 08:03:00
3 | 2026-01-01 08:03:00

# They are counted from 1970 as in Flink and RisingWave: weeks begin on Thursdays, and
# with an offset of four days on Mondays.
query nopg
SELECT id, window_start FROM TUMBLE(bid, at, INTERVAL '7 days') WHERE id = 1
----
1 | 2026-01-01 00:00:00

query nopg
SELECT id, window_start FROM TUMBLE(bid, at, INTERVAL '7 days', INTERVAL '4 days') WHERE id = 1
----
1 | 2025-12-29 00:00:00

query
SELECT id, date_bin('7 seconds', at, '1970-01-01') FROM bid WHERE id = 1
----
1 | 2026-01-01 08:04:59

query nopg
SELECT id, window_start FROM TUMBLE(bid, at, INTERVAL '7 seconds') WHERE id = 1
----
1 | 2026-01-01 08:04:59

query nopg
SELECT window_start, window_end FROM TUMBLE((SELECT TIMESTAMP '1999-12-31 23:59:59' AS at), at, INTERVAL '1 minute')
----
1999-12-31 23:59:00 | 2000-01-01 00:00:00

query nopg
SELECT id, window_start, window_end FROM HOP(bid, at, INTERVAL '5 minutes', INTERVAL '10 minutes') WHERE id < 4
----
1 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
1 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00
2 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
2 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00
3 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
3 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00

query
SELECT id, s AS window_start, s + INTERVAL '10 minutes' AS window_end FROM bid, generate_series(TIMESTAMP '2026-01-01 07:00', TIMESTAMP '2026-01-01 09:00', INTERVAL '5 minutes') AS s WHERE id < 4 AND at >= s AND at < s + INTERVAL '10 minutes'
----
1 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
1 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00
2 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
2 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00
3 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00
3 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00

query nopg
SELECT window_start, sum(price), count(*), min(price), max(item), avg(price) FROM HOP(bid, at, INTERVAL '2 minutes', INTERVAL '10 minutes') GROUP BY window_start HAVING count(*) > 1
----
2026-01-01 07:58:00 | 600 | 2 | 200 | B | 300.0000000000000000
2026-01-01 08:00:00 | 1100 | 3 | 200 | C | 366.6666666666666667
2026-01-01 08:02:00 | 1600 | 5 | 200 | D | 400.0000000000000000
2026-01-01 08:04:00 | 1700 | 6 | 100 | E | 340.0000000000000000
2026-01-01 08:06:00 | 1300 | 5 | 100 | E | 325.0000000000000000
2026-01-01 08:08:00 | 1700 | 5 | 100 | E | 425.0000000000000000
2026-01-01 08:10:00 | 1270 | 5 | 70 | E | 317.5000000000000000
2026-01-01 08:12:00 | 770 | 3 | 70 | E | 256.6666666666666667
2026-01-01 08:14:00 | 670 | 2 | 70 | A | 335.0000000000000000
2026-01-01 08:16:00 | 670 | 2 | 70 | A | 335.0000000000000000

query
SELECT s, sum(price), count(*), min(price), max(item), avg(price) FROM bid, generate_series(TIMESTAMP '2026-01-01 07:00', TIMESTAMP '2026-01-01 09:00', INTERVAL '2 minutes') AS s WHERE at >= s AND at < s + INTERVAL '10 minutes' GROUP BY s HAVING count(*) > 1
----
2026-01-01 07:58:00 | 600 | 2 | 200 | B | 300.0000000000000000
2026-01-01 08:00:00 | 1100 | 3 | 200 | C | 366.6666666666666667
2026-01-01 08:02:00 | 1600 | 5 | 200 | D | 400.0000000000000000
2026-01-01 08:04:00 | 1700 | 6 | 100 | E | 340.0000000000000000
2026-01-01 08:06:00 | 1300 | 5 | 100 | E | 325.0000000000000000
2026-01-01 08:08:00 | 1700 | 5 | 100 | E | 425.0000000000000000
2026-01-01 08:10:00 | 1270 | 5 | 70 | E | 317.5000000000000000
2026-01-01 08:12:00 | 770 | 3 | 70 | E | 256.6666666666666667
2026-01-01 08:14:00 | 670 | 2 | 70 | A | 335.0000000000000000
2026-01-01 08:16:00 | 670 | 2 | 70 | A | 335.0000000000000000

# A slide that does not divide the size.
query nopg
SELECT id, window_start FROM HOP(bid, at, INTERVAL '4 minutes', INTERVAL '10 minutes', INTERVAL '1 minute') WHERE item = 'A'
----
1 | 2026-01-01 07:57:00
1 | 2026-01-01 08:01:00
1 | 2026-01-01 08:05:00
6 | 2026-01-01 08:09:00
6 | 2026-01-01 08:13:00
6 | 2026-01-01 08:17:00
7 | 2026-01-01 08:01:00
7 | 2026-01-01 08:05:00
7 | 2026-01-01 08:09:00

query nopg
SELECT item, window_end, count(*) FROM HOP(bid, at, INTERVAL '4 minutes', INTERVAL '10 minutes') WHERE item = 'A' GROUP BY item, window_end
----
A | 2026-01-01 08:06:00 | 1
A | 2026-01-01 08:10:00 | 1
A | 2026-01-01 08:14:00 | 2
A | 2026-01-01 08:18:00 | 2
A | 2026-01-01 08:22:00 | 1
A | 2026-01-01 08:26:00 | 1

query nopg
SELECT window_start, window_end, sum(price) FROM CUMULATE(bid, at, INTERVAL '2 minutes', INTERVAL '10 minutes') GROUP BY window_start, window_end
----
2026-01-01 08:00:00 | 2026-01-01 08:06:00 | 400
2026-01-01 08:00:00 | 2026-01-01 08:08:00 | 600
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100
2026-01-01 08:10:00 | 2026-01-01 08:12:00 | 500
2026-01-01 08:10:00 | 2026-01-01 08:14:00 | 600
2026-01-01 08:10:00 | 2026-01-01 08:16:00 | 600
2026-01-01 08:10:00 | 2026-01-01 08:18:00 | 1200
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270

query
SELECT w, w + k * INTERVAL '2 minutes', sum(price) FROM bid, LATERAL (SELECT date_bin('10 minutes', at, '2000-01-01') AS w) x, generate_series(1, 5) AS k WHERE at < w + k * INTERVAL '2 minutes' GROUP BY w, k
----
2026-01-01 08:00:00 | 2026-01-01 08:06:00 | 400
2026-01-01 08:00:00 | 2026-01-01 08:08:00 | 600
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100
2026-01-01 08:10:00 | 2026-01-01 08:12:00 | 500
2026-01-01 08:10:00 | 2026-01-01 08:14:00 | 600
2026-01-01 08:10:00 | 2026-01-01 08:16:00 | 600
2026-01-01 08:10:00 | 2026-01-01 08:18:00 | 1200
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270

query nopg
SELECT id, window_start, window_end FROM CUMULATE(bid, at, INTERVAL '5 minutes', INTERVAL '10 minutes', INTERVAL '1 minute') WHERE id < 3
----
1 | 2026-01-01 08:01:00 | 2026-01-01 08:06:00
1 | 2026-01-01 08:01:00 | 2026-01-01 08:11:00
2 | 2026-01-01 08:01:00 | 2026-01-01 08:11:00

# A session ends where no row comes for as long as the gap; a row exactly a gap
# later begins another one.
query nopg
SELECT id, window_start, window_end FROM SESSION(bid, at, INTERVAL '2 minutes')
----
1 | 2026-01-01 08:05:00 | 2026-01-01 08:07:00
2 | 2026-01-01 08:07:00 | 2026-01-01 08:09:00
3 | 2026-01-01 08:09:00 | 2026-01-01 08:13:00
4 | 2026-01-01 08:09:00 | 2026-01-01 08:13:00
5 | 2026-01-01 08:13:00 | 2026-01-01 08:15:00
6 | 2026-01-01 08:17:00 | 2026-01-01 08:19:00
7 | 2026-01-01 08:09:00 | 2026-01-01 08:13:00
9 | 2026-01-01 08:19:59.999999 | 2026-01-01 08:21:59.999999

query nopg
SELECT id, window_start, window_end FROM SESSION(bid, at, INTERVAL '2 minutes 1 microsecond')
----
1 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
2 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
3 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
4 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
5 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
6 | 2026-01-01 08:17:00 | 2026-01-01 08:19:00.000001
7 | 2026-01-01 08:05:00 | 2026-01-01 08:15:00.000001
9 | 2026-01-01 08:19:59.999999 | 2026-01-01 08:22:00

query nopg
SELECT item, window_start, window_end, count(*), max(price) FROM SESSION(bid PARTITION BY item, at, INTERVAL '6 minutes') GROUP BY item, window_start, window_end
----
A | 2026-01-01 08:05:00 | 2026-01-01 08:16:00 | 2 | 400
A | 2026-01-01 08:17:00 | 2026-01-01 08:23:00 | 1 | 600
B | 2026-01-01 08:07:00 | 2026-01-01 08:13:00 | 1 | 200
C | 2026-01-01 08:09:00 | 2026-01-01 08:15:00 | 1 | 500
D | 2026-01-01 08:11:00 | 2026-01-01 08:17:00 | 1 | 500
E | 2026-01-01 08:13:00 | 2026-01-01 08:19:00 | 1 | 100
NULL | 2026-01-01 08:19:59.999999 | 2026-01-01 08:25:59.999999 | 1 | 70

query
SELECT item, min(at), max(at) + INTERVAL '6 minutes', count(*), max(price) FROM (SELECT *, count(*) FILTER (WHERE before IS NULL OR at >= before + INTERVAL '6 minutes') OVER (PARTITION BY item ORDER BY at) AS n FROM (SELECT *, lag(at) OVER (PARTITION BY item ORDER BY at) AS before FROM bid WHERE at IS NOT NULL) x) y GROUP BY item, n
----
A | 2026-01-01 08:05:00 | 2026-01-01 08:16:00 | 2 | 400
A | 2026-01-01 08:17:00 | 2026-01-01 08:23:00 | 1 | 600
B | 2026-01-01 08:07:00 | 2026-01-01 08:13:00 | 1 | 200
C | 2026-01-01 08:09:00 | 2026-01-01 08:15:00 | 1 | 500
D | 2026-01-01 08:11:00 | 2026-01-01 08:17:00 | 1 | 500
E | 2026-01-01 08:13:00 | 2026-01-01 08:19:00 | 1 | 100
NULL | 2026-01-01 08:19:59.999999 | 2026-01-01 08:25:59.999999 | 1 | 70

# A condition on the key may be tested before the sessions are cut, others may not.
query nopg
SELECT id, window_start FROM SESSION(bid PARTITION BY item, at, INTERVAL '6 minutes') WHERE item = 'A' AND id <> 7
----
1 | 2026-01-01 08:05:00
6 | 2026-01-01 08:17:00

query nopg
SELECT id, window_start FROM SESSION((SELECT * FROM bid WHERE id <> 7), at, INTERVAL '3 minutes') WHERE item = 'A'
----
1 | 2026-01-01 08:05:00
6 | 2026-01-01 08:17:00

# As Flink writes them, with window_time.
query nopg
SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(at), INTERVAL '10' MINUTES)) WHERE id = 1
----
1 | A | 400 | 2026-01-01 08:05:00 | 2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 2026-01-01 08:09:59.999

query nopg
SELECT window_start, window_end, sum(price) FROM TABLE(HOP(TABLE bid, DESCRIPTOR(at), INTERVAL '5' MINUTES, INTERVAL '10' MINUTES)) GROUP BY window_start, window_end
----
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100
2026-01-01 08:05:00 | 2026-01-01 08:15:00 | 1700
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270
2026-01-01 08:15:00 | 2026-01-01 08:25:00 | 670

query nopg
SELECT window_start, window_end, sum(price) FROM TABLE(HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(at), SLIDE => INTERVAL '5' MINUTES, SIZE => INTERVAL '10' MINUTES)) GROUP BY window_start, window_end
----
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100
2026-01-01 08:05:00 | 2026-01-01 08:15:00 | 1700
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270
2026-01-01 08:15:00 | 2026-01-01 08:25:00 | 670

query nopg
SELECT window_start, window_end, sum(price) FROM TABLE(CUMULATE(TABLE bid, DESCRIPTOR(at), INTERVAL '5' MINUTES, INTERVAL '10' MINUTES)) GROUP BY window_start, window_end
----
2026-01-01 08:00:00 | 2026-01-01 08:10:00 | 1100
2026-01-01 08:10:00 | 2026-01-01 08:15:00 | 600
2026-01-01 08:10:00 | 2026-01-01 08:20:00 | 1270

query nopg
SELECT item, window_start, window_end, sum(price) FROM TABLE(SESSION(TABLE bid PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' MINUTES)) GROUP BY item, window_start, window_end
----
A | 2026-01-01 08:05:00 | 2026-01-01 08:10:00 | 400
A | 2026-01-01 08:10:00 | 2026-01-01 08:15:00 | NULL
A | 2026-01-01 08:17:00 | 2026-01-01 08:22:00 | 600
B | 2026-01-01 08:07:00 | 2026-01-01 08:12:00 | 200
C | 2026-01-01 08:09:00 | 2026-01-01 08:14:00 | 500
D | 2026-01-01 08:11:00 | 2026-01-01 08:16:00 | 500
E | 2026-01-01 08:13:00 | 2026-01-01 08:18:00 | 100
NULL | 2026-01-01 08:19:59.999999 | 2026-01-01 08:24:59.999999 | 70

# Join of windows, top of windows, and one row a window.
query nopg
SELECT a.id, b.id, a.window_end FROM TUMBLE(bid, at, INTERVAL '5 minutes') a JOIN TUMBLE(bid, at, INTERVAL '5 minutes') b ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.id < b.id
----
1 | 2 | 2026-01-01 08:10:00
1 | 3 | 2026-01-01 08:10:00
2 | 3 | 2026-01-01 08:10:00
4 | 5 | 2026-01-01 08:15:00
4 | 7 | 2026-01-01 08:15:00
5 | 7 | 2026-01-01 08:15:00
6 | 9 | 2026-01-01 08:20:00

query nopg
SELECT window_start, item, price, place FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY price DESC NULLS LAST, id) AS place FROM TUMBLE(bid, at, INTERVAL '10 minutes')) x WHERE place <= 2
----
2026-01-01 08:00:00 | A | 400 | 2
2026-01-01 08:00:00 | C | 500 | 1
2026-01-01 08:10:00 | A | 600 | 1
2026-01-01 08:10:00 | D | 500 | 2

query nopg
SELECT window_start, item, id FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end, item ORDER BY at DESC) AS n FROM TUMBLE(bid, at, INTERVAL '1 hour')) x WHERE n = 1
----
2026-01-01 08:00:00 | A | 6
2026-01-01 08:00:00 | B | 2
2026-01-01 08:00:00 | C | 3
2026-01-01 08:00:00 | D | 4
2026-01-01 08:00:00 | E | 5
2026-01-01 08:00:00 | NULL | 9

# Windows of windows.
query nopg
SELECT window_end, max(n) FROM TUMBLE((SELECT window_start AS at, count(*) AS n FROM TUMBLE(bid, at, INTERVAL '5 minutes') GROUP BY window_start), at, INTERVAL '10 minutes') GROUP BY window_end
----
2026-01-01 08:10:00 | 3
2026-01-01 08:20:00 | 3

query nopg
SELECT id, w.s FROM bid, LATERAL (SELECT window_start AS s FROM TUMBLE((SELECT bid.at AS t), t, INTERVAL '1 hour')) w WHERE id < 3
----
1 | 2026-01-01 08:00:00
2 | 2026-01-01 08:00:00

# What changes when rows come and go.
changes nopg
SELECT item, window_start, window_end, count(*) FROM SESSION(bid PARTITION BY item, at, INTERVAL '6 minutes') WHERE item = 'A' GROUP BY item, window_start, window_end
----
+1 (A, 2026-01-01 08:05:00, 2026-01-01 08:16:00, 2)
+1 (A, 2026-01-01 08:17:00, 2026-01-01 08:23:00, 1)

exec
INSERT INTO bid VALUES (10, 'A', 1, '2026-01-01 08:13:00')
----
INSERT 0 1

changes nopg
SELECT item, window_start, window_end, count(*) FROM SESSION(bid PARTITION BY item, at, INTERVAL '6 minutes') WHERE item = 'A' GROUP BY item, window_start, window_end
----
-1 (A, 2026-01-01 08:05:00, 2026-01-01 08:16:00, 2)
+1 (A, 2026-01-01 08:05:00, 2026-01-01 08:23:00, 4)
-1 (A, 2026-01-01 08:17:00, 2026-01-01 08:23:00, 1)

exec
DELETE FROM bid WHERE id IN (7, 10)
----
DELETE 2

changes nopg
SELECT item, window_start, window_end, count(*) FROM SESSION(bid PARTITION BY item, at, INTERVAL '6 minutes') WHERE item = 'A' GROUP BY item, window_start, window_end
----
+1 (A, 2026-01-01 08:05:00, 2026-01-01 08:11:00, 1)
-1 (A, 2026-01-01 08:05:00, 2026-01-01 08:23:00, 4)
+1 (A, 2026-01-01 08:17:00, 2026-01-01 08:23:00, 1)

changes nopg
SELECT window_end, count(*), avg(price) FROM HOP(bid, at, INTERVAL '2 minutes', INTERVAL '10 minutes') WHERE item <> 'A' GROUP BY window_end
----
+1 (2026-01-01 08:08:00, 1, 200.0000000000000000)
+1 (2026-01-01 08:10:00, 2, 350.0000000000000000)
+1 (2026-01-01 08:12:00, 3, 400.0000000000000000)
+1 (2026-01-01 08:14:00, 4, 325.0000000000000000)
+1 (2026-01-01 08:16:00, 4, 325.0000000000000000)
+1 (2026-01-01 08:18:00, 3, 366.6666666666666667)
+1 (2026-01-01 08:20:00, 2, 300.0000000000000000)
+1 (2026-01-01 08:22:00, 1, 100.0000000000000000)

exec
UPDATE bid SET at = at + INTERVAL '2 minutes' WHERE id = 4
----
UPDATE 1

changes nopg
SELECT window_end, count(*), avg(price) FROM HOP(bid, at, INTERVAL '2 minutes', INTERVAL '10 minutes') WHERE item <> 'A' GROUP BY window_end
----
+1 (2026-01-01 08:12:00, 2, 350.0000000000000000)
-1 (2026-01-01 08:12:00, 3, 400.0000000000000000)
-1 (2026-01-01 08:22:00, 1, 100.0000000000000000)
+1 (2026-01-01 08:22:00, 2, 300.0000000000000000)

# What is refused.
query nopg noview
SELECT * FROM TUMBLE(bid, price, INTERVAL '1 minute')
----
ERROR 42804: the time column of TUMBLE must be a timestamp, not integer

query nopg noview
SELECT * FROM HOP(bid, at, INTERVAL '10 minutes', INTERVAL '5 minutes')
----
ERROR 22023: the slide of HOP must not exceed its size

query nopg noview
SELECT * FROM CUMULATE(bid, at, INTERVAL '3 minutes', INTERVAL '10 minutes')
----
ERROR 22023: the size of CUMULATE must be a multiple of its step

query nopg noview
SELECT count(*) FROM bid GROUP BY TUMBLE(at, INTERVAL '1 minute')
----
ERROR 0A000: TUMBLE as a function of a row is not supported

query nopg noview
SELECT count(*) FROM TUMBLE(bid, at, INTERVAL '1 minute') GROUP BY window_end EMIT ON WINDOW CLOSE
----
ERROR 0A000: EMIT ON WINDOW CLOSE needs a column with a watermark, and the result of this query has none

query nopg noview
SELECT * FROM TUMBLE(bid, at, INTERVAL '1 month')
----
ERROR 22023: the durations of TUMBLE must not contain months: their length varies
