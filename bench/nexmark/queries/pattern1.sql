-- Longest times for which the average price of a bidder on an auction stays below a limit.
CREATE MATERIALIZED VIEW pattern1 AS
SELECT auction, bidder, start_tstamp, end_tstamp, avg_price
FROM bid MATCH_RECOGNIZE (
  PARTITION BY auction, bidder
  ORDER BY date_time
  MEASURES FIRST(a.date_time) AS start_tstamp, LAST(a.date_time) AS end_tstamp, avg(a.price) AS avg_price
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (a+ b)
  DEFINE a AS avg(a.price) < 10000
);
