-- Average price of a category: of the highest bids that auctions got before they ended.
CREATE MATERIALIZED VIEW q4 AS
SELECT q.category AS id, avg(q.final) AS final
FROM (
  SELECT max(b.price) AS final, a.category
  FROM auction AS a JOIN bid AS b ON a.id = b.auction
  WHERE b.date_time BETWEEN a.date_time AND a.expires
  GROUP BY a.id, a.category
) AS q
GROUP BY q.category;
