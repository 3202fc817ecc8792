# Every target says what it installs before it does. What is needed first: Rust, make, and Debian or Ubuntu
# as root (elsewhere: the printed packages, and a Docker engine that answers).

TOOLS := target/tools/venv
SETUP := integration/setup
# The order of PATH makes `weed`, `rclone` and the reader's Python those of the pinned environment.
WITH_TOOLS := PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH"

.PHONY: help demo test test-long check bench bench-growth bench-scale torture tools images clean-tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## a tour: back up a volume on your Docker, destroy it, restore it, compare
	@$(SETUP)/packages.sh demo
	cargo build --locked -p backupctl
	@$(SETUP)/with-docker.sh "$${CARGO_TARGET_DIR:-target}/debug/backupctl" demo

test: tools images ## all tests: real Docker, real S3 servers, real databases
	@$(SETUP)/packages.sh test
	@$(WITH_TOOLS) $(SETUP)/with-docker.sh cargo test --workspace --locked --no-fail-fast

test-long: ## random histories, and bits that flip, many times as often (CASES=500); needs nothing
	PROPTEST_CASES=$${CASES:-100} cargo test --workspace --locked --test histories --test usecases -- \
	  any_history no_flipped_bit

check: ## formatting, lints, documentation, the rules of the house
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo test --workspace --locked --test tidy

bench: tools ## measure beside tar, restic, rustic and borg (BENCH="--runs 3 --only small"); writes docs/performance.md
	@$(SETUP)/packages.sh bench
	cargo build --release --locked -p backupctl -p integration --bins
	@$(WITH_TOOLS) $(SETUP)/with-docker.sh "$${CARGO_TARGET_DIR:-target}/release/bench" \
	  --write docs/performance.md $(BENCH)

bench-growth: tools ## measure how time and memory grow with a volume (GROWTH="--scale 0.1"); writes docs/performance.md
	@$(SETUP)/packages.sh bench
	cargo build --release --locked -p backupctl -p integration --bins
	@$(WITH_TOOLS) $(SETUP)/with-docker.sh "$${CARGO_TARGET_DIR:-target}/release/bench" growth \
	  --write docs/performance.md $(GROWTH)

bench-scale: ## 10,000 snapshots, 200 volumes at one minute, an idle service; writes docs/reliability.md
	@$(SETUP)/packages.sh demo
	cargo build --release --locked -p backupctl -p backupd -p integration --bins
	@$(SETUP)/with-docker.sh "$${CARGO_TARGET_DIR:-target}/release/scale" docs/reliability.md

torture: images ## each database recipe 200 times, with kills and naive copies (TORTURE="--cycles 20 --only Redis"); writes docs/reliability.md
	@$(SETUP)/packages.sh demo
	cargo build --release --locked -p backupctl -p integration --bins
	@$(SETUP)/with-docker.sh "$${CARGO_TARGET_DIR:-target}/release/torture" --write docs/reliability.md $(TORTURE)

tools: ## S3 servers and Python modules of the tests, pinned, under target/
	@$(SETUP)/packages.sh tools
	@$(SETUP)/tools.sh $(TOOLS)

images: ## images with PostgreSQL, MariaDB, Redis and others out of Debian's packages, under target/
	@$(SETUP)/images.sh target/tools/images postgres mariadb redis metrics influxdb memcached zookeeper >/dev/null

clean-tools: ## removes both
	rm -rf target/tools
