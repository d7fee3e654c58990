# handful: `make demo` and `make test` need Python 3.11 or later, make and git, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all check format clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	touch $(READY)

demo: $(READY) # learn to learn on invented characters, export, adapt, draw demo/demo.png
	$(BIN)/python -m handful.trainer.demo

test: $(READY) # what CI runs
	$(BIN)/python -m pytest -q -m "not slow or contract"

test-all: $(READY) # every check, the long ones too
	$(BIN)/python -m pytest -q

check: $(READY) # format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(MAKE) test

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist demo
