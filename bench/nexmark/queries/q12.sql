-- Windows of processing time: how many bids a user made in 10 seconds of the clock. The source bid_proctime is bid with the
-- column p_time AS PROCTIME().
CREATE MATERIALIZED VIEW q12 AS
SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM TUMBLE(bid_proctime, p_time, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end;
