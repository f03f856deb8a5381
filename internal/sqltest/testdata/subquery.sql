# Subqueries: IN, EXISTS, scalar; correlated and not; with NULLs on both sides.

exec
CREATE TABLE emp (id INT PRIMARY KEY, dept INT, salary INT)
----
CREATE TABLE

exec
CREATE TABLE dept (id INT PRIMARY KEY, name TEXT)
----
CREATE TABLE

exec
INSERT INTO emp VALUES (1, 10, 100), (2, 10, 200), (3, 20, 150), (4, NULL, 50), (5, 30, 300)
----
INSERT 0 5

exec
INSERT INTO dept VALUES (10, 'eng'), (20, 'ops'), (40, 'hr')
----
INSERT 0 3

query
SELECT id FROM emp WHERE dept IN (SELECT id FROM dept)
----
1
2
3

query
SELECT id FROM emp WHERE dept NOT IN (SELECT id FROM dept)
----
5

query
SELECT id FROM dept WHERE id NOT IN (SELECT dept FROM emp)
----

query
SELECT id FROM dept WHERE id NOT IN (SELECT dept FROM emp WHERE dept IS NOT NULL)
----
40

query
SELECT name FROM dept d WHERE EXISTS (SELECT 1 FROM emp e WHERE e.dept = d.id)
----
eng
ops

query
SELECT name FROM dept d WHERE NOT EXISTS (SELECT 1 FROM emp e WHERE e.dept = d.id)
----
hr

query
SELECT id, salary - (SELECT avg(salary) FROM emp) AS diff FROM emp
----
1 | -60.0000000000000000
2 | 40.0000000000000000
3 | -10.0000000000000000
4 | -110.0000000000000000
5 | 140.0000000000000000

query
SELECT name, (SELECT count(*) FROM emp e WHERE e.dept = d.id) AS n FROM dept d
----
eng | 2
hr | 0
ops | 1

query
SELECT name, (SELECT max(salary) FROM emp e WHERE e.dept = d.id) AS top FROM dept d
----
eng | 200
hr | NULL
ops | 150

query
SELECT id FROM emp e WHERE salary = (SELECT max(salary) FROM emp x WHERE x.dept = e.dept)
----
2
3
5

query
SELECT id FROM emp e WHERE salary > (SELECT avg(salary) FROM emp x WHERE x.dept IS NOT DISTINCT FROM e.dept)
----
2

query
SELECT id FROM emp WHERE (SELECT name FROM dept WHERE dept.id = emp.dept) = 'eng'
----
1
2

query
SELECT id FROM emp WHERE salary > ALL (SELECT salary FROM emp WHERE dept = 10)
----
5

query
SELECT id FROM emp WHERE salary < ANY (SELECT salary FROM emp WHERE dept = 10)
----
1
3
4

query
SELECT id FROM emp WHERE dept = 10 OR id IN (SELECT max(id) FROM emp)
----
1
2
5

query
SELECT id, dept IN (SELECT id FROM dept) AS known FROM emp
----
1 | t
2 | t
3 | t
4 | NULL
5 | f

query
SELECT id, EXISTS (SELECT 1 FROM dept d WHERE d.id = emp.dept) AS has FROM emp
----
1 | t
2 | t
3 | t
4 | f
5 | f

query
WITH rich AS (SELECT * FROM emp WHERE salary > 100) SELECT d.name, count(*) FROM rich JOIN dept d ON d.id = rich.dept GROUP BY d.name
----
eng | 1
ops | 1

query
WITH a AS (SELECT dept, sum(salary) AS s FROM emp GROUP BY dept), b AS (SELECT max(s) AS m FROM a) SELECT dept FROM a, b WHERE s = m
----
10
30

query noview
SELECT (SELECT salary FROM emp)
----
ERROR 21000: more than one row returned by a subquery used as an expression

exec
DELETE FROM dept WHERE id = 20
----
DELETE 1

query
SELECT id FROM emp WHERE dept NOT IN (SELECT id FROM dept)
----
3
5

query
SELECT id, dept IN (SELECT id FROM dept) AS known FROM emp
----
1 | t
2 | t
3 | f
4 | NULL
5 | f

query
SELECT name, (SELECT count(*) FROM emp e WHERE e.dept = d.id AND e.salary > 100) AS n FROM dept d
----
eng | 1
hr | 0
