WITH closed AS (
  SELECT category, (SELECT max(price) FROM bid WHERE auction = a.id AND date_time >= a.date_time AND date_time <= a.expires) AS final
  FROM auction AS a
)
SELECT category, sum(final) / count(final) FROM closed WHERE final IS NOT NULL GROUP BY category
