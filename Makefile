# edge-agent: `make demo` and `make test` set up everything that they need; `make help` lists the rest.
SHELL := /bin/bash
.DELETE_ON_ERROR:

# onnxruntime-training-cpu has wheels for Python 3.10 and 3.11; with another Python the device uses the portable engine.
PYTHON ?= $(shell for p in python3.11 python3.10 python3 python; do command -v $$p >/dev/null && { echo $$p; break; }; done)
DEVICE := .venv-device
WORKSTATION := .venv
RIVALS := out/rivals
LITERT ?= 1
PHOTOS ?= ../shared/data/cifar10-train.zip
TEST_PHOTOS ?= ../shared/data/cifar10-test.zip
WEIGHTS ?= ../shared/data/mobilenet_v3_small-cifar10-64px.pth

.PHONY: help demo test browser lint types unit artifacts field bench bench-learning bench-page screenshots bench-queue bench-service bench-engines test-models test-platforms test-aarch64 device-size clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "%-16s %s\n", $$1, $$2}' Makefile

demo: $(DEVICE)/ready  ## the main job on real photos: correct one picture, check it, take it back (no torch)
	@$(DEVICE)/bin/python demo/demo.py

test: lint types unit  ## set up both environments, check style and types, run every test

lint: $(WORKSTATION)/ready  ## ruff
	$(WORKSTATION)/bin/ruff check .

types: $(WORKSTATION)/ready  ## mypy --strict
	$(WORKSTATION)/bin/mypy

browser:  ## Chromium and mosquitto for the tests, where apt-get can install them; elsewhere those tests skip with their reason
	@for tool in chromium mosquitto; do \
	  PATH=$$PATH:/usr/sbin command -v $$tool >/dev/null && continue; \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq $$tool; } >/dev/null 2>&1 \
	    || echo "no $$tool here: its tests will be skipped" >&2; \
	done

unit: $(WORKSTATION)/ready $(DEVICE)/ready browser  ## the tests alone
	EDGE_AGENT_TEST_DEVICE=$(CURDIR)/$(DEVICE)/bin/python $(WORKSTATION)/bin/python -m pytest -rs

.PHONY: faults
faults: $(WORKSTATION)/ready $(DEVICE)/ready  ## the fault plan with the night's figures, into docs/faults.md: ROWS="D1 K1" for some of it, SEED=n
	EDGE_AGENT_TEST_DEVICE=$(CURDIR)/$(DEVICE)/bin/python $(WORKSTATION)/bin/python tests/faults/campaign.py --report docs --seed $(or $(SEED),0) $(ROWS)

.PHONY: mutation
MUTATION = $(WORKSTATION)/bin/python tests/mutation.py --report docs/mutation.json
mutation: $(WORKSTATION)/ready  ## change one thing at a time in journal, artifact and guard: what no test notices, into docs/mutation.md
	$(MUTATION) edge_agent/guard.py --tests tests/test_guard.py
	$(MUTATION) edge_agent/artifact.py --tests tests/test_artifact.py
	TMPDIR=/dev/shm $(MUTATION) edge_agent/journal.py --tests tests/test_journal_turns.py tests/test_journal.py tests/test_journal_mark.py \
	  tests/test_journal_requests.py tests/test_journal_opening.py --then tests/test_journal_holder.py tests/test_migrating.py tests/test_state_commands.py

artifacts: $(WORKSTATION)/ready  ## build artifacts/default again: PHOTOS=folder or zip, WEIGHTS=file
	$(WORKSTATION)/bin/python artifacts/build_default.py --photos $(PHOTOS) --weights $(WEIGHTS)

field: $(WORKSTATION)/ready  ## choose the photos of artifacts/field again: TEST_PHOTOS=folder or zip
	$(WORKSTATION)/bin/python artifacts/choose_field.py --photos $(TEST_PHOTOS)

bench-learning: $(WORKSTATION)/ready  ## corrections measured on real photos: TEST_PHOTOS=folder or zip
	$(WORKSTATION)/bin/edge-export build --model mobilenet_v3_small --weights none --data artifacts/field --output out/pass-224 --overwrite --no-report
	$(WORKSTATION)/bin/python benchmarks/learning.py --photos $(TEST_PHOTOS) --reference out/pass-224

bench-queue: $(WORKSTATION)/ready  ## what a person's answers bring when the queue asks: TEST_PHOTOS=folder or zip
	$(WORKSTATION)/bin/python benchmarks/queue_streams.py --photos $(TEST_PHOTOS)

bench: $(WORKSTATION)/ready $(DEVICE)/ready $(RIVALS)/ready  ## this product beside its rivals: times, memory, sizes; LITERT= leaves LiteRT's converter (7 GB) out
	$(WORKSTATION)/bin/python benchmarks/bench_networks.py --photos $(PHOTOS) --weights $(WEIGHTS) --output out/bench
	test -z "$(LITERT)" || test -e out/bench/network-10.tflite || { $(PYTHON) -m venv $(RIVALS)/convert && \
	  $(RIVALS)/convert/bin/pip install -q --disable-pip-version-check litert-torch torchvision && $(RIVALS)/convert/bin/python \
	  benchmarks/rivals/convert_litert.py out/bench/network-10.pth 10 224 out/bench/network-10.tflite; }
	$(WORKSTATION)/bin/python benchmarks/bench.py --weights $(WEIGHTS)

bench-layers: $(WORKSTATION)/ready  ## which layers to train, with few and with many photos, into docs/layers.md: TEST_PHOTOS=zip WEIGHTS=file
	$(WORKSTATION)/bin/python benchmarks/layers.py --photos $(TEST_PHOTOS) --weights $(WEIGHTS)

bench-service: $(WORKSTATION)/ready  ## the service under load: its overhead, 50 clients while one corrects, 200 slow ones, kill -9
	$(WORKSTATION)/bin/python benchmarks/service.py

bench-page: $(WORKSTATION)/ready browser  ## the review page in Chromium: from the tap to the verdict on the screen
	$(WORKSTATION)/bin/python benchmarks/page.py

screenshots: $(WORKSTATION)/ready browser  ## the review page's pictures in docs/
	SCREENSHOTS=docs $(WORKSTATION)/bin/python -m pytest tests/service/test_page_screenshots.py

bench-engines: $(WORKSTATION)/ready  ## a step of either engine, side by side: times and peak memory
	$(WORKSTATION)/bin/python benchmarks/engines.py

test-models: $(WORKSTATION)/ready $(DEVICE)/ready  ## all 80 of torchvision's classifiers the whole way, into docs/models.md: NAMES="…" for some
	$(WORKSTATION)/bin/python tests/models/every_network.py --device $(CURDIR)/$(DEVICE)/bin/python $(NAMES)

test-platforms: $(DEVICE)/ready  ## the same answers on every Python here, oldest to newest ONNX Runtime: GPU_WHEELS=1 for those too
	$(DEVICE)/bin/python tests/platforms/matrix.py $(if $(GPU_WHEELS),--gpu-wheels)

test-aarch64: $(DEVICE)/ready  ## the same answers on an emulated Raspberry Pi 4
	$(DEVICE)/bin/python tests/platforms/aarch64.py

device-size: $(DEVICE)/ready  ## what each extra really installs, and that the minimal set is small and does the job
	$(DEVICE)/bin/python tests/platforms/size.py $(if $(GPU_WHEELS),--gpu-wheels)

clean:  ## remove both environments and what the tools left
	rm -rf $(DEVICE) $(WORKSTATION) build out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# pip compiles what it copies, not what it links, and without that every start takes 0.2 s longer: hence compileall.
$(DEVICE)/ready: pyproject.toml
	@echo "setting up the device environment in $(DEVICE) with $(PYTHON)" >&2
	@$(PYTHON) -m venv $(DEVICE)
	@$(DEVICE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu]'
	@$(DEVICE)/bin/python -m compileall -q edge_agent
	@touch $@

$(WORKSTATION)/ready: pyproject.toml
	@echo "setting up the workstation environment in $(WORKSTATION) with $(PYTHON): torch alone is several GB" >&2
	@$(PYTHON) -m venv $(WORKSTATION)
	@$(WORKSTATION)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[export,dev]'
	@$(WORKSTATION)/bin/python -m compileall -q edge_agent
	@touch $@

$(RIVALS)/ready: Makefile
	@echo "setting up the rivals' environments in $(RIVALS)" >&2
	@for rival in sklearn:scikit-learn river:river litert:ai-edge-litert; do $(PYTHON) -m venv $(RIVALS)/$${rival%%:*} && \
	  $(RIVALS)/$${rival%%:*}/bin/pip install -q --disable-pip-version-check pillow $${rival##*:} || exit 1; done
	@touch $@
