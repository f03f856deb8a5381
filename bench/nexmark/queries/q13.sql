-- Side input: bids enriched from a table as it is when they come.
CREATE TABLE side_input (key BIGINT PRIMARY KEY, value VARCHAR NOT NULL);
INSERT INTO side_input SELECT i, i::text FROM generate_series(0, 9999) AS g(i);
CREATE MATERIALIZED VIEW q13 AS
SELECT b.auction, b.bidder, b.price, b.date_time, s.value
FROM bid AS b JOIN side_input FOR SYSTEM_TIME AS OF PROCTIME() AS s ON mod(b.auction, 10000) = s.key;
