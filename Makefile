# shadowtap: everything a person or a machine does with this repository. `make` lists it.

CARGO ?= cargo
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1200
DEMO := target/demo
# libFuzzer wants instrumented code, for which a stable compiler needs RUSTC_BOOTSTRAP.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz
FUZZ_DIRS := --fuzz-dir tests/fuzz --target-dir target/fuzz

.DEFAULT_GOAL := help
.PHONY: help demo test lint build package package-test accuracy bench fuzz fuzz-build soak audit clean deps

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps ## Build it, replay bundled captures and show the reports (needs no root)
	@echo "Building shadowtap (the first time takes a few minutes)"
	@$(CARGO) build --quiet --locked --profile demo --bin shadowtap
	@.ci/demo $(DEMO)/shadowtap

test: lint ## Format, lints, documentation and every test
	@.ci/deps ip
	-@.ci/deps chromium curl dig dnsmasq nginx node npm openssl python rsyslogd tcpdump; .ci/venv; .ci/npm
	$(CARGO) test --locked

lint: deps ## Format, lints and documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps

build: deps ## Build the optimised binary: target/release/shadowtap
	$(CARGO) build --release --locked

package: build ## Build the Debian package: target/package/shadowtap_VERSION_ARCH.deb
	@.ci/package target/release/shadowtap

package-test: build ## Install, upgrade, remove and purge the package in a clean Debian root (needs root)
	@.ci/deps debootstrap
	@.ci/package-test target/release/shadowtap

accuracy: deps ## Tell poisoned texts from ordinary ones: recall by style, false alarms
	$(CARGO) test --quiet --locked --test accuracy -- --nocapture --test-threads=1

bench: deps ## Measure every stage and whole replays (SHADOWTAP_BENCH_CAPTURE=FILE measures on a capture)
	@.ci/deps tcpdump
	$(CARGO) bench --locked

fuzz: fuzz-build ## Fuzz every parser for FUZZ_SECONDS each (default 60)
	@for target in $$($(FUZZ) list --fuzz-dir tests/fuzz); do \
	  case $$target in capture | shard) seeds=pcaps ;; quic) seeds=tests/fuzz/seeds/quic ;; *) seeds= ;; esac; \
	  echo "== $$target, $(FUZZ_SECONDS) s"; \
	  mkdir -p tests/fuzz/corpus/$$target; \
	  $(FUZZ) run $(FUZZ_DIRS) $(FUZZ_FLAGS) $$target \
	    tests/fuzz/corpus/$$target $$seeds -- -dict=tests/fuzz/words.dict -max_total_time=$(FUZZ_SECONDS) \
	    -timeout=10 -rss_limit_mb=4096 || exit 1; \
	done

fuzz-build: deps
	@.ci/deps c++
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	$(FUZZ) build $(FUZZ_DIRS) $(FUZZ_FLAGS)

soak: deps ## Replay endless traffic for SOAK_SECONDS (default 1200) and fail when memory grows
	$(CARGO) build --profile demo --locked --bin shadowtap --example soak
	$(DEMO)/examples/soak $(DEMO)/shadowtap $(SOAK_SECONDS) pcaps

audit: deps ## Licences, advisories, banned and duplicate dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources
	@$(CARGO) deny fetch db || { echo "make audit: the advisory database cannot be reached, so advisories were NOT \
	checked; everything else is right. Try again with a network that reaches it." >&2; exit 1; }
	$(CARGO) deny check --disable-fetch advisories

clean: ## Remove everything that was built
	$(CARGO) clean

deps:
	@.ci/deps cc pkg-config pcap
