SELECT auction, bidder, price, date_time, extra, date_time::date::text, left(date_time::time::text, 5) FROM bid
