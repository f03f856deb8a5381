SELECT auction, bidder, price, date_time, extra FROM bid AS b
WHERE price >= ALL (SELECT max(price) FROM bid WHERE date_time >= date_bin('10 seconds', b.date_time, TIMESTAMP '2000-01-01')
  AND date_time < date_bin('10 seconds', b.date_time, TIMESTAMP '2000-01-01') + INTERVAL '10 seconds')
