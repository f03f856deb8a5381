-- One week of the world's seismometers. A quake is known when its record is reported, which may be days after it
-- happened: the file is in the order of "reported", and time in these views is "at".

CREATE SOURCE quakes (
  id       TEXT NOT NULL,
  at       TIMESTAMP NOT NULL,
  reported TIMESTAMP NOT NULL,
  mag      DOUBLE PRECISION,
  depth_km DOUBLE PRECISION,
  lat      DOUBLE PRECISION,
  lon      DOUBLE PRECISION,
  net      TEXT NOT NULL,
  place    TEXT,
  -- Two days behind the latest quake seen, the past is closed. What is reported later still is put aside.
  WATERMARK FOR at AS at - INTERVAL '2 days'
) WITH (connector = 'file', path = 'examples/sensors/quakes.csv.gz', late_rows = 'quarantine')
FORMAT PLAIN ENCODE CSV;

-- Quakes by hour: corrected while reports come in.
CREATE MATERIALIZED VIEW hourly AS
  SELECT window_start AS hour, count(*) AS quakes, max(mag) AS strongest
  FROM TUMBLE(quakes, at, INTERVAL '1 hour')
  GROUP BY window_start;

-- Bursts of activity: quakes of one network with less than 30 minutes between one and the next. Each burst is
-- given once, when nothing can be added to it any more.
CREATE MATERIALIZED VIEW bursts AS
  SELECT net, window_start, window_end, count(*) AS quakes, max(mag) AS strongest
  FROM SESSION(quakes PARTITION BY net, at, INTERVAL '30 minutes')
  GROUP BY net, window_start, window_end
  EMIT ON WINDOW CLOSE;

-- Silence: a network that reported nothing for more than twelve hours, and then something.
CREATE MATERIALIZED VIEW silences AS
  SELECT net, before AS silent_from, at AS silent_to, at - before AS lasted
  FROM (SELECT net, at, lag(at) OVER (PARTITION BY net ORDER BY at) AS before FROM quakes) AS q
  WHERE at - before > INTERVAL '12 hours';

-- Alerts: three or more quakes of a network in half an hour, each stronger than the one before it.
CREATE MATERIALIZED VIEW alerts AS
  SELECT net, began, ended, quakes, from_mag, to_mag
  FROM quakes MATCH_RECOGNIZE (
    PARTITION BY net
    ORDER BY at
    MEASURES FIRST(at) AS began, LAST(at) AS ended, count(*) AS quakes, FIRST(mag) AS from_mag, LAST(mag) AS to_mag
    ONE ROW PER MATCH
    AFTER MATCH SKIP PAST LAST ROW
    PATTERN (weak stronger{2,})
    WITHIN INTERVAL '30 minutes'
    DEFINE stronger AS stronger.mag > PREV(stronger.mag)
  ) AS m;
