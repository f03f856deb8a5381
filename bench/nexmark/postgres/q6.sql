WITH winners AS (
  SELECT DISTINCT ON (a.id) a.id, a.seller, b.price, b.date_time
  FROM auction AS a JOIN bid AS b ON b.auction = a.id AND b.date_time >= a.date_time AND b.date_time <= a.expires
  ORDER BY a.id, b.price DESC, b.date_time
), numbered AS (
  SELECT *, row_number() OVER (PARTITION BY seller ORDER BY date_time, id) AS n FROM winners
)
SELECT x.seller, (SELECT avg(y.price) FROM numbered AS y WHERE y.seller = x.seller AND y.n BETWEEN x.n - 10 AND x.n) FROM numbered AS x
