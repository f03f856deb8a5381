-- Channel ids: from a list, or from the URL, by a function of the user.
CREATE FUNCTION url_channel_id(url text) RETURNS text LANGUAGE SQL IMMUTABLE
  RETURN substring(url FROM '(?:&|^)channel_id=([^&]*)');
CREATE MATERIALIZED VIEW q21 AS
SELECT auction, bidder, price, channel,
       CASE lower(channel)
         WHEN 'apple' THEN '0'
         WHEN 'google' THEN '1'
         WHEN 'facebook' THEN '2'
         WHEN 'baidu' THEN '3'
         ELSE url_channel_id(url)
       END AS channel_id
FROM bid
WHERE url_channel_id(url) IS NOT NULL OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu');
