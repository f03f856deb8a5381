-- One quarter of US flights, and three questions about them that are always answered.

CREATE SOURCE flights (
  dep_time    TIMESTAMP NOT NULL,
  delay_min   INTEGER NOT NULL,
  distance_mi INTEGER NOT NULL,
  origin      TEXT NOT NULL,
  destination TEXT NOT NULL
) WITH (connector = 'http') FORMAT PLAIN ENCODE JSON;

-- How late is each airport now? Windows of six hours, a new one every hour.
CREATE MATERIALIZED VIEW delay_by_origin AS
  SELECT window_start, window_end, origin,
         count(*) AS flights,
         round(avg(delay_min), 1) AS avg_delay,
         max(delay_min) AS worst_delay
  FROM HOP(flights, dep_time, INTERVAL '1 hour', INTERVAL '6 hours')
  GROUP BY window_start, window_end, origin;

-- The ten routes with the worst average, of those flown at least ten times.
CREATE MATERIALIZED VIEW worst_routes AS
  SELECT origin, destination,
         count(*) AS flights,
         round(avg(delay_min), 1) AS avg_delay
  FROM flights
  GROUP BY origin, destination
  HAVING count(*) >= 10
  ORDER BY avg_delay DESC, origin, destination
  LIMIT 10;

-- What share of an airport's flights is on time (at most 15 minutes late)?
CREATE MATERIALIZED VIEW on_time AS
  SELECT origin,
         count(*) AS flights,
         round(100.0 * count(*) FILTER (WHERE delay_min <= 15) / count(*), 1) AS on_time_pct
  FROM flights
  GROUP BY origin;
