SELECT auction, bidder, 0.908 * price,
  CASE WHEN date_time::time >= '08:00' AND date_time::time < '19:00' THEN 'dayTime' WHEN date_time::time < '07:00' OR date_time::time >= '20:00' THEN 'nightTime' ELSE 'otherTime' END,
  date_time, extra, (SELECT count(*) FROM regexp_matches(extra, 'c', 'g'))
FROM bid WHERE 0.908 * price BETWEEN 1000000.001 AND 49999999.999
