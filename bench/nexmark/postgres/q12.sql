SELECT bidder, count(*), date_bin('10 seconds', p_time, TIMESTAMPTZ '2000-01-01 00:00:00Z'), date_bin('10 seconds', p_time, TIMESTAMPTZ '2000-01-01 00:00:00Z') + INTERVAL '10 seconds'
FROM bid_proctime GROUP BY 1, 3
