SELECT auction, bidder, price, channel, url, date_time, extra, n
FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, bidder, channel, url, date_time, extra) AS n FROM bid) AS x
WHERE n <= 10
