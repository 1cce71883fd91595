SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# For 1,000 open databases 61 instead of 186 MiB.
export CGO_CFLAGS := -O2 -g -DSQLITE_DEFAULT_LOOKASIDE=0,0 -DSQLITE_DEFAULT_PCACHE_INITSZ=0

BUILD := .build
STACK := $(BUILD)/holdfast-dev
# Without cgo, so that it compiles once for all uses: it takes minutes.
GO_DEV := cd dev && CGO_ENABLED=0 go
LITESTREAM := $(BUILD)/bin/litestream
LITESTREAM_VERSION := v0.5.18
LINT_VERSION := 2.15.0
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0

.PHONY: help setup build $(STACK) stack demo test check lint interop upgrade record bench bench-fleet $(LITESTREAM) torture torture-long clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: # what is missing on this machine
	@dev/setup

build: setup $(STACK) ## build everything into .build/
	@go build -o $(BUILD)/holdfast ./starter
	@go build -o $(BUILD)/holdfast-worker ./worker

# Go's own cache knows what has changed, so this always asks it.
$(STACK):
	@mkdir -p $(BUILD)
	@[ -e $@ ] || echo "building the development stack (some minutes the first time)"
	@$(GO_DEV) build -ldflags="-s -w" -o ../$@ .

stack: setup $(STACK) ## run Temporal, its Web UI and Azurite until Ctrl-C; state stays in .build/stack
	@$(STACK) up --dir $(BUILD)/stack

demo: build ## watch a database being replicated, paused, broken and restored; DB=file for a copy of your own
	@go build -o $(BUILD)/ ./test/demo ./test/orders
	@$(BUILD)/demo $(if $(DB),-db "$(DB)")

test: build ## run every test, on real servers
	@$(STACK) run --temporal-port 0 --ui-port 0 --blob-port 0 -- go test -timeout 20m ./...
	@$(GO_DEV) test -timeout 10m ./...

check: setup lint ## format, vet, lint, unit tests
	@go test -short -timeout 5m ./internal/... ./activities/... ./workflows/... ./worker/... ./starter/... ./test/layout/...

lint: setup $(BUILD)/golangci-lint $(BUILD)/workflowcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w these:" $$unformatted >&2; exit 1; }
	@go vet -tags upgrade ./...
	@$(GO_DEV) vet ./...
	@$(BUILD)/golangci-lint run
	@# Linters that need no types of Temporal's whole server.
	@cd dev && CGO_ENABLED=0 ../$(BUILD)/golangci-lint run --enable-only errcheck,errorlint,funlen,ineffassign,misspell,revive,unused
	@$(BUILD)/workflowcheck -config .workflowcheck.yml ./workflows/...

$(BUILD)/golangci-lint:
	@mkdir -p $(BUILD)
	@if golangci-lint version --short 2>/dev/null | grep -qx '$(LINT_VERSION)'; then \
		ln -sf "$$(command -v golangci-lint)" $@; \
	else \
		echo "installing golangci-lint $(LINT_VERSION) (some minutes, once)"; \
		GOBIN=$(CURDIR)/$(BUILD) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINT_VERSION); \
	fi

$(BUILD)/workflowcheck:
	@GOBIN=$(CURDIR)/$(BUILD) go install $(WORKFLOWCHECK)

interop: build ## exchange replicas with Litestream; a part of `make test`
	@$(STACK) run --temporal-port 0 --ui-port 0 --blob-port 0 -- go test -timeout 15m ./test/interop/...

upgrade: setup $(STACK) ## begin databases with the programs of an earlier commit, go on with these, and go back; FROM=COMMIT
	@test/e2e/upgrade $(FROM)

record: setup $(STACK) ## keep what a commit's workflows decide, for later ones to be held to; FROM=COMMIT
	@workflows/testdata/record $(or $(FROM),HEAD)

# The module cache knows whether it is there in this version.
$(LITESTREAM):
	@GOFLAGS= GOBIN=$(CURDIR)/$(BUILD)/bin go install github.com/benbjohnson/litestream/cmd/litestream@$(LITESTREAM_VERSION)

bench: build $(LITESTREAM) ## compare with Litestream, in about half an hour; ROWS=lag,view SIZE=0.1 for a part of it
	@go build -o $(BUILD)/bench ./test/bench
	@$(STACK) run --temporal-port 0 --ui-port 0 --blob-port 0 -- $(BUILD)/bench $(if $(ROWS),-rows $(ROWS)) $(if $(SIZE),-size $(SIZE))

bench-fleet: build ## one worker with 1,000 databases, in about 45 minutes; ROWS=idle,load N=100 FOR=1m for a part of it
	@go build -o $(BUILD)/fleet ./test/fleet
	@$(STACK) run --temporal-port 0 --ui-port 0 --blob-port 0 -- $(BUILD)/fleet $(if $(ROWS),-rows $(ROWS)) $(if $(N),-n $(N)) $(if $(FOR),-for $(FOR))

torture: ## try to break replication, 5 s a seed: SEEDS=20 START=1; replay one with SEEDS=1 START=seed
	@go build -o $(BUILD)/ ./test/torture
	@$(BUILD)/torture -seeds $(or $(SEEDS),20) -start $(or $(START),1)

torture-long: ## the same with gigabytes, and with a reader of an hour (READER=1h); TMPDIR needs 14 GiB
	@go build -o $(BUILD)/ ./test/torture
	@$(BUILD)/torture long -reader $(or $(READER),1h)

clean: ## remove all that was built, the stack's state included
	@rm -rf $(BUILD)
