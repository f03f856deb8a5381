package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// psqlMajor is the release whose output is compared.
const psqlMajor = "15"

// psql runs psql of a fitting release with a script; it returns standard output
// and standard error together, in order.
func (n *node) psql(t testing.TB, script string, more ...string) string {
	t.Helper()
	cmd := n.psqlCommand(t, more...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	return strings.TrimRight(string(out), "\n")
}

func (n *node) psqlCommand(t testing.TB, more ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	if v, err := exec.Command(path, "--version").Output(); err != nil || !strings.Contains(string(v), " "+psqlMajor+".") {
		t.Skipf("psql %s is wanted, this is %s", psqlMajor, v)
	}
	cmd := exec.CommandContext(deadline(t), path, n.psqlArgs(more...)...)
	cmd.Env = env("PAGER=cat", "TERM=dumb", "LC_ALL=C.UTF-8")
	return cmd
}

var psqlSchema = []string{
	`CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(10) NOT NULL DEFAULT 'x', n NUMERIC(10,2) CHECK (n > 0), ts TIMESTAMPTZ)`,
	`CREATE VIEW pv AS SELECT id, v FROM t`,
	`CREATE MATERIALIZED VIEW mv AS SELECT v, count(*) AS n FROM t GROUP BY v`,
	`CREATE SOURCE s (id BIGINT, at TIMESTAMP NOT NULL) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON`,
	`CREATE INDEX ti ON t (v)`,
	`CREATE INDEX mvi ON mv (n)`,
}

func psqlNode(t *testing.T) *node {
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("psql is not installed")
	}
	n := dev(t, t.TempDir())
	exe(t, n.connect(t), psqlSchema...)
	return n
}

// compare compares texts but for blanks at ends of lines.
func compare(t testing.TB, what, got, expected string) {
	t.Helper()
	if trimLines(got) != trimLines(expected) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", what, got, expected)
	}
}

var blanksAtEnd = regexp.MustCompile(`[ \t]+(\n|$)`)

func trimLines(s string) string {
	return strings.Trim(blanksAtEnd.ReplaceAllString(s, "$1"), "\n")
}

func TestPsqlDescribe(t *testing.T) {
	n := psqlNode(t)
	for command, expected := range map[string]string{
		`\d t`: `                          Table "public.t"
 Column |           Type           | Collation | Nullable | Default
--------+--------------------------+-----------+----------+---------
 id     | bigint                   |           | not null |
 v      | character varying(10)    |           | not null | 'x'
 n      | numeric(10,2)            |           |          |
 ts     | timestamp with time zone |           |          |
Indexes:
    "t_pkey" PRIMARY KEY, btree (id)
    "ti" btree (v)
Check constraints:
    "t_n_check" CHECK ((n > 0))`,
		`\d pv`: `                        View "public.pv"
 Column |         Type          | Collation | Nullable | Default
--------+-----------------------+-----------+----------+---------
 id     | bigint                |           |          |
 v      | character varying(10) |           |          |`,
		`\d mv`: `                  Materialized view "public.mv"
 Column |         Type          | Collation | Nullable | Default
--------+-----------------------+-----------+----------+---------
 v      | character varying(10) |           |          |
 n      | bigint                |           |          |
Indexes:
    "mvi" btree (n)`,
		`\d ti`: `                 Index "public.ti"
 Column |         Type          | Key? | Definition
--------+-----------------------+------+------------
 v      | character varying(10) | yes  | v
btree, for table "public.t"`,
		`\dt`: `        List of relations
 Schema | Name | Type  |  Owner
--------+------+-------+----------
 public | t    | table | tidemill
(1 row)`,
		`\dv`: `        List of relations
 Schema | Name | Type |  Owner
--------+------+------+----------
 public | pv   | view | tidemill
(1 row)`,
		`\dm`: `              List of relations
 Schema | Name |       Type        |  Owner
--------+------+-------------------+----------
 public | mv   | materialized view | tidemill
(1 row)`,
		`\di`: `             List of relations
 Schema |  Name  | Type  |  Owner   | Table
--------+--------+-------+----------+-------
 public | mvi    | index | tidemill | mv
 public | t_pkey | index | tidemill | t
 public | ti     | index | tidemill | t
(3 rows)`,
		`\l`: `                                          List of databases
   Name   |  Owner   | Encoding | Collate | Ctype | ICU Locale | Locale Provider | Access privileges
----------+----------+----------+---------+-------+------------+-----------------+-------------------
 tidemill | tidemill | UTF8     | C       | C     |            | libc            |
(1 row)`,
		`\du`: `                                   List of roles
 Role name |                         Attributes                         | Member of
-----------+------------------------------------------------------------+-----------
 tidemill  | Superuser, Create role, Create DB, Replication, Bypass RLS | {}`,
		`\dn`: `   List of schemas
   Name   |  Owner
----------+----------
 public   | tidemill
 tidemill | tidemill
(2 rows)`,
		`\d nothing`: `Did not find any relation named "nothing".`,
		`\encoding`:  `UTF8`,
	} {
		compare(t, command, n.psql(t, command+"\n"), expected)
	}
	for command, parts := range map[string][]string{
		`\d`:    {" public | mv   | materialized view | tidemill", " public | pv   | view", " public | s ", " public | t    | table"},
		`\d s`:  {`"public.s"`, " id     | bigint", " at     | timestamp without time zone |           | not null"},
		`\d+ t`: {" id     | bigint ", `"t_pkey" PRIMARY KEY, btree (id)`, "Description"},
	} {
		got := n.psql(t, command+"\n")
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%s\ngot:\n%s\nwithout %q", command, got, p)
			}
		}
	}
	for _, command := range []string{`\d t*`, `\d+ mv`, `\dp`, `\df`, `\dT`, `\ds`, `\dx`, `\conninfo`, `\dS pg_class`, `\dtS`} {
		if got := n.psql(t, command+"\n"); strings.Contains(got, "ERROR") {
			t.Errorf("%s\n%s", command, got)
		}
	}
}

// TestPsqlCompletion runs what psql asks when Tab is pressed.
func TestPsqlCompletion(t *testing.T) {
	n := dev(t, t.TempDir())
	c := n.connect(t)
	exe(t, c, psqlSchema...)
	text, err := os.ReadFile("testdata/psql15_completion.sql")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, part := range strings.Split(string(text), "-- Tab: ")[1:] {
		typed, query, _ := strings.Cut(part, "\n")
		if _, err := rowsErr(deadline(t), c, query); err != nil {
			t.Errorf("Tab behind %q: %v\n%s", typed, err, query)
		}
		count++
	}
	if count < 30 {
		t.Errorf("only %d queries were run", count)
	}
	want(t, c, `SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (c.relname) LIKE 'm%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
UNION ALL
SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'm%' AND n.nspname NOT LIKE E'pg\\_%'
LIMIT 1000`, "mv|∅")
	want(t, c, `SELECT a.attname, NULL::pg_catalog.text FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped AND (a.attname) LIKE 't%' AND c.relname = 't' AND pg_catalog.pg_table_is_visible(c.oid)
LIMIT 1000`, "ts|∅")
}

func TestPsqlStatements(t *testing.T) {
	n := psqlNode(t)
	got := n.psql(t, `INSERT INTO t (id, n) VALUES (1, 2.5), (2, NULL);
BEGIN; INSERT INTO t VALUES (50); SELECT id FROM t ORDER BY id; ROLLBACK; SELECT id FROM t ORDER BY id;
UPDATE t SET n = n + 1 WHERE id = 1 RETURNING id, n;
BEGIN;
INSERT INTO t VALUES (1);
SELECT 1;
COMMIT;
SELECT id,
  nothing
FROM t;
SELECT 'ä' AS "ünï", foo;
SELEC 1;
SELECT 1 AS a, NULL AS b, true, 1.50, 1e300::float8, DATE '2001-02-03', INTERVAL '1 day 2 hours';
DELETE FROM t WHERE id = 2;
`)
	compare(t, "statements", got, `INSERT 0 2
BEGIN
INSERT 0 1
 id
----
  1
  2
 50
(3 rows)

ROLLBACK
 id
----
  1
  2
(2 rows)

 id |  n
----+------
  1 | 3.50
(1 row)

UPDATE 1
BEGIN
ERROR:  duplicate key value violates unique constraint "t_pkey"
DETAIL:  Key (id)=(1) already exists.
ERROR:  current transaction is aborted, commands ignored until end of transaction block
ROLLBACK
ERROR:  column "nothing" does not exist
LINE 2:   nothing
          ^
ERROR:  column "foo" does not exist
LINE 1: SELECT 'ä' AS "ünï", foo;
                             ^
ERROR:  syntax error at or near "SELEC"
LINE 1: SELEC 1;
        ^
 a | b | bool | ?column? | float8 |    date    |    interval
---+---+------+----------+--------+------------+----------------
 1 |   | t    |     1.50 | 1e+300 | 2001-02-03 | 1 day 02:00:00
(1 row)

DELETE 1`)
	// Several statements in one message are one transaction.
	got = n.psql(t, "", "-c", "INSERT INTO t VALUES (10); INSERT INTO t VALUES (11); SELECT 1/0; INSERT INTO t VALUES (12)")
	compare(t, "-c with an error", got, "INSERT 0 1\nINSERT 0 1\nERROR:  division by zero")
	got = n.psql(t, "", "-At", "-c", "INSERT INTO t VALUES (10); SELECT count(*) FROM t; SELECT n FROM mv")
	compare(t, "-c", got, "INSERT 0 1\n2\n2")
	if got = n.psql(t, "\\timing on\nSELECT 1 AS one;\n", "-At"); !regexp.MustCompile(`(?s)^Timing is on\.\n1\nTime: [0-9.]+ ms`).MatchString(got) {
		t.Errorf(`\timing: %s`, got)
	}
}

func TestPsqlCopy(t *testing.T) {
	n := psqlNode(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(in, []byte("id,v,n,ts\n3,\"a,\"\"b\",,2001-02-03 04:05:06+00\n4,\"two\nlines\",7.25,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.csv")
	got := n.psql(t, `SET TimeZone = 'UTC';
\copy t (id, v) FROM STDIN
1	one\ttab
2	b\\s
\.
\copy t FROM '`+in+`' WITH (FORMAT csv, HEADER)
\copy t TO STDOUT
\copy (SELECT id, v FROM t ORDER BY id) TO '`+out+`' CSV HEADER
SELECT * FROM mv WHERE v = 'two' || chr(10) || 'lines';
\copy t (id, v) FROM STDIN
9	ok
x	bad
\.
\copy t (id, v) FROM STDIN
9	ok
1	there
\.
SELECT count(*) FROM t;
`, "-At")
	compare(t, `\copy`, got, `SET
COPY 2
COPY 2
1	one\ttab	\N	\N
2	b\\s	\N	\N
3	a,"b	\N	2001-02-03 04:05:06+00
4	two\nlines	7.25	\N
COPY 4
two
lines|1
ERROR:  invalid input syntax for type bigint: "x"
DETAIL:  COPY line 2, column id
ERROR:  duplicate key value violates unique constraint "t_pkey"
DETAIL:  Key (id)=(1) already exists.
4`)
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "CSV", string(file), "id,v\n1,one\ttab\n2,b\\s\n3,\"a,\"\"b\"\n4,\"two\nlines\"\n")
}

func TestPsqlSubscribe(t *testing.T) {
	n := psqlNode(t)
	c := n.connect(t)
	exe(t, c, "INSERT INTO t (id) VALUES (1), (2)")
	got := n.psql(t, `BEGIN;
DECLARE c CURSOR FOR SUBSCRIBE mv;
FETCH 10 FROM c;
FETCH ALL c;
CLOSE c;
COMMIT;
`, "-At")
	if !regexp.MustCompile(`^BEGIN\nDECLARE CURSOR\n\d+\|1\|x\|2\nCLOSE CURSOR\nCOMMIT$`).MatchString(got) {
		t.Errorf("DECLARE and FETCH:\n%s", got)
	}

	// A cursor sees what others commit.
	cur := n.connect(t)
	exe(t, cur, "BEGIN", "DECLARE c CURSOR FOR SUBSCRIBE mv", "FETCH 1 FROM c")
	exe(t, c, "INSERT INTO t (id) VALUES (3)")
	var changes []string
	for _, r := range rows(t, cur, "FETCH 10 FROM c WITH (timeout = '10s')") {
		_, change, _ := strings.Cut(r, "|")
		changes = append(changes, change)
	}
	if s := strings.Join(sorted(changes), " "); s != "-1|x|2 1|x|3" {
		t.Errorf("changes of an insert: %s", s)
	}
	exe(t, cur, "COMMIT")

	// COPY streams them, and Ctrl-C ends it. psql's output is a pipe here, which it
	// would buffer: stdbuf makes it write each line.
	stdbuf, err := exec.LookPath("stdbuf")
	if err != nil {
		t.Skip("stdbuf is not installed")
	}
	cmd := n.psqlCommand(t, "-c", "COPY (SUBSCRIBE mv) TO STDOUT", "-c", "SELECT 'still there'", "-At")
	cmd.Args, cmd.Path = append([]string{stdbuf, "-oL"}, cmd.Args...), stdbuf
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs := &output{}
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() || !strings.HasSuffix(lines.Text(), "\t1\tx\t3") {
		t.Errorf("first line of COPY: %q", lines.Text())
	}
	exe(t, c, "INSERT INTO t (id) VALUES (4)")
	seen := []string{}
	for range 2 {
		if lines.Scan() {
			seen = append(seen, lines.Text()[strings.Index(lines.Text(), "\t")+1:])
		}
	}
	if s := strings.Join(sorted(seen), " "); s != "-1\tx\t3 1\tx\t4" {
		t.Errorf("changes in COPY: %q", s)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		seen = append(seen, lines.Text())
	}
	_ = cmd.Wait()
	if !strings.Contains(errs.String(), "canceling statement due to user request") {
		t.Errorf("after Ctrl-C: %s", errs)
	}
	if seen[len(seen)-1] != "still there" {
		t.Logf("psql ended with Ctrl-C: %q", seen)
	}
	// The node serves others as before.
	want(t, c, "SELECT n FROM mv", "4")
}
