SELECT * FROM low_average(false)
