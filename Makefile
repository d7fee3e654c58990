# handful: `make demo` and `make test` need Python 3.11 or later, make and git, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# a worker a core, with one thread each: two threads of torch on two cores would wait for each other
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

# where the rounding of torch's kernels shows: exported graphs beside torch
OTHER_CPU := $(addprefix tests/trainer/test_export,.py _adam.py _magnified.py)

.PHONY: demo test test-all test-other-cpu test-web check docs format clean

# One shell, so that whatever goes wrong (an old Python, no network, Ctrl-C) leaves no half of an
# environment that was not there before; $(READY) is made last and says that it is whole.
$(READY): pyproject.toml constraints.txt
	@version=$$($(PYTHON) -c 'import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))' 2>&1) || { \
		echo "error: wanted Python 3.11 or later, $(PYTHON) is: $$version" >&2; \
		echo "hint: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; \
		exit 1; \
	}
	@new=; test -e $(VENV) || new=yes; \
	trap 'status=$$?; if [ $$status != 0 ] && [ "$$new" ]; then rm -rf $(VENV); fi; exit $$status' EXIT; \
	trap 'exit 130' INT TERM HUP; \
	set -e; \
	echo "making $(VENV) with $(PYTHON): minutes, where torch has to be downloaded"; \
	$(PYTHON) -m venv $(VENV); \
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[photos,dev]'; \
	touch $(READY)

demo: $(READY) # meta-train on made-up wrist bands, export, adapt to new persons, draw demo/demo.png
	$(BIN)/python -m handful.trainer.demo

test: $(READY) test-web # the tests, but for the long ones
	$(PYTEST) -m "not slow or contract"

# before pytest: some of the tests in Python ask the runtime in JavaScript as well
test-web: $(READY) # the runtime in JavaScript and its pages, where Node is at hand
	@set -e; \
	if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null; then \
		echo "NOT RUN: the tests of web/, which want Node 20 or later" >&2; \
		exit 0; \
	fi; \
	cd web; \
	if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then \
		npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; \
		touch node_modules/.package-lock.json; \
	fi; \
	npm run --silent check; \
	HANDFUL_PYTHON="$(abspath $(BIN))/python" npm test --silent

test-other-cpu: $(READY) # some of them as a CPU without vector instructions computes
	ATEN_CPU_CAPABILITY=default $(PYTEST) -m "not slow" $(OTHER_CPU)

test-all: $(READY) # every check, the long ones too
	$(PYTEST)

check: $(READY) # what CI runs: format, lint, types, tests, some of them as on another CPU
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(MAKE) test
	$(MAKE) test-other-cpu

$(VENV)/.docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs # the documentation with the API as a site: build/site/index.html
	$(BIN)/python docs/site.py
	NO_MKDOCS_2_WARNING=1 PATH="$(abspath $(BIN)):$$PATH" $(BIN)/mkdocs build --quiet

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist demo
