-- A wiki's edits, and what its keepers want to know while people write.

CREATE SOURCE edits (
  at        TIMESTAMP NOT NULL,
  page      TEXT NOT NULL,
  username  TEXT NOT NULL,
  delta     INTEGER NOT NULL,
  is_revert BOOLEAN NOT NULL,
  -- Edits come up to two minutes behind others. What is five minutes behind comes too late.
  WATERMARK FOR at AS at - INTERVAL '5 minutes'
) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON;

-- The three pages with the most edits in each hour, an hour beginning every ten minutes. Each hour is
-- given once, when it is over.
CREATE MATERIALIZED VIEW trending AS
  SELECT window_start, window_end, rank, page, edits
  FROM (
    SELECT window_start, window_end, page, edits,
           row_number() OVER (PARTITION BY window_start, window_end ORDER BY edits DESC, page) AS rank
    FROM (
      SELECT window_start, window_end, page, count(*) AS edits
      FROM HOP(edits, at, INTERVAL '10 minutes', INTERVAL '1 hour')
      GROUP BY window_start, window_end, page
    ) AS counted
  ) AS ranked
  WHERE rank <= 3
  EMIT ON WINDOW CLOSE;

-- Edit wars: one user writes, another undoes it, the first undoes that, and so on: at least four turns within half an
-- hour, on one page.
CREATE MATERIALIZED VIEW edit_wars AS
  SELECT page, attacker, defender, began, ended, turns
  FROM edits MATCH_RECOGNIZE (
    PARTITION BY page
    ORDER BY at
    MEASURES a.username AS attacker, FIRST(b.username) AS defender, FIRST(at) AS began, LAST(at) AS ended, count(*) AS turns
    ONE ROW PER MATCH
    AFTER MATCH SKIP PAST LAST ROW
    PATTERN (a b c (b | c)+)
    WITHIN INTERVAL '30 minutes'
    DEFINE
      b AS b.is_revert AND b.username <> a.username AND b.username <> PREV(b.username),
      c AS c.is_revert AND c.username = a.username AND c.username <> PREV(c.username)
  ) AS war;

-- Who is at work: a user's edits with less than twenty minutes between one and the next are one sitting.
CREATE MATERIALIZED VIEW sittings AS
  SELECT username, window_start AS began, window_end AS left_by, count(*) AS edits, count(DISTINCT page) AS pages, sum(delta) AS bytes
  FROM SESSION(edits PARTITION BY username, at, INTERVAL '20 minutes')
  GROUP BY username, window_start, window_end;
