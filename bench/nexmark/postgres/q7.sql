WITH best AS (
  SELECT date_bin('10 seconds', date_time, TIMESTAMP '2000-01-01') AS w, max(price) AS price FROM bid GROUP BY 1
)
SELECT auction, bidder, b.price, date_time, extra FROM best JOIN bid AS b ON b.price = best.price AND date_time >= w AND date_time <= w + INTERVAL '10 seconds'
