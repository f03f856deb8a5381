SELECT auction, bidder, price, date_time, extra
FROM (SELECT *, max(price) OVER (PARTITION BY date_bin('10 seconds', date_time, TIMESTAMP '2000-01-01')) AS most FROM bid) AS x
WHERE price = most
