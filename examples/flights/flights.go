// Package flights holds the flights example: its SQL and its data.
package flights

import _ "embed"

// SQL creates the source and the views.
//
//go:embed flights.sql
var SQL string

// Data is 20,000 flights as gzipped CSV with a header, ordered by dep_time.
//
//go:embed flights.csv.gz
var Data []byte
