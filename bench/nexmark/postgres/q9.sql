SELECT DISTINCT ON (a.id) a.id, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time, a.expires, a.seller, a.category, a.extra,
  b.auction, b.bidder, b.price, b.date_time, b.extra
FROM auction AS a JOIN bid AS b ON b.auction = a.id AND b.date_time >= a.date_time AND b.date_time <= a.expires
ORDER BY a.id, b.price DESC, b.date_time, b.bidder, b.extra
