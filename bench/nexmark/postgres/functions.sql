-- What pattern1 to pattern3 find, by loops: the reference for the tests.

-- low_average finds the longest runs of bids of a bidder on an auction for which every average of the run so far is below 10000, with
-- one more bid after them. past: the next run begins behind the match, else one bid after the start.
CREATE FUNCTION low_average(past boolean) RETURNS TABLE (auction bigint, bidder bigint, start_tstamp timestamp, end_tstamp timestamp, avg_price numeric)
LANGUAGE plpgsql AS $$
DECLARE
  part record;
  times timestamp[];
  prices bigint[];
  i int;
  k int;
  total numeric;
BEGIN
  FOR part IN SELECT b.auction, b.bidder, array_agg(b.date_time ORDER BY b.date_time, b.price) AS times, array_agg(b.price ORDER BY b.date_time, b.price) AS prices
    FROM bid AS b GROUP BY b.auction, b.bidder HAVING count(*) >= 2
  LOOP
    times := part.times; prices := part.prices;
    i := 1;
    WHILE i < array_length(prices, 1) LOOP
      k := i - 1; total := 0;
      -- the last row is left for the one after the run
      WHILE k + 1 < array_length(prices, 1) AND (total + prices[k + 1]) < 10000 * (k + 2 - i) LOOP
        k := k + 1; total := total + prices[k];
      END LOOP;
      IF k < i THEN
        i := i + 1;
        CONTINUE;
      END IF;
      auction := part.auction; bidder := part.bidder; start_tstamp := times[i]; end_tstamp := times[k]; avg_price := total / (k + 1 - i);
      RETURN NEXT;
      i := CASE WHEN past THEN k + 2 ELSE i + 1 END;
    END LOOP;
  END LOOP;
END $$;

-- price_drop finds the bids that are more than 50 below one less than 5 seconds before, with none at least 50 below between them.
CREATE FUNCTION price_drop() RETURNS TABLE (auction bigint, bidder bigint, drop_time timestamp, drop_diff bigint)
LANGUAGE plpgsql AS $$
DECLARE
  part record;
  i int;
  k int;
BEGIN
  FOR part IN SELECT b.auction, b.bidder, array_agg(b.date_time ORDER BY b.date_time, b.price) AS times, array_agg(b.price ORDER BY b.date_time, b.price) AS prices
    FROM bid AS b GROUP BY b.auction, b.bidder HAVING count(*) >= 2
  LOOP
    i := 1;
    WHILE i < array_length(part.prices, 1) LOOP
      k := i + 1;
      WHILE k <= array_length(part.prices, 1) AND part.prices[k] > part.prices[i] - 50 LOOP
        k := k + 1;
      END LOOP;
      IF k <= array_length(part.prices, 1) AND part.prices[k] < part.prices[i] - 50 AND part.times[k] < part.times[i] + INTERVAL '5 seconds' THEN
        auction := part.auction; bidder := part.bidder; drop_time := part.times[k]; drop_diff := part.prices[i] - part.prices[k];
        RETURN NEXT;
        i := k + 1;
      ELSE
        i := i + 1;
      END IF;
    END LOOP;
  END LOOP;
END $$;
