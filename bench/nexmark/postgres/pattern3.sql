SELECT * FROM price_drop()
