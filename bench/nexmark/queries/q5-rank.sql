-- q5 by rank instead of a join with the maximum.
CREATE MATERIALIZED VIEW q5_rank AS
SELECT auction, num
FROM (
  SELECT auction, num, rank() OVER (PARTITION BY window_start, window_end ORDER BY num DESC) AS place
  FROM (
    SELECT auction, count(*) AS num, window_start, window_end
    FROM HOP(bid, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds')
    GROUP BY auction, window_start, window_end
  ) AS counts
) AS ranked
WHERE place <= 1;
