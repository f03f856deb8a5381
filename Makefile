# Everything here needs Go alone, unless it says otherwise.
export CGO_ENABLED ?= 0

.PHONY: build test race prove bench bench-nexmark fmt

build: ## the one binary, in bin/tidemill
	go build -trimpath -ldflags "-s -w" -o bin/tidemill ./cmd/tidemill

test: ## all tests, from nothing
	go test -timeout 10m $(GOTESTFLAGS) ./...

race: ## the concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./internal/fabric ./internal/ckpt/... ./internal/worker ./internal/engine ./internal/pgserver ./internal/httpapi ./internal/node .

prove: ## the long proofs: 200 rounds of kill -9, ten minutes of random SQL against PostgreSQL, random circuits, Nexmark's answers
	TIDEMILL_PROVE=1 go test -count=1 -timeout 60m -run 'Kill|Random|Circuits' ./internal/e2e ./internal/sqltest ./internal/flow ./internal/engine
	TIDEMILL_PROVE=1 go test -count=1 -timeout 60m -run 'Postgres|Oracle|SameDigest' ./bench/nexmark

soak: ## 50 million events through every kind of query whose state is bounded
	TIDEMILL_SOAK=1 go test -count=1 -timeout 120m -v -run Soak ./bench/nexmark

bench: ## the benchmarks that the figures in docs come from
	go test -run '^$$' -bench . ./internal/flow ./internal/state ./internal/expr ./internal/format ./internal/batch

bench-nexmark: build ## the figures of docs/nexmark.md
	bin/tidemill bench nexmark --events $(or $(EVENTS),10000000) --queries $(or $(QUERIES),all)

fmt:
	gofmt -w .
