module github.com/tidemill/tidemill/internal/sql/pgparser

go 1.26.8

require (
	github.com/pganalyze/pg_query_go/v4 v4.2.3
	github.com/tidemill/tidemill v0.0.0
)

require (
	github.com/golang/protobuf v1.5.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/tidemill/tidemill => ../../..
