SELECT auction, bidder, price, channel, url, b.date_time, b.extra, item_name, description, initial_bid, reserve, a.date_time, expires, seller, category, a.extra
FROM auction AS a, bid AS b WHERE a.id = b.auction AND a.category IN (10)
