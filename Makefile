# Everything here needs Go alone, unless it says otherwise.
export CGO_ENABLED ?= 0

.PHONY: build test race sim powercut chaos prove soak bench bench-nexmark fmt

build: ## the one binary, in bin/tidemill
	go build -trimpath -ldflags "-s -w" -o bin/tidemill ./cmd/tidemill

test: ## all tests, from nothing
	go test -timeout 10m $(GOTESTFLAGS) ./...

race: ## the concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race ./internal/fabric ./internal/ckpt/... ./internal/state ./internal/worker ./internal/engine ./internal/pgserver ./internal/httpapi ./internal/node .

sim: ## 10,000 histories of the engine over a log and a disk that do their worst, and the mutations that they must find
	go test -count=1 -timeout 20m -run TestSeeds ./internal/sim -seeds $(or $(SEEDS),10000) -seed-start $(or $(SEED_START),1)
	go test -count=1 -timeout 10m -tags mutants -run TestMutants ./internal/sim

powercut: ## the power goes while a node works on a file system that forgets what was not synced (needs root and FUSE)
	cd internal/e2e/powercut && go vet ./... && go test -count=1 -v ./...

chaos: ## three nodes under a workload that is checked, with faults: CHAOS_SECONDS, CHAOS_SEED
	go run -tags failpoints ./cmd/tidemill chaos --nodes 3 --seconds $(or $(CHAOS_SECONDS),60) --seed $(or $(CHAOS_SEED),0) --faults $(or $(CHAOS_FAULTS),all)

prove: ## the long proofs: 200 rounds of kill -9, an hour of chaos on three nodes, ten minutes of random SQL against PostgreSQL, random circuits, Nexmark's answers
	TIDEMILL_PROVE=1 go test -count=1 -timeout 60m -run 'Kill|Failpoints|Linearizable|Random|Circuits' ./internal/e2e ./internal/sqltest ./internal/flow ./internal/engine
	go test -count=1 -timeout 30m ./internal/engine -checkpoints
	cd internal/e2e/powercut && TIDEMILL_PROVE=1 go test -count=1 -timeout 60m ./...
	TIDEMILL_PROVE=1 go test -count=1 -timeout 60m -run 'Postgres|Oracle|SameDigest' ./bench/nexmark
	$(MAKE) chaos CHAOS_SECONDS=3600

soak: ## 50 million events through every kind of query whose state is bounded
	TIDEMILL_SOAK=1 go test -count=1 -timeout 120m -v -run Soak ./bench/nexmark

bench: ## the benchmarks that the figures in docs come from
	go test -run '^$$' -bench . ./internal/flow ./internal/state ./internal/expr ./internal/format ./internal/batch

bench-nexmark: build ## the figures of docs/nexmark.md
	bin/tidemill bench nexmark --events $(or $(EVENTS),10000000) --queries $(or $(QUERIES),all)

fmt:
	gofmt -w .
