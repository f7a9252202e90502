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

# The same commit gives the same packages. VERSION=1.2.0 for a release.
packages: VERSION ?= $(shell git log -1 --format=0~%cd.%h --date=format:%Y%m%d%H%M%S)
packages: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
packages:  ## dist/*.deb and *.rpm, for ARCH=amd64 or arm64
	go -C deploy/packages run . -out "$(CURDIR)/dist" -version "$(VERSION)" $(if $(ARCH),-arch $(ARCH))

ci:        ## everything a change must pass
	.ci/run
