# Every target does its own set-up (tools/set_up.sh); a fresh machine needs Python >= 3.11 with venv, git and make.
# Paths are relative, so that the checkout may stand in a folder whose name has a space.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

python := .venv/bin/python
# Servers are heavy: two workers, each with the tests of whole modules, so that a module's server is started once.
TEST_WORKERS ?= 2
TEST_ARGS ?=
COVERAGE_FLOOR ?= 80

.PHONY: help demo test lint bench docs nightly clean dev lock

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: ## a fleet of 153 databases on this machine, from nothing
	@tools/set_up.sh run
	@examples/demo.sh

test: ## lint, then the whole suite against the built wheel
	@tools/set_up.sh test
	@tests/setup_machine.sh
	@tools/lint.sh
	@$(python) -m pytest -n $(TEST_WORKERS) --dist loadscope --cov=manor --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(TEST_ARGS)

lint: ## style, types and the direction of imports
	@tools/set_up.sh test
	@tools/lint.sh

bench: ## measurements, written to benchmarks/RESULTS.md
	@tools/set_up.sh bench
	@$(python) -m benchmarks

docs: ## the generated part of docs/reference
	@tools/set_up.sh run
	@$(python) docs/generate.py

nightly: ## the long profiles
	@tools/set_up.sh test
	@tests/setup_machine.sh
	@$(python) -m pytest -m nightly $(TEST_ARGS)
	@$(python) -m pytest -m hypothesis --hypothesis-profile nightly --timeout 3600 tests/unit tests/integration/documents $(TEST_ARGS)

dev: ## an editable installation, for work on Manor itself
	@tools/set_up.sh test
	@$(python) -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@rm -f .venv/wheel-*
	@echo "ready: . .venv/bin/activate"

lock: ## newest versions into requirements/*.lock
	@tools/set_up.sh run
	@tools/lock.sh

clean: ## remove all that was made here, the demo and its databases too
	@tools/clean.sh
