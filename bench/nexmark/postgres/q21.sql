SELECT * FROM (
  SELECT auction, bidder, price, channel,
    CASE channel WHEN 'Apple' THEN '0' WHEN 'Google' THEN '1' WHEN 'Facebook' THEN '2' WHEN 'Baidu' THEN '3'
      ELSE nullif(split_part(url, '&channel_id=', 2), '') END AS id
  FROM bid
) AS x WHERE id IS NOT NULL
