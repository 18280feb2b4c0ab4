# Every target sets up what it needs in .venv and does nothing twice: a stamp file inside .venv remembers what was installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SETUP := pyproject.toml constraints.txt
# By files: a file's tests share what is made once for it.
PARALLEL := -n auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo       cluster two photographs from a file, next to scikit-learn"
	@echo "make test       the test suite; make test-slow: large, long and packaging tests"
	@echo "make lint       format check, lint, types"
	@echo "make bench      side-by-side benchmark against other libraries (long); ARGS='--case patches --rounds 5'"
	@echo "make clean      remove the virtual environment and what was built"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gpuclust needs Python >= 3.11: set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras: `make demo` must not wait for the test dependencies.
$(VENV)/.installed-demo: $(SETUP) | $(BIN)/python
	$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: $(SETUP) | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-bench: $(SETUP) | $(BIN)/python
	$(INSTALL) --editable '.[bench]'
	@touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/gpuclust demo $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not gpu" $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find gpuclust bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
