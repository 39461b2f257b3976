# Each target is one line that works without make; CONTRIBUTING.md lists them. One set of build flags everywhere:
# other flags are a second full build.
GO ?= go
BIN := bin/ferrite
UNIT = $(shell $(GO) list ./... | grep -v -e /test$$)

# ipmipower and ipmiping are in /usr/sbin, which a plain user's PATH does not have.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: run build test deps check lint race stories golden fuzz bench soak chaos chaos-short tidy deb alerts

run: ## the main job at work: a conductor, a simulated fleet, a URL to open
	@echo "Building Ferrite; the first build takes about two minutes."
	@$(GO) build -o $(BIN) ./cmd/ferrite
	@$(BIN) demo

build:
	$(GO) build -o $(BIN) ./cmd/ferrite

deps: ## Debian packages that the tests need
	@scripts/test-deps

test: deps ## unit and story tests with -race, then what goes further or only without it, process tests against a normal binary, then the nemesis, which wants the machine for itself
	$(GO) vet ./...
	$(GO) build -o $(BIN) ./cmd/ferrite
	$(GO) test -race -timeout 25m $(UNIT)
	$(GO) test -timeout 10m -run 'WhateverTheGossip|CrowdKeepsTheLawByGossip|Remote' ./cluster ./conductor
	FERRITE_BIN=$(CURDIR)/$(BIN) SOAK_FOR=2m $(GO) test -timeout 25m ./test
	NEMESIS=1 FERRITE_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 20m -count 1 -v -run '^TestClusterNemesis$$' ./test

check: ## before every commit
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./... && $(GO) test ./...

lint:
	golangci-lint run

race:
	$(GO) test -race $(UNIT)

stories: ## rewrite the expected answers of the stories; read the diff
	$(GO) test ./node -run Stories -rewrite

golden: ## rewrite the documents that are made from tables; read the diff
	$(GO) test ./internal/config ./node ./httpapi/wire -update

FUZZTIME ?= 1m

fuzz: ## every fuzz target in turn, FUZZTIME each (1m); what fails is kept in its testdata/fuzz
	@for p in $$($(GO) list ./...); do \
		fs=$$($(GO) test $$p -list '^Fuzz') || exit 1; \
		for f in $$(echo "$$fs" | grep ^Fuzz); do \
			echo "$$p $$f"; $(GO) test $$p -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x || exit 1; \
		done; \
	done

bench: build ## all benches as the kept results were made: half an hour on a quiet machine; fails when it got worse (bench/results/README.md says what is judged)
	$(BIN) bench all --compare bench/results --out bench/results

SOAK ?= 1h

soak: build ## an hour of sweep with faults; memory, goroutines and descriptors must stay flat
	FERRITE_BIN=$(CURDIR)/$(BIN) SOAK_FOR=$(SOAK) $(GO) test -timeout 0 -count 1 -v -run '^TestSoak$$' ./test

chaos: build ## conductors killed, paused, upgraded, cut off and robbed of disk and power under load, half an hour; all of it needs root. NEMESIS_SEED=n runs one again, NEMESIS_SWITCH=1 as where there is none
	FERRITE_LONG=1 FERRITE_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 90m -count 1 -v -run '^TestCluster' ./test

chaos-short: build ## each of these once, a minute and a half
	NEMESIS=1 FERRITE_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 20m -count 1 -v -run '^TestClusterNemesis$$' ./test

tidy:
	$(GO) mod tidy

VERSION = $(shell $(BIN) version | sed -n 's/.*\b\([0-9]\+\.[0-9]\+\.[0-9]\+\).*/\1/p' | head -1)
NFPM ?= $(GO) run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0

deb: build ## a Debian package in bin/
	mkdir -p bin/completion
	$(BIN) completion bash > bin/completion/ferrite.bash
	$(BIN) completion zsh > bin/completion/_ferrite
	$(BIN) completion fish > bin/completion/ferrite.fish
	VERSION=$(VERSION) ARCH=$(shell $(GO) env GOARCH) $(NFPM) package --config packaging/nfpm.yaml --packager deb --target bin/

alerts: ## check the alert rules (promtool: apt-get install prometheus)
	promtool check rules packaging/prometheus/alerts.yaml
	promtool test rules packaging/prometheus/alerts_test.yaml
