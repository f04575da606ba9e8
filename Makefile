# Everything a developer or a build server needs; `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Anything that changes what is to be installed makes the stamp old.
SETUP := target/rig/.setup

# Real servers are started by the tests, several at a time would crowd a small machine.
TEST_THREADS ?= 2

.PHONY: help setup fmt lint test quickstart measure base-image image test-image

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Install what the tests need: Samba, OpenLDAP, PostgreSQL, Python packages

$(SETUP): scripts/install.sh scripts/requirements.txt
	scripts/install.sh
	@touch $@

fmt: ## Format the code
	cargo fmt

lint: ## Check the format and the made test data, and let clippy find nothing
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	scripts/make-testdata.py --check

# Properties try the same cases each time, so that a change is judged by what it changes; a search with others:
# PROPTEST_RNG_SEED=1 PROPTEST_CASES=5000 cargo nextest run properties
test: export PROPTEST_RNG_SEED ?= 20261122
test: setup lint ## Run everything that must pass before a change lands
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --all-targets --test-threads $(TEST_THREADS); \
	else \
		set -x; cargo test --locked --all-targets -- --test-threads $(TEST_THREADS); \
	fi
	cargo test --locked --doc
	$(MAKE) quickstart

quickstart: ## Run the main job twice on the embedded defaults; the second run must find nothing to do
	rm -f target/quickstart*
	cargo run --locked --release -- -q sync --config config/quickstart.toml | tail -n 1 | grep -q '^Applied: .* done\.$$'
	cargo run --locked --release -- -q sync --config config/quickstart.toml | grep '^Nothing to do'

measure: ## Time and memory against slapd with 20,000 people (release build)
	scripts/measure.sh

base-image: ## Make the image that the Dockerfile starts from, where no registry can be reached (as root)
	scripts/base-image.sh

image: ## Build the container image
	scripts/image.sh

test-image: ## Build the container image and use it against slapd and the sandbox (as root)
	scripts/test-image.sh
