-- Pass through: every bid as it is. What it costs to read the stream.
CREATE MATERIALIZED VIEW q0 AS
SELECT auction, bidder, price, date_time, extra
FROM bid;
