WITH gaps AS (
  SELECT bidder, date_time, lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time) AS before FROM bid
), numbered AS (
  SELECT bidder, date_time, count(*) FILTER (WHERE before IS NULL OR date_time >= before + INTERVAL '10 seconds') OVER (PARTITION BY bidder ORDER BY date_time) AS n FROM gaps
)
SELECT bidder, count(*), min(date_time), max(date_time) + INTERVAL '10 seconds' FROM numbered GROUP BY bidder, n
