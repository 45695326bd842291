# Every act of development has a name here; continuous integration calls the same names.
# `make demo` and `make test` set up whatever they need inside the checkout.

CARGO ?= cargo
PREFIX ?= /usr/local
PYTHON ?= python3
# What `make crash` does at least.
KILLS ?= 200
# A text file for the demo; by default every line of the repository's own text files.
FILE ?=

venv := target/venv
release := $(CURDIR)/target/release
debug := $(CURDIR)/target/debug

# The packages of the product, and of all tests in Rust and their programs. Cargo builds what they
# share anew for every other choice of packages, so that whoever builds some names these.
product := -p cairnlog-cli -p cairnlog-ffi -p cairnlog-jni -p cairnlog-bench
export CAIRNLOG_PACKAGES := -p cairnlog -p cairnlog-ffi -p cairnlog-cli -p cairnlog-jni \
	-p cairnlog-bench -p cairnlog-crash -p cairnlog-test-soak -p cairnlog-test-writer

# The scripts below look here for what was built.
export CARGO_TARGET_DIR := $(CURDIR)/target
export CAIRNLOG_TARGET := $(release)

.PHONY: build programs demo test everything check lint fmt header abi rust model c python java compat
.PHONY: loom miri miri-short sanitize sanitize-short soak leaks fuzz fuzz-short faults powercut crash
.PHONY: differential deny sbom install bench bench-quick bench-micro peers counts counts-bless doc
.PHONY: clean

# The C libraries, the JNI library, and what is counted, in target/release; and the tool, which the
# tests take from target/debug.
build:
	$(CARGO) build --release --locked $(product) --lib --bin cairnlog-counts \
		$(if $(EVERYTHING),,--bin cairnlog)

# The same, the programs of tests and benchmarks, and the tests in Rust, in target/debug.
programs:
	$(CARGO) build --locked $(CAIRNLOG_PACKAGES) --lib --bins --tests

# The main job on real input: ingest, kill, recover, verify, read back in every language.
demo: build
	$(PYTHON) tests/demo/demo.py $(if $(FILE),--file "$(FILE)")

# Everything that must pass before a change lands, two at a time: much of it waits for a disk.
# `programs`, which most of it waits for, comes first, and beside it what does not.
test:
	$(MAKE) --jobs=2 --output-sync=target EVERYTHING=1 everything

everything: programs build loom miri-short python sanitize-short compat rust lint faults java c \
	fuzz-short differential leaks crash counts

# Formatting and lints, and that no append takes more instructions.
check: lint counts

# Formatting and lints, warnings being errors.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path bench/peers/Cargo.toml --check
	$(CARGO) fmt --manifest-path tests/loom/Cargo.toml --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml -p cairnlog-fuzz-bodies --all-targets \
		--locked -- -D warnings

# Instructions of an append and its like beside those kept in bench/counts.json. Needs valgrind.
counts: build
	$(PYTHON) bench/counts.py

# Keeps the instructions that are counted now.
counts-bless: build
	$(PYTHON) bench/counts.py --bless

# The engine, the C ABI and the JNI library as Rust sees them, the tool, and that every benchmark
# runs.
rust: programs
	$(CARGO) test --locked $(CAIRNLOG_PACKAGES)

# Random operations beside a plain list of messages, for longer than `make rust` does it. A failure
# says with which seed it comes again.
model:
	CAIRNLOG_MODEL_CASES=$(ROUNDS) $(if $(SEED),CAIRNLOG_MODEL_SEED=$(SEED)) \
		$(CARGO) test --locked -p cairnlog --test model

# Locks and hand-overs in every order that threads can meet in. NAME=... explores those whose name
# has it.
loom:
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom $(CARGO) run --quiet --locked \
		--manifest-path tests/loom/Cargo.toml -- $(NAME)

# Raw memory under miri, with memory of the process in the place of mappings. Needs a nightly
# compiler with miri and rust-src; takes minutes. TESTS=... names others.
miri = CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/miri PROPTEST_CASES=4 \
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --locked -p cairnlog --lib --
miri:
	$(miri) $(or $(TESTS),mapped::region mapped::staging codec::properties flush::group)

# Some of that where such a compiler can make its standard library ready; where not, that is told.
miri-short:
	@if test -d "$$(rustc +nightly --print sysroot 2>/dev/null)/lib/rustlib/src" && \
		$(CARGO) +nightly miri setup </dev/null >/dev/null 2>&1; then \
		$(miri) mapped::region flush::group; \
	else \
		echo '*** LEFT OUT: miri: there is no nightly compiler with miri that works ***' >&2; \
	fi

# The tests in Rust, C and Python under AddressSanitizer and ThreadSanitizer, the engine being
# instrumented. SANITIZER=address or thread and PART=rust, c or python are one of them, ONLY=... runs
# those tests whose name has it. Figures go to target/sanitize.json. Needs a nightly compiler with
# rust-src, and clang of the same LLVM; takes an hour on two cores.
sanitize:
	$(PYTHON) tests/sanitize/run.py $(if $(SANITIZER),--sanitizer $(SANITIZER)) \
		$(if $(PART),--part $(PART)) $(if $(ONLY),--only $(ONLY))

# The tests of the C ABI in Rust under the first, where there is what it needs; where not, that is
# told.
sanitize-short:
	$(PYTHON) tests/sanitize/run.py --short --sanitizer address

# A store in mixed use for MINUTES (30), and whether the process grows. Draws docs/plots/soak.svg.
soak:
	$(CARGO) build --release --locked -p cairnlog-test-soak
	$(PYTHON) tests/soak/run.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))
	PYTHON=$(PYTHON) bench/plot.sh target/soak.json docs/plots

# Power cuts behind every operation of scripted work: on a model of a disk that keeps what was synced
# and of the rest what chance takes, and under the tool on a real file system. STATES=... says how
# many states of the model are looked at, REPLAYS=... how many of the tool, SEED=... repeats a run.
# The counts go to target/powercut.json. `make rust` and `make compat` do less of the same.
powercut: programs
	CAIRNLOG_POWERCUT_STATES=$(or $(STATES),20000) $(if $(SEED),CAIRNLOG_SEED=$(SEED)) \
		CAIRNLOG_POWERCUT_REPORT=$(CURDIR)/target/powercut-model.json \
		CAIRNLOG_POWERCUT_MODEL=$(CURDIR)/target/powercut-tool.json \
		$(CARGO) test --locked -p cairnlog --lib powercut -- --nocapture
	CAIRNLOG_TARGET=$(debug) $(PYTHON) tests/powercut/replay.py \
		--states $(or $(REPLAYS),300) $(if $(SEED),--seed $(SEED)) --model target/powercut-tool.json \
		--counts target/powercut-model.json --report target/powercut.json

# Every call of every operation fails, once, twice and for ever, with every error; then the system
# itself fails under an unmodified program. ROUNDS=5 tries 5 failures at each call and a quarter of
# what the system can do, ALL=1 all there is (15 minutes). SEED=... has the same cases again. Writes
# target/faults.json.
faults: programs
	rm -f target/faults.json
	CAIRNLOG_FAULTS_REPORT=$(CURDIR)/target/faults.json \
		$(if $(ALL),CAIRNLOG_FAULTS_ALL=1,CAIRNLOG_FAULTS_ROUNDS=$(or $(ROUNDS),1)) \
		$(if $(SEED),CAIRNLOG_SEED=$(SEED)) $(CARGO) test --locked -p cairnlog --lib tests::faults
	$(PYTHON) tests/faults/faults.py --rounds $(or $(ROUNDS),1) $(if $(ALL),--all) \
		$(if $(SEED),--seed $(SEED)) --report target/faults.json

# What each Rust test leaves when it has passed, alone in a process: threads, descriptors, mappings,
# files, and objects that nothing points to. A fifth of the tests, others each time; ALL=1 is all of
# them, NAME=... those whose name has it, SEED=... a fifth again. Writes target/leaks.json. That each
# kind is seen is tried first. The C tests, Java's and Python's look by themselves.
leaks: $(if $(EVERYTHING),rust)
	CARGO=$(CARGO) $(PYTHON) tests/leaks/leaks.py $(if $(ALL),--all) $(if $(NAME),--only $(NAME)) \
		$(if $(SEED),--seed $(SEED)) --report target/leaks.json

# Every target of fuzz/ over its kept inputs and some thousand that a generator makes of them, on
# the stable compiler. INPUTS=1000 makes ten times as many, SEED=7 others.
fuzz-short: $(if $(EVERYTHING),programs)
	CAIRNLOG_FUZZ_SEED=$(SEED) CAIRNLOG_FUZZ_INPUTS=$(INPUTS) $(CARGO) test --locked \
		--manifest-path fuzz/Cargo.toml -p cairnlog-fuzz-bodies -- --nocapture

# libFuzzer under AddressSanitizer: each target for SECONDS=600, one after the other, or TARGET=name
# alone; SEED=7 is libFuzzer's. Prints seeds, executions and coverage, and writes them to
# target/fuzz.json; what it finds is in fuzz/artifacts. Needs a nightly compiler and cargo-fuzz.
fuzz:
	$(PYTHON) fuzz/run.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(TARGET),--target $(TARGET))

# The C ABI as C and C++ see it: examples and tests, once more under AddressSanitizer.
c: build
	BUILD_DIR=$(release) tests/c/run.sh

python: $(if $(EVERYTHING),programs)
	python/run-tests.sh debug

java: $(if $(EVERYTHING),build)
	CAIRNLOG_BUILT=$(EVERYTHING) java/run-tests.sh

# What crosses languages, stock RocketMQ beside cairnlog on one store, and that the benchmarks run.
compat: programs python
	CAIRNLOG_TARGET=$(debug) $(venv)/bin/python -m pytest -q tests

# Writers in Rust, C, Python and Java, killed with SIGKILL at random moments, 200 times or as KILLS
# says (KILLS=5000 is the long form), and what they leave. A failure says with which SEED and STORE
# it comes again; figures go to target/crash.json.
crash: build programs $(if $(EVERYTHING),python)
	$(if $(EVERYTHING),,python/run-tests.sh build debug)
	KILLS=$(KILLS) SEED=$(SEED) STORE=$(STORE) tests/crash/run.sh

# Randomly damaged stores, opened by stock RocketMQ and by cairnlog, which must never keep less:
# the same 100 each time, or STORES=5000 (half an hour) of a SEED; without a seed they are others
# each time. ONLY=... is one store of a seed. Counts are in target/differential.json.
differential: programs
	CAIRNLOG_TARGET=$(debug) PYTHONPATH=tests $(PYTHON) -m differential.run \
		$(if $(STORES),--stores $(STORES),--seed 11) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

# Licences, sources and known vulnerabilities of all crates. Builds cargo-deny the first time.
deny:
	CARGO=$(CARGO) supply/deny.sh

# The CycloneDX bill of materials of the product, in target/sbom.
sbom:
	PYTHON=$(PYTHON) supply/sbom.sh

fmt:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path bench/peers/Cargo.toml
	$(CARGO) fmt --manifest-path tests/loom/Cargo.toml
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --all

# Writes include/cairnlog.h anew from the sources of the C ABI.
header:
	BLESS=1 $(CARGO) test --locked -p cairnlog-ffi --test header

# Writes the lists of symbols and struct layouts anew that later versions are held to.
abi:
	BLESS=1 $(CARGO) test --locked -p cairnlog-ffi --test abi

# Installs the C library with its pkg-config file and CMake package.
install: build
	ffi/install.sh "$(PREFIX)" "$(release)"

# Everything in bench/suite beside the raw limits of this machine, and other stores in the same
# rounds. Draws the plots of docs/performance.md.
bench: peers
	$(CARGO) build --release --locked $(product)
	python/run-tests.sh build
	$(PYTHON) bench/run.py
	PYTHON=$(PYTHON) bench/plot.sh target/bench.json docs/plots

# What drives the other stores, in target/peers. The first time takes long: RocksDB is compiled.
peers:
	PYTHON=$(PYTHON) CARGO=$(CARGO) bench/peers/build.sh

# `bench` without the other stores and with smaller amounts, in under three minutes.
bench-quick:
	$(CARGO) build --release --locked $(product)
	python/run-tests.sh build
	$(PYTHON) bench/run.py --quick
	PYTHON=$(PYTHON) bench/plot.sh target/bench.json target/plots

# Codec, CRC, append, look-up and read, one call each. NAME=... runs those whose name has it.
bench-micro:
	$(CARGO) bench --locked -p cairnlog-bench --bench micro -- $(NAME)

doc:
	$(CARGO) doc --no-deps --locked -p cairnlog

clean:
	$(CARGO) clean
