SELECT auction, bidder, price, date_time, (auction % 10000)::text FROM bid
