-- q7, each window once, when it is over.
CREATE MATERIALIZED VIEW q7_close AS
SELECT b.auction, b.bidder, b.price, b.date_time, b.extra
FROM bid AS b
JOIN (
  SELECT max(price) AS price, window_end AS date_time
  FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
  GROUP BY window_start, window_end
) AS m ON b.price = m.price
WHERE b.date_time BETWEEN m.date_time - INTERVAL '10 seconds' AND m.date_time
EMIT ON WINDOW CLOSE;
