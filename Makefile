# SealWatch. `make` lists what can be done. Nothing here needs root, Docker or a running server.
PYTHON ?= python3
VENV ?= .venv
SOURCE ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup models clip demo test lint types unit contract bundle bench bench-vision bench-power bench-cloud arm64-selftest clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) models clip ## virtual environment, packages, person model, demo clip (the second time: seconds, offline)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "SealWatch needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python has no venv; on Debian: sudo apt-get install python3-venv"; exit 1; }
	@echo "== packages into $(VENV) (about 700 MB on disk; a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[dev]'
	@touch $@

models: $(READY)
	@$(BIN)/sealwatch models fetch

clip: $(READY)
	@$(BIN)/sealwatch demo --fetch-clip

demo: $(READY) models ## the whole chain on this machine; SOURCE=rtsp://... | file.mp4 | /dev/video0 for a camera of yours
	@$(if $(SOURCE),,$(BIN)/sealwatch demo --fetch-clip)
	@$(BIN)/sealwatch demo $(if $(SOURCE),--source '$(SOURCE)')

test: $(READY) models clip lint types unit ## everything that CI checks: style, types, tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/python -m pytest

contract: $(READY) ## write docs/contract anew from the code
	$(BIN)/python -m sealwatch.contract.schema docs/contract

bundle: $(READY) models ## all that a county without the Internet needs, in dist/bundle.tar.gz
	@PYTHON=$(BIN)/python deploy/bundle/make.sh

bench: $(READY) models clip ## measure, and print the tables of docs/benchmarks.md
	$(BIN)/python -m bench

bench-vision: $(READY) models clip ## what the eyes can do, and what they cost
	$(BIN)/python -m bench vision

bench-power: $(READY) ## what the meter rules can do
	$(BIN)/python -m bench power meter_line sampler

bench-cloud: $(READY) ## ingestion, a fleet, a year of queries, kills, within 12 minutes; WRITE=1 keeps them in docs/benchmarks.md
	$(BIN)/python -m bench --within 12 $(if $(WRITE),--write) cloud_ingest cloud_fleet telemetry ingest cloud_kills

arm64-selftest: $(READY) models clip ## install the agent from aarch64 wheels and let it check itself, emulated
	@$(BIN)/python -m tests.arm64

clean: ## remove the virtual environment and what demo and tests left behind
	rm -rf $(VENV) var build .pytest_cache .mypy_cache .ruff_cache .hypothesis sealwatch.egg-info
