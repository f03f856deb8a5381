SELECT date_time::date::text, count(*), sum((price < 10000)::int), sum((price >= 10000 AND price < 1000000)::int), sum((price >= 1000000)::int),
  count(DISTINCT bidder), count(DISTINCT CASE WHEN price < 10000 THEN bidder END), count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END), count(DISTINCT CASE WHEN price >= 1000000 THEN bidder END),
  count(DISTINCT auction), count(DISTINCT CASE WHEN price < 10000 THEN auction END), count(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN auction END), count(DISTINCT CASE WHEN price >= 1000000 THEN auction END)
FROM bid GROUP BY date_time::date
