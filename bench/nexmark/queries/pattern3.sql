-- A price that drops by more than 50 within 5 seconds.
CREATE MATERIALIZED VIEW pattern3 AS
SELECT auction, bidder, drop_time, drop_diff
FROM bid MATCH_RECOGNIZE (
  PARTITION BY auction, bidder
  ORDER BY date_time
  MEASURES c.date_time AS drop_time, a.price - c.price AS drop_diff
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (a b* c) WITHIN INTERVAL '5 seconds'
  DEFINE
    b AS b.price > a.price - 50,
    c AS c.price < a.price - 50
);
