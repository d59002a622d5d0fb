# make         lists the targets
# make demo    builds the example shop and prints the history of every image
# make test    runs all tests
#
# Both need root, Go, git, gcc and make; what else is missing they set up.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test fuzz soundness lint bench bench-language bench-builds release clean

goroot = $(shell go env GOROOT)
strata = GOROOT=$(goroot) bin/strata

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## install an OCI runtime if there is none
	@scripts/setup.sh

build: ## compile bin/strata
	go build -o bin/strata ./cmd/strata

demo: setup build ## build the shop on the embedded engine, with histories
	$(strata) build --engine embedded --allow fs.read=$(goroot) --history all

test: ## vet, and run every test with the race detector
	scripts/setup.sh test
	go vet ./...
	go -C examples/shop vet ./...
	go -C bench test ./...
	go test -race -timeout 40m ./...

fuzz: ## run every fuzz target for FUZZTIME (60s)
	scripts/fuzz.sh $(FUZZTIME)

soundness: setup ## compare EDITS planned builds with clean ones, 5000 if not told; SEED makes them again
	go test ./e2e/soundness -v -count=1 -timeout 0 -args -edits $(EDITS) -seed $(SEED)

EDITS = 5000
SEED = 0

lint: ## run golangci-lint
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(golangci) run

bench: setup build ## time a warm build of the shop
	scripts/bench.sh

bench-language: build ## time reading build files, side by side with docker buildx bake
	go -C bench build -trimpath -o bin/buildx github.com/docker/buildx/cmd/buildx
	go -C bench run ./language -peer $(buildx)

bench-builds: setup build ## time whole builds, side by side with docker buildx bake; FLAGS=-quick for a short run
	go -C bench build -trimpath -o bin/ $(peers)
	CGO_ENABLED=0 go -C bench build -trimpath -o bin/ ./work
	go -C bench run ./builds $(FLAGS)

release: setup build ## build the image of strata itself
	$(strata) build --engine embedded --allow fs.read=$(goroot) --allow fs.read=/etc/ssl/certs release

clean: ## forget what demo has built and stop its engine
	if [ -x bin/strata ]; then bin/strata engine prune --engine embedded --all >/dev/null && bin/strata engine stop; fi
	rm -rf bin examples/shop/dist

FUZZTIME = 60s

# What "make bench-language" compares with.
buildx = $(shell go -C bench list -m -f {{.Version}} github.com/docker/buildx)

# What "make bench-builds" builds with; bench/go.mod has their versions.
peers = github.com/docker/buildx/cmd/buildx github.com/moby/buildkit/cmd/buildkitd \
	github.com/distribution/distribution/v3/cmd/registry

# What "make lint" runs.
golangci = v2.15.0
