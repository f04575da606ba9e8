# Everything a developer or a build server needs; `make help` lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Anything that changes what is to be installed makes the stamp old.
SETUP := target/rig/.setup

# Tools of `check` and `sbom`, pinned: they judge the dependencies, and are none.
TOOLS := target/tools
CARGO_DENY := $(TOOLS)/cargo-deny-0.20.2
CARGO_CYCLONEDX := $(TOOLS)/cargo-cyclonedx-0.5.9

# Real servers are started by the tests, several at a time would crowd a small machine.
TEST_THREADS ?= 2

# Of `quickstart`; `test` leaves it out, since its own build is there already.
RELEASE ?= --release

# Of `bench` and `bench-check`.
BENCH ?=

# Of `soak`.
HISTORIES ?= 100000
FIRST ?= 1000000

.PHONY: help setup fmt lint test check sbom soak planted quickstart bench bench-check base-image image test-image

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## Install what the tests need: Samba, OpenLDAP, PostgreSQL, Chromium, Python packages

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
	$(MAKE) quickstart RELEASE=

# Not a part of `test`: the first time, building the tools takes minutes. With ADVISORIES=required it fails where the
# database of known vulnerabilities (RustSec's, by git) cannot be reached, which else is only said.
check: lint sbom $(CARGO_DENY)/bin/cargo-deny ## Hold the dependencies to deny.toml: licences, bans, sources, known vulnerabilities
	$(CARGO_DENY)/bin/cargo-deny --locked check licenses bans sources
	@if $(CARGO_DENY)/bin/cargo-deny --locked fetch db >/dev/null 2>&1; then \
		set -x; $(CARGO_DENY)/bin/cargo-deny --locked check --disable-fetch advisories; \
	else \
		echo "advisories NOT checked: the database of RustSec cannot be reached from here" >&2; \
		test "$(ADVISORIES)" != required; \
	fi

sbom: $(CARGO_CYCLONEDX)/bin/cargo-cyclonedx ## Write target/sbom.cdx.json: every crate that is built in (CycloneDX)
	PATH="$(CURDIR)/$(CARGO_CYCLONEDX)/bin:$$PATH" scripts/sbom.py

$(CARGO_DENY)/bin/cargo-deny:
	cargo install --locked --root $(CARGO_DENY) $(subst -0,@0,$(notdir $(CARGO_DENY)))

$(CARGO_CYCLONEDX)/bin/cargo-cyclonedx:
	cargo install --locked --root $(CARGO_CYCLONEDX) $(subst -0,@0,$(notdir $(CARGO_CYCLONEDX)))

soak: ## Play 100,000 histories (HISTORIES=, FIRST= the first seed) and many more cases of each property
	IDCSYNC_HISTORIES=$(HISTORIES) IDCSYNC_FIRST=$(FIRST) \
		cargo test --locked --release --test simulation -- histories --nocapture --test-threads $(TEST_THREADS)
	PROPTEST_CASES=5000 cargo test --locked --release --lib

planted: ## Plant bugs on purpose and count the histories until the simulation finds each
	scripts/planted.py

quickstart: ## Run the main job twice on the embedded defaults; the second run must find nothing to do
	rm -f target/quickstart*
	cargo run --locked $(RELEASE) -- -q sync --config config/quickstart.toml | tail -n 1 | grep -q '^Applied: .* done\.$$'
	cargo run --locked $(RELEASE) -- -q sync --config config/quickstart.toml | grep '^Nothing to do'

bench: setup ## Measure cycles on 100,000 people beside ldapsearch, and the target's rate (BENCH="--people 20000 --only slapd")
	cargo bench --locked --bench flatten
	cargo bench --locked --bench cycles -- $(BENCH)

bench-check: setup ## The same, held against the recorded ratios and counts: says what got worse, and fails then
	cargo bench --locked --bench cycles -- --check $(BENCH)

base-image: ## Make the image that the Dockerfile starts from, where no registry can be reached (as root)
	scripts/base-image.sh

image: ## Build the container image
	scripts/image.sh

test-image: ## Build the container image and use it against slapd and the sandbox (as root)
	scripts/test-image.sh
