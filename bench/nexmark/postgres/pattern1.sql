SELECT * FROM low_average(true)
