-- q7 by rank: window top-n.
CREATE MATERIALIZED VIEW q7_rank AS
SELECT auction, bidder, price, date_time, extra
FROM (
  SELECT auction, bidder, price, date_time, extra,
         rank() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS place
  FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
) AS ranked
WHERE place <= 1;
