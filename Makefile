# make setup | search | test | lint. Needs only Python 3.11 (or newer) and make; everything else comes from the lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup search test test-all lint lock peers

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY) ## create .venv from the lock (does nothing if it is up to date)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement <(sed -n '/^uv==/,/[^\\]$$/p' requirements.lock)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	touch $@

search: $(READY) ## run the demo search on a local Ray; ARGS='--trials 8' adds flags
	$(BIN)/python -m decouple_search.tune $(ARGS)

test: $(READY) ## unit tests, two at a time, then integration tests on one local Ray
	$(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile --ignore tests/integration $(ARGS)
	$(BIN)/python -m pytest -m "not slow and not gpu" tests/integration $(ARGS)

test-all: $(READY) ## all tests, including the slow tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

peers: $(VENV)-peers/.ready $(VENV)-conformal/.ready ## environments of the searchers that benchmarks compare with

$(VENV)-%/.ready: benchmarks/%.lock
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	touch $@

lock: $(READY) ## update the pinned versions of pyproject.toml's dependencies
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --group build --universal --python-version 3.11 \
	    --generate-hashes --quiet --upgrade --output-file requirements.lock
