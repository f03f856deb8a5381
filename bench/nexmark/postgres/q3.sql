SELECT (SELECT name FROM person WHERE id = seller), (SELECT city FROM person WHERE id = seller), (SELECT state FROM person WHERE id = seller), id
FROM auction
WHERE category = 10 AND seller IN (SELECT id FROM person WHERE state IN ('OR', 'ID', 'CA'))
