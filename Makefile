# forewarn: every target works on a fresh clone with Python 3.11, make and a package index.
# The first call makes .venv (about a minute, with progress); later calls start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(shell cksum requirements/dev.txt pyproject.toml | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-influxdb test check bench quality components lock

help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## make the virtual environment .venv from the hash-locked requirements

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "forewarn needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setup: making $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable .
	@touch $@
	@echo "setup: done"

demo: $(READY) ## play a recorded cluster at high speed and serve its page on 127.0.0.1
	@$(BIN)/forewarn demo $(ARGS)

demo-influxdb: $(READY) ## the demo with a real InfluxDB beside it, for Grafana
	@deploy/influxdb/demo.sh $(ARGS)

test: $(READY) ## all checks and tests; says what it skipped and why
	@$(BIN)/python -m pytest -q -rs $(ARGS)

check: $(READY) ## ruff, formatting, mypy strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY) ## measure: asserted before timed, ratios inside one run
	@$(BIN)/python -m pytest -q benchmarks -o python_files='bench_*.py' --benchmark-only $(ARGS)

quality: $(READY) ## accuracy, noise and speed of every model on data kept aside, as one table
	@$(BIN)/python -m benchmarks.quality $(ARGS)

chaos: $(READY) ## hurt workers and a real broker at random, and count what was lost or came twice
	@$(BIN)/python -m benchmarks.chaos.run $(ARGS)

components: ## build what tests need beside Python (a Kubernetes control plane, Chromium), cached
	@deploy/components

LOCK := uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11
lock: ## renew requirements/*.txt from pyproject.toml (needs uv)
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	echo hatchling | $(LOCK) - -c requirements/dev.txt -o requirements/build.txt
