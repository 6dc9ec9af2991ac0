# `make run` serves the shipped models; `make test` checks everything that needs neither a GPU nor PyTorch.
.DEFAULT_GOAL := help
PYTHON ?= python3
CARGO ?= cargo
FUZZ_SECONDS ?= 600
FUZZ_TARGET ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SOAK_SECONDS ?= 600
MIRI := MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-deterministic-floats' $(CARGO) +nightly miri test --locked --package ce-op --target-dir target/miri
IMAGE ?= cenet-serve

RUNTIME := runtime/libonnxruntime.so
GPU_RUNTIME := .cache/onnxruntime-gpu/libonnxruntime.so
CUDA_RUNTIME := .cache/onnxruntime-cuda/libonnxruntime.so
NVRTC := .cache/nvrtc/libnvrtc.so.13
ON_CUDA := ORT_DYLIB_PATH=$(abspath $(CUDA_RUNTIME)) LD_LIBRARY_PATH=$(abspath $(dir $(CUDA_RUNTIME)))
FIXTURES := .cache/fixtures/manifest.json
FIXTURES_VENV := .cache/fixtures-venv
TORTURE := .cache/torture/manifest.json
PYTHON_VENV := .cache/python-venv
CLIENTS_VENV := .cache/clients-venv
PAGE_VENV := .cache/page-venv
DEPLOY_VENV := .cache/deploy-venv
OPENAPI_VENV := .cache/openapi-venv
AUDIT_VENV := .cache/audit-venv
TOOLS := .cache/tools
SOAK_VENV := .cache/soak-venv
PEERS := .cache/peers
PLAIN_MODEL := $(PEERS)/models/efficientnet_lite0/1/model.toml
OFFICIAL_MODEL := .cache/official-format/1
DEBUG_BINARY := $(abspath target/debug/cenet-serve)
# data sets that some tests look at and pass over without
TEST_DATA := $(abspath $(or $(CENET_TEST_DATA),../shared/data))

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## serve the shipped models on 127.0.0.1:8000
	@echo 'try, from another terminal: curl --data-binary @docs/images/coffee.jpg http://127.0.0.1:8000/classify'
	target/release/cenet-serve serve

.PHONY: build
build: $(RUNTIME) ## build target/release/cenet-serve
	$(CARGO) build --release --locked

# alone, so that no other package of the workspace raises the version of ONNX Runtime that it asks for
.PHONY: ops-library
ops-library: ## build target/release/libce_op.so, the operator for any program with ONNX Runtime
	$(CARGO) build --release --locked --package ce-op-shared

.PHONY: runtime
runtime: $(RUNTIME) ## fetch ONNX Runtime's shared library (pinned version and hash)

$(RUNTIME): scripts/onnxruntime.txt scripts/fetch_onnxruntime.py
	$(PYTHON) scripts/fetch_onnxruntime.py runtime

.PHONY: test
test: $(RUNTIME) $(FIXTURES) $(TORTURE) ## test everything that needs neither a GPU nor PyTorch
	CENET_TORTURE=$(abspath $(dir $(TORTURE))) $(CARGO) test --workspace --locked

# a GPU is not needed, and not there: what is tested is that the server goes on without, or refuses to, and that the GPU's kernel compiles
.PHONY: test-gpu-fallback
test-gpu-fallback: $(RUNTIME) $(GPU_RUNTIME) $(NVRTC) ## test the server with onnxruntime-gpu's library (300 MB) on a machine without a GPU
	CENET_GPU_RUNTIME=$(abspath $(dir $(GPU_RUNTIME))) $(CARGO) test --locked --lib --test providers -- --nocapture provider program strict option
	LD_LIBRARY_PATH=$(abspath $(dir $(NVRTC))) $(CARGO) test --locked --package ce-op --features cuda --lib cuda -- --nocapture

.PHONY: test-gpu
test-gpu: $(CUDA_RUNTIME) ## test the operator's kernel for NVIDIA's GPUs on one, and time networks there
	$(ON_CUDA) $(CARGO) test --locked --release --package ce-op --features cuda --test cuda -- --ignored --nocapture
	$(ON_CUDA) $(CARGO) bench --locked --bench networks -- --cuda --batch 1,8,32

$(NVRTC): scripts/nvrtc.txt scripts/fetch_onnxruntime.py
	$(PYTHON) scripts/fetch_onnxruntime.py --variant compiler $(@D)

$(CUDA_RUNTIME): scripts/onnxruntime-gpu.txt scripts/cuda.txt scripts/nvrtc.txt scripts/fetch_onnxruntime.py
	$(PYTHON) scripts/fetch_onnxruntime.py --variant cuda $(@D)

$(GPU_RUNTIME): scripts/onnxruntime-gpu.txt scripts/fetch_onnxruntime.py
	$(PYTHON) scripts/fetch_onnxruntime.py --variant gpu $(@D)

.PHONY: fixtures
fixtures: $(FIXTURES) ## draw the test pictures, with Pillow's answers for them

$(FIXTURES): scripts/make_fixtures.py scripts/fixtures/requirements.lock
	$(PYTHON) -m venv --clear $(FIXTURES_VENV)
	$(FIXTURES_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement scripts/fixtures/requirements.lock
	$(FIXTURES_VENV)/bin/python scripts/make_fixtures.py $(@D)

.PHONY: torture
torture: $(TORTURE) ## draw hostile and odd pictures, with what is to become of each

$(TORTURE): scripts/make_torture.py $(wildcard scripts/torture/*.py) $(FIXTURES)
	rm -rf $(@D)
	$(FIXTURES_VENV)/bin/python scripts/make_torture.py $(@D)

.PHONY: lint
lint: $(RUNTIME) ## check formatting, lints, documentation, which rooms name which libraries, and the fuzzing targets' lock
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked
	scripts/check_rooms.sh
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null # its own lock, which names what the server needs

.PHONY: audit
audit: $(AUDIT_VENV)/installed $(TOOLS)/bin/cargo-deny ## hold what we build on against deny.toml, and against advisories where these can be reached
	scripts/audit.sh $(TOOLS)/bin/cargo-deny $(AUDIT_VENV)/bin/pip-audit

.PHONY: sbom
sbom: $(AUDIT_VENV)/installed $(TOOLS)/bin/cargo-cyclonedx ## write what the programs are made of into target/sbom, as CycloneDX
	scripts/sbom.sh $(TOOLS)/bin/cargo-cyclonedx $(AUDIT_VENV)/bin/cyclonedx-py

# they run for seconds and are built for minutes: quickly built is what counts
$(TOOLS)/bin/cargo-deny: INSTALLED := cargo-deny@0.20.2
$(TOOLS)/bin/cargo-cyclonedx: INSTALLED := cargo-cyclonedx@0.5.9
$(TOOLS)/bin/%:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		$(CARGO) install --quiet --locked --root $(TOOLS) $(INSTALLED)

$(AUDIT_VENV)/installed: scripts/audit/requirements.lock
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

.PHONY: bench
bench: $(RUNTIME) ## measure the operator, decoding with preprocessing, serving, and what CE costs a network: docs/performance.md
	CENET_BENCH_REPORT=docs/performance.md $(CARGO) bench --workspace --locked --benches

# PEERS_OPTIONS are those of benches/peers/compare.py, such as `--plain --report FILE`
.PHONY: bench-peers
bench-peers: build $(patsubst %,$(PEERS)/%/installed,mosec litserve mlserver bentoml) $(PLAIN_MODEL) ## compare the server with other model servers (benches/peers)
	$(PYTHON) benches/peers/compare.py $(PEERS_OPTIONS)

$(PLAIN_MODEL): $(wildcard benches/peers/plain/*.py) $(PEERS)/plain/installed
	$(PEERS)/plain/bin/python benches/peers/plain/make_plain.py $(@D)

$(PEERS)/%/installed: benches/peers/%/requirements.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

# the fuzzer's instrumentation is not stable Rust, but stable compilers have it
.PHONY: fuzz
fuzz: $(RUNTIME) $(addprefix fuzz-,$(FUZZ_TARGET)) ## fuzz each target, or FUZZ_TARGET alone, for FUZZ_SECONDS (600); needs `cargo install cargo-fuzz`

fuzz-%:
	mkdir -p fuzz/corpus/$*
	if [ -e fuzz/seeds/$*_corpus.tar.gz ]; then tar -xzf fuzz/seeds/$*_corpus.tar.gz -C fuzz/corpus; fi
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $* fuzz/corpus/$* fuzz/seeds/$* -- \
		-max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -timeout=10

# with the compiler's own instructions and with AVX2's; what calls ONNX Runtime is left out
.PHONY: miri
miri: ## run the kernels' tests under Miri; needs a nightly toolchain with miri and rust-src
	$(MIRI) --lib -- --skip onnx
	$(MIRI) --test kernels --test blocked --test quantized --test convolution
	RUSTFLAGS='-Ctarget-feature=+avx2,+fma' $(MIRI) --test kernels --test blocked --test quantized --test convolution

# the sanitizer is not stable Rust, but stable compilers have it
.PHONY: asan
asan: $(RUNTIME) ## run the operator's tests, ONNX Runtime's part included, under the address sanitizer
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(CARGO) test --locked --package ce-op --target x86_64-unknown-linux-gnu --target-dir target/asan

.PHONY: python
python: $(PYTHON_VENV)/installed ## install the Python package with PyTorch (several GB) into .cache

$(PYTHON_VENV)/installed: python/pyproject.toml python/requirements.lock
	$(PYTHON) -m venv --clear $(PYTHON_VENV)
	$(PYTHON_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement python/requirements.lock
	$(PYTHON_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable python
	touch $@

.PHONY: test-python
test-python: python $(RUNTIME) ## test training and export, and the authors' own network through the server's session
	$(PYTHON_VENV)/bin/ruff check python
	$(PYTHON_VENV)/bin/ruff format --check python
	$(CARGO) build --locked
	$(CARGO) build --locked --package ce-op-shared
	CENET_TEST_DATA=$(TEST_DATA) CENET_SERVE_BINARY=$(DEBUG_BINARY) CENET_OPS_LIBRARY=$(abspath target/debug/libce_op.so) \
		$(PYTHON_VENV)/bin/python -m pytest -q python/tests
	if [ -d $(TEST_DATA)/official-format ]; then $(MAKE) $(OFFICIAL_MODEL); fi
	$(CARGO) test --locked --test official_network -- --nocapture

.PHONY: test-clients
test-clients: $(CLIENTS_VENV)/installed $(RUNTIME) $(FIXTURES) ## drive the server with Triton's clients and with hostile bodies, run the examples, soak for a minute
	$(CLIENTS_VENV)/bin/ruff check tests/clients tests/soak examples benches/peers
	$(CLIENTS_VENV)/bin/ruff format --check tests/clients tests/soak examples benches/peers
	$(CARGO) build --locked
	CENET_SERVE_BINARY=$(DEBUG_BINARY) $(CLIENTS_VENV)/bin/python -m pytest -q tests/clients
	CENET_SERVE_BINARY=$(DEBUG_BINARY) $(CLIENTS_VENV)/bin/python -m pytest -q --override-ini pythonpath=tests/clients tests/soak

# the soak starts the server as the clients' tests do
.PHONY: soak
soak: build $(SOAK_VENV)/installed $(FIXTURES) ## soak the server in mixed traffic for SOAK_SECONDS (600); fails if an answer is wrong or anything grows
	CENET_SERVE_BINARY=$(abspath target/release/cenet-serve) PYTHONPATH=tests/clients \
		$(SOAK_VENV)/bin/python tests/soak/soak.py --seconds $(SOAK_SECONDS) $(SOAK_OPTIONS)

# the page's tests start the server as the clients' do
.PHONY: test-page
test-page: $(PAGE_VENV)/installed $(RUNTIME) ## open the page in Debian's chromium, where that is installed
	$(PAGE_VENV)/bin/ruff check tests/page
	$(PAGE_VENV)/bin/ruff format --check tests/page
	$(CARGO) build --locked
	CENET_SERVE_BINARY=$(DEBUG_BINARY) $(PAGE_VENV)/bin/python -m pytest -q -rs --override-ini pythonpath=tests/clients tests/page

# the tests of the manifests start the server as the clients' do
.PHONY: test-deploy
test-deploy: $(DEPLOY_VENV)/installed $(RUNTIME) ## hold the manifests of deploy/ against their schemas and the server
	$(DEPLOY_VENV)/bin/ruff check tests/deploy
	$(DEPLOY_VENV)/bin/ruff format --check tests/deploy
	$(CARGO) build --locked
	CENET_SERVE_BINARY=$(DEBUG_BINARY) $(DEPLOY_VENV)/bin/python -m pytest -q -rs --override-ini pythonpath=tests/clients tests/deploy

.PHONY: docker
docker: ## build the container image IMAGE (cenet-serve), with VARIANT if set
	scripts/build_image.sh $(IMAGE)

.PHONY: docker-test
docker-test: $(CLIENTS_VENV)/installed ## run the image IMAGE as docs/docker.md advises, where a Docker engine is
	$(CLIENTS_VENV)/bin/ruff check tests/docker
	$(CLIENTS_VENV)/bin/ruff format --check tests/docker
	CENET_IMAGE=$(IMAGE) $(CLIENTS_VENV)/bin/python -m pytest -q -rs tests/docker

.PHONY: test-swarm
test-swarm: $(CLIENTS_VENV)/installed ## update and kill servers of the image IMAGE under load in a swarm of this machine
	$(CLIENTS_VENV)/bin/ruff check tests/swarm
	$(CLIENTS_VENV)/bin/ruff format --check tests/swarm
	CENET_IMAGE=$(IMAGE) $(CLIENTS_VENV)/bin/python -m pytest -q -rs --override-ini pythonpath=tests/docker tests/swarm

# the document's tests start the server as the clients' do
.PHONY: test-openapi
test-openapi: $(OPENAPI_VENV)/installed $(RUNTIME) ## try the server out by its own OpenAPI document, with schemathesis
	$(OPENAPI_VENV)/bin/ruff check tests/openapi
	$(OPENAPI_VENV)/bin/ruff format --check tests/openapi
	$(CARGO) build --locked
	CENET_SERVE_BINARY=$(DEBUG_BINARY) $(OPENAPI_VENV)/bin/python -m pytest -q --override-ini pythonpath=tests/clients tests/openapi

# what needs no more than promtool is part of `make test`
.PHONY: test-prometheus
test-prometheus: $(RUNTIME) ## have a Prometheus scrape the server under load, where that is installed
	$(CARGO) test --locked --test prometheus -- --ignored --nocapture

.cache/%-venv/installed: tests/%/requirements.lock
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	if [ -e $(<D)/requirements-nodeps.lock ]; then $(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $(<D)/requirements-nodeps.lock; fi
	touch $@

.PHONY: eval-server
eval-server: python $(RUNTIME) ## measure the shipped detector on BCCD in PyTorch and over HTTP; fails if they differ
	$(CARGO) build --locked
	$(PYTHON_VENV)/bin/python -m cenet.tools.compare_server --binary $(DEBUG_BINARY) \
		--model models/ce_fcos_bccd/1 --data $(TEST_DATA)/bccd

$(OFFICIAL_MODEL): $(wildcard python/cenet/*.py python/cenet/export/*.py) $(PYTHON_VENV)/installed
	$(PYTHON_VENV)/bin/cenet-export --force --output $@ --arch ce_resnet \
		--arch-option block=bottleneck --arch-option layers=1,1,1,1 \
		--checkpoint $(TEST_DATA)/official-format/checkpoint.pth --golden $(TEST_DATA)/official-format/golden.npz
	@touch $@

