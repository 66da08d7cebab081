# Everything that is done here has one name. `make demo` and `make test` work in a fresh clone, with no other step.
VENV ?= .venv
export GREENROOM_VENV := $(VENV)
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH):/usr/sbin:/sbin
.DEFAULT_GOAL := help
.PHONY: help demo test lint soak bench lock docs clean dev

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## a minute that shows it all, with real traffic; leaves a picture
	@scripts/bootstrap.sh demo
	@$(BIN)/greenroom demo

test: dev ## the linters and all tests
	@scripts/servers.sh
	@scripts/scanners.sh
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python scripts/run_tests.py

lint: dev ## ruff, mypy --strict, the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

soak: dev ## the long tests: minutes to hours
	@$(BIN)/python -m pytest -m soak --timeout 3600

bench: dev ## the benchmarks; writes docs/reference/benchmarks.md
	@scripts/servers.sh
	@$(BIN)/python -m bench

docs: dev ## write the generated parts of the docs anew
	@$(BIN)/python scripts/phases.py
	@$(BIN)/python scripts/verdicts.py
	@$(BIN)/python scripts/migration_rules.py
	@$(BIN)/python -m greenroom.config.reference docs/reference

lock: dev ## lock the dependencies anew (UPGRADE=1: to the newest)
	@scripts/lock.sh

dev:
	@scripts/bootstrap.sh dev

clean: ## remove what was built and measured here
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .test-results $(VENV) $(VENV).lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
