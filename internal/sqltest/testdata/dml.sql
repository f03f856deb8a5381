# Tables: defaults, constraints, changes and what they return.

exec
CREATE TABLE acc (id INT PRIMARY KEY, owner TEXT NOT NULL, bal NUMERIC(8,2) NOT NULL DEFAULT 0 CHECK (bal >= 0), opened DATE DEFAULT '2001-02-03')
----
CREATE TABLE

exec
INSERT INTO acc (id, owner) VALUES (1, 'ann'), (2, 'bob')
----
INSERT 0 2

exec
INSERT INTO acc VALUES (3, 'cy', 10.555, NULL) RETURNING id, bal, opened
----
3 | 10.56 | NULL
INSERT 0 1

exec
INSERT INTO acc VALUES (3, 'dup')
----
ERROR 23505: duplicate key value violates unique constraint "acc_pkey"

exec
INSERT INTO acc VALUES (4, NULL)
----
ERROR 23502: null value in column "owner" of relation "acc" violates not-null constraint

exec
INSERT INTO acc VALUES (4, 'neg', -1)
----
ERROR 23514: new row for relation "acc" violates check constraint "acc_bal_check"

exec
INSERT INTO acc VALUES (4, 'big', 10000000)
----
ERROR 22003: numeric field overflow

exec
INSERT INTO acc VALUES (4)
----
ERROR 23502: null value in column "owner" of relation "acc" violates not-null constraint

exec
INSERT INTO acc VALUES (4, 'a', 1, '2001-01-01', 5)
----
ERROR 42601: INSERT has more expressions than target columns

exec
INSERT INTO acc (id, nope) VALUES (4, 'a')
----
ERROR 42703: column "nope" of relation "acc" does not exist

exec
INSERT INTO acc VALUES ('x', 'a')
----
ERROR 22P02: invalid input syntax for type integer: "x"

query
SELECT * FROM acc
----
1 | ann | 0.00 | 2001-02-03
2 | bob | 0.00 | 2001-02-03
3 | cy | 10.56 | NULL

exec
UPDATE acc SET bal = bal + 5 WHERE id <= 2 RETURNING id, bal
----
1 | 5.00
2 | 5.00
UPDATE 2

exec
UPDATE acc SET bal = bal - 100 WHERE id = 1
----
ERROR 23514: new row for relation "acc" violates check constraint "acc_bal_check"

exec
UPDATE acc SET id = 3 WHERE id = 1
----
ERROR 23505: duplicate key value violates unique constraint "acc_pkey"

exec
UPDATE acc SET owner = upper(owner), bal = DEFAULT WHERE id = 3
----
UPDATE 1

exec
INSERT INTO acc VALUES (1, 'again', 7) ON CONFLICT DO NOTHING
----
INSERT 0 0

exec
INSERT INTO acc VALUES (1, 'again', 7) ON CONFLICT (id) DO UPDATE SET bal = acc.bal + excluded.bal RETURNING *
----
1 | ann | 12.00 | 2001-02-03
INSERT 0 1

exec
INSERT INTO acc SELECT id + 10, owner, bal FROM acc WHERE id < 3
----
INSERT 0 2

query
SELECT * FROM acc
----
1 | ann | 12.00 | 2001-02-03
11 | ann | 12.00 | 2001-02-03
12 | bob | 5.00 | 2001-02-03
2 | bob | 5.00 | 2001-02-03
3 | CY | 0.00 | NULL

exec
DELETE FROM acc WHERE id > 10 RETURNING id
----
11
12
DELETE 2

exec
DELETE FROM acc WHERE owner = 'nobody'
----
DELETE 0

exec
UPDATE acc SET id = id + 100
----
UPDATE 3

query
SELECT id, owner, bal FROM acc
----
101 | ann | 12.00
102 | bob | 5.00
103 | CY | 0.00

exec
CREATE TABLE u (k INT, o TEXT)
----
CREATE TABLE

exec
INSERT INTO u VALUES (102, 'x'), (103, 'y')
----
INSERT 0 2

exec
UPDATE acc SET owner = u.o FROM u WHERE u.k = acc.id
----
UPDATE 2

exec
DELETE FROM acc USING u WHERE u.k = acc.id AND u.o = 'y'
----
DELETE 1

query
SELECT id, owner FROM acc
----
101 | ann
102 | x

exec noview
INSERT INTO missing VALUES (1)
----
ERROR 42P01: relation "missing" does not exist

exec noview
UPDATE acc SET nope = 1
----
ERROR 42703: column "nope" of relation "acc" does not exist

exec
INSERT INTO u DEFAULT VALUES
----
INSERT 0 1

query
SELECT * FROM u
----
102 | x
103 | y
NULL | NULL

exec
TRUNCATE u
----
TRUNCATE TABLE

query
SELECT count(*) FROM u
----
0
