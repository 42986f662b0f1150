# On a fresh machine, run `make install`, `make demo` or `make test`. Each sets up $(VENV) first. A
# stamp file in $(VENV) records the installed requirements, so that a repeated call starts at once.

PYTHON ?= python3
VENV ?= .venv
# Two rounds on 8×8 images, with 7 architectures and 21 trainings: about two minutes on two cores.
DEMO_FLAGS ?= --dataset digits --no-flip --flops 1e6 --width 16 --rounds 2 --insertions 2 \
  --epochs 8 --batch-size 32 --lambda-morphnet 3e-5 --lambda-layer 1e-5

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
RUNTIME := $(VENV)/.installed-runtime
TEST := $(VENV)/.installed-test
DOCS := $(VENV)/.installed-docs
# Two processes, each with whole files of tests; `make test WORKERS=0` uses one, for debugging.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

.PHONY: help install setup demo test test-all faults lint docs bench clean

help:
	@echo 'make install   create $(VENV) with the packages and all extras; then: source $(BIN)/activate'
	@echo 'make setup     the same with what the tests need'
	@echo 'make demo      search for an architecture for the digits of scikit-learn; leaves runs/demo'
	@echo 'make test      lint, then run the tests on TensorFlow, JAX and torch'
	@echo 'make test-all  the same with the slow tests, which take longer than all the others'
	@echo 'make faults    inject hundreds of faults and tally outcomes: about half an hour'
	@echo 'make lint      check rules and format (ruff), types (mypy), spelling and wording'
	@echo 'make bench     run all benchmarks and print a table of their goals'
	@echo 'make docs      build the documentation into site/; a broken link is an error'
	@echo 'make clean     remove the demo run, build outputs and caches, but not $(VENV)'
	@echo
	@echo 'Each target sets up $(VENV) first if needed. Options: PYTHON=python3.12, VENV=folder.'

install: $(RUNTIME)
	@echo 'Installed. Next: source $(BIN)/activate, then resbuilder --help or survival --help'

setup: $(TEST)

demo: $(RUNTIME)
	$(BIN)/resbuilder search $(DEMO_FLAGS) --out runs/demo --overwrite

test: lint
	KERAS_BACKEND=tensorflow $(PYTEST) -m 'not slow'
	KERAS_BACKEND=jax $(PYTEST) -m 'any_backend and not slow'
	KERAS_BACKEND=torch $(PYTEST) -m 'any_backend and not slow'

test-all: lint
	KERAS_BACKEND=tensorflow $(PYTEST)
	KERAS_BACKEND=jax $(PYTEST) -m any_backend
	KERAS_BACKEND=torch $(PYTEST) -m any_backend

faults: $(TEST)
	$(BIN)/python -m tests.faults

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python -m tests.prose

# The variable keeps the theme from advertising its successor.
docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean

bench: $(TEST)
	$(BIN)/python -m benchmarks

clean:
	rm -rf runs/demo build dist site .cache *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# It tests for pip, not for python: an incomplete venv has no pip and is created again.
$(RUNTIME): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required, but this is " + sys.version.split()[0] + "; choose another one: make PYTHON=python3.11")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS): requirements-docs.txt $(RUNTIME)
	$(PIP) install -r requirements-docs.txt
	@touch $@

$(TEST): requirements-test.txt $(RUNTIME)
	$(PIP) install -r requirements-test.txt
	@touch $@
