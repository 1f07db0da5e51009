# The everyday commands. `make demo` and `make test` set up whatever they need.

PYTHON ?= python3
BIN := .venv/bin
NPM := $(shell command -v npm 2>/dev/null)
export GUOYUAN_SHARED ?= $(abspath ../shared)

.PHONY: help setup setup-dev setup-npm demo test check format bench services lock clean

help:  ## list these commands
	@sed -nE 's/^([a-z-]+):.*##(.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: .venv/.run  ## install what the product needs into .venv

.venv/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Guoyuan needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup-dev: .venv/.dev setup-npm

.venv/.dev: requirements-dev.lock .venv/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Node is needed by the tests alone: the compiler and chain for the contract, the type checker for the pages.
setup-npm:
ifeq ($(NPM),)
	@echo "npm is not installed: the contract's own tests and the page checks will be skipped"
else
	@# `npm ci` wants every platform's binaries in the lock; a registry may hold only some. --no-save keeps to the lock all the same.
	@test contracts/node_modules/.package-lock.json -nt contracts/package-lock.json || npm --prefix contracts install --no-save --no-audit --no-fund --loglevel=error
	@test api/web/node_modules/.package-lock.json -nt api/web/package-lock.json || npm --prefix api/web ci --no-audit --no-fund --loglevel=error
endif

DEMO := $(if $(READINGS),--readings "$(READINGS)") $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(SALES),--sales "$(SALES)") \
	$(if $(filter 0,$(SERVE)),--no-serve) $(if $(JSON),--json-out "$(JSON)")

demo: setup  ## play one real working day, print the consumer's link, leave the site running (SERVE=0 JSON=out.json to stop)
	@$(BIN)/guoyuan demo $(DEMO)

test: setup-dev  ## run every test, with private PostgreSQL, Redis, Mosquitto and anvil where they are installed
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m tests.parts $(if $(PARTS),--parts $(PARTS)) $(if $(KEEP),--keep-times)
else
	@$(BIN)/python -m api.deploy.services --dir .run/test-services --test --volatile -- $(BIN)/python -m pytest $(ARGS)
endif
ifneq ($(NPM),)
	@node --test tests/web/
endif

check: setup-dev  ## format, lint, types, imports, contract bytecode, pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
ifneq ($(NPM),)
	node contracts/bin/build.js --check
	npm --prefix api/web run --silent check
endif

format:  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev  ## the benchmarks, each beside its baseline
	@$(BIN)/python -m api.deploy.services --dir .run/test-services --test -- $(BIN)/python -m pytest -m benchmark -s --timeout 1800 tests/benchmarks/bench_*.py $(ARGS)

services: setup  ## private PostgreSQL, Redis, Mosquitto and anvil on free ports; Ctrl-C stops them
	@$(BIN)/python -m api.deploy.services

lock:  ## resolve the dependencies again, with hashes and without naming a host
	uv pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --exclude-newer "7 days" -o requirements-dev.lock
	uv pip compile pyproject.toml --group build --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --exclude-newer "7 days" -c requirements-dev.lock -o requirements.lock

clean:  ## forget environments and runs
	rm -rf .venv .run contracts/node_modules contracts/out contracts/cache api/web/node_modules
