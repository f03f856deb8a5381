SELECT auction, date_time::date::text, count(*), sum((price < 10000)::int), sum((price >= 10000 AND price < 1000000)::int), sum((price >= 1000000)::int),
  min(price), max(price), avg(price), sum(price)
FROM bid GROUP BY auction, date_time::date
