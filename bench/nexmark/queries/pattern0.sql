-- Falling prices: a bidder's bids on an auction that fall and then rise.
CREATE MATERIALIZED VIEW pattern0 AS
SELECT auction, bidder, start_tstamp, bottom_tstamp, end_tstamp
FROM bid MATCH_RECOGNIZE (
  PARTITION BY auction, bidder
  ORDER BY date_time
  MEASURES start_row.date_time AS start_tstamp, LAST(price_down.date_time) AS bottom_tstamp, LAST(price_up.date_time) AS end_tstamp
  ONE ROW PER MATCH
  AFTER MATCH SKIP TO LAST price_up
  PATTERN (start_row price_down+ price_up)
  DEFINE
    price_down AS (LAST(price_down.price, 1) IS NULL AND price_down.price < start_row.price) OR price_down.price < LAST(price_down.price, 1),
    price_up AS price_up.price > LAST(price_down.price, 1)
);
