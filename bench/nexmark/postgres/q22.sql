SELECT auction, bidder, price, channel, (string_to_array(url, '/'))[4], (string_to_array(url, '/'))[5], (string_to_array(url, '/'))[6] FROM bid
