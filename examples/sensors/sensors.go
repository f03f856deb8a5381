// Package sensors holds the sensors example: its SQL and its data.
package sensors

import _ "embed"

// SQL creates the source and the views. The source reads examples/sensors/quakes.csv.gz,
// seen from the root of the repository.
//
//go:embed sensors.sql
var SQL string

// Data is one week of earthquakes as gzipped CSV with a header, in the order of reported.
//
//go:embed quakes.csv.gz
var Data []byte
