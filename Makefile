# Two commands matter: `make devnet` runs four nodes, `make test` checks them. Both set the machine up first (.ci/setup, silent when
# nothing is missing). `make devnet ARGS=--once` ends after the demonstration.

# One folder for every clone and for CI: dependencies compile once per machine, a fresh clone compiles only our own crates.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aonode
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Where .ci/prometheus puts promtool unless it is installed.
export PATH := $(PATH):$(CACHE)/prometheus/usr/bin

# The runner that is there; plain `cargo test` must pass too.
RUNNER := $(shell cargo nextest --version > /dev/null 2>&1 && echo "nextest run" || echo "test --lib --bins --tests")

.PHONY: devnet test nightly mutations lint bench fuzz doc setup

# Naming one small test makes cargo choose the features that `make test` needs too, so that the two share every dependency: with
# `cargo run -p aonode` forty crates and ours would be compiled once for each.
devnet: setup
	@cargo build --locked --workspace --bin aonode --test layers
	@$(CARGO_TARGET_DIR)/debug/aonode devnet $(ARGS)

# Every crate, the end-to-end suites of `testnet` among them, then the examples in the documentation.
test: setup
	cargo $(RUNNER) --workspace --locked $(ARGS)
	cargo test --doc --workspace --locked

# What takes hours: seeds of both engines over every fault of the simulator, what AONODE_FULL adds to `make test`, ten minutes of every fuzz
# target. It stops at the first that fails; a seed that breaks a rule is printed with its plan.
SEEDS ?= 10000
nightly: setup
	cargo build --locked --release -p aonode
	for engine in attest bft; do \
	  $(CARGO_TARGET_DIR)/release/aonode sim run --engine $$engine --seeds 0..$(SEEDS) || exit 1; done
	$(MAKE) mutations
	AONODE_FULL=1 $(MAKE) test
	$(MAKE) fuzz SECONDS=600

# Every rule of each engine broken on purpose: by which trial, which scenario of the suite for engines and which seed of the simulator that is
# noticed is printed, and one that nothing notices fails.
mutations: setup
	cargo test --workspace --lib --locked --features aonode/mutations mutation -- --nocapture --test-threads=1

lint: setup
	cargo fmt --all --check
	cargo lint
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

bench: setup
	cargo bench --workspace --locked $(ARGS)

# A minute per target, from the seeds that the tests made; needs a nightly toolchain and cargo-fuzz. SECONDS=3600 for a night.
SECONDS ?= 60
fuzz: setup
	for folder in consensus/types consensus/core consensus/attest consensus/bft p2p storage/arweave vm node; do \
	  for target in $$(cd $$folder && cargo +nightly fuzz list); do \
	    (cd $$folder && mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target && \
	      cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(SECONDS)) || exit 1; done; done

doc: setup
	cargo doc --workspace --no-deps --locked

setup:
	@.ci/setup
