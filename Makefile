# The everyday commands. .ci/run is what decides whether a change is good.
.PHONY: test integration race lint generate bench demo packages ci

test:      ## the tests
	go test ./...

integration: ## and those that start clusters, browsers and many processes
	go test -tags integration ./...

race:      ## the short tests under the race detector
	go test -race -short ./...

lint:      ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	go vet -tags integration ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags integration ./...

generate:  ## generated data and the embedded database (needs the network)
	go generate ./...

bench:     ## side by side with nginx and HAProxy (needs both, wrk and h2load)
	go -C deploy/bench run .

demo:      ## the gateway in front of a sample app
	go run ./cmd/exitgate demo

# The same commit gives the same files. VERSION=1.2.0 for a release; ARCH=arm64 for that
# architecture alone; PUSH=registry.example.org/exitgate pushes the image there.
packages: DIRTY := $(if $(shell git status --porcelain),.dirty)
packages: VERSION ?= $(shell git log -1 --abbrev=12 --format=0~%cd.%h --date=format:%Y%m%d%H%M%S)$(DIRTY)
packages: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
packages:  ## all that is released, in dist/: programs, .deb and .rpm, image, SBOMs, checksums
	go -C deploy/packages run . -out "$(CURDIR)/dist" -version "$(VERSION)" -commit "$(shell git rev-parse HEAD)$(DIRTY)" $(if $(ARCH),-arch $(ARCH)) $(if $(PUSH),-push $(PUSH))

ci:        ## everything a change must pass
	.ci/run
