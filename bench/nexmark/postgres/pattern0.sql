WITH steps AS (
  SELECT auction, bidder, date_time, price, row_number() OVER o AS n, price < lag(price) OVER o AS down
  FROM bid WINDOW o AS (PARTITION BY auction, bidder ORDER BY date_time, price)
), runs AS (
  SELECT *, count(*) FILTER (WHERE down IS NOT TRUE) OVER (PARTITION BY auction, bidder ORDER BY n) AS run FROM steps
), falls AS (
  SELECT auction, bidder, min(n) AS first, max(n) AS last FROM runs GROUP BY auction, bidder, run HAVING count(*) >= 3
)
SELECT f.auction, f.bidder, s.date_time, e.date_time, u.date_time
FROM falls AS f
JOIN steps AS s ON s.auction = f.auction AND s.bidder = f.bidder AND s.n = f.first
JOIN steps AS m ON m.auction = f.auction AND m.bidder = f.bidder AND m.n = f.last - 1
JOIN steps AS e ON e.auction = f.auction AND e.bidder = f.bidder AND e.n = f.last
JOIN steps AS u ON u.auction = f.auction AND u.bidder = f.bidder AND u.n = f.last + 1 AND u.price > m.price
