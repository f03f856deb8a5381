WITH windows AS (
  SELECT w FROM generate_series((SELECT date_trunc('minute', min(date_time)) - INTERVAL '1 minute' FROM bid), (SELECT max(date_time) FROM bid), INTERVAL '2 seconds') AS g(w)
), counts AS (
  SELECT w, auction, count(*) AS num FROM windows JOIN bid ON date_time >= w AND date_time < w + INTERVAL '10 seconds' GROUP BY w, auction
)
SELECT auction, num FROM (SELECT auction, num, max(num) OVER (PARTITION BY w) AS most FROM counts) AS x WHERE num = most
