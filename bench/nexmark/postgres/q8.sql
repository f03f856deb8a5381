SELECT id, name, date_bin('10 seconds', date_time, TIMESTAMP '2000-01-01')
FROM person AS p
WHERE EXISTS (SELECT 1 FROM auction WHERE seller = p.id
  AND date_bin('10 seconds', date_time, TIMESTAMP '2000-01-01') = date_bin('10 seconds', p.date_time, TIMESTAMP '2000-01-01'))
