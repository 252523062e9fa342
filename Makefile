# One command set for people and CI: make demo | test | lint | bench. `make help` lists all.
SHELL := /bin/bash
PYTHON ?= python3
# uv is taken from PATH, or put into a private folder of this repository.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --frozen --extra demo

SLOW_LINES := $(addprefix tests/line/test_,answers.py deterministic.py model_life.py native_crash.py secure.py topic_life.py truncated.py)

.DEFAULT_GOAL := help
.PHONY: help env demo test test-plain test-faults test-slow test-ops mutants soak lint format bench bench-peers bench-gate bench-decode bench-decoders bench-recovery bench-stall bench-api bench-freshness clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

.uv/bin/uv:
	@echo "uv is not on PATH; installing it into .uv/"
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.7'

env: $(filter .uv/bin/uv,$(UV)) ## the locked environment in .venv
	@$(UV) sync --frozen --extra demo

demo: env ## a real Kafka, drawn pets, a trained model, in three minutes
	@$(RUN) penstock demo

test: env ## every test, against a real broker
	@$(RUN) pytest -n 2 --dist worksteal

test-plain: env ## the quick tier: no TensorFlow, no broker
	@$(RUN) pytest -m "not tf and not kafka"

test-faults: env ## whatever breaks: 20 kills, disks, brokers, processes; under 25 minutes, ends with a table
	@$(RUN) pytest --faults -v -n 2 --maxschedchunk 1 tests/faults

test-slow: env ## whole lives that take minutes each: bitwise equal weights, native crashes, truncation, answers, logins, adapted models
	@$(RUN) pytest --faults -v -n 2 --maxschedchunk 1 $(SLOW_LINES)

test-ops: env ## image and compose stack in a real engine, with a real Kafka and a real Prometheus; needs root and Debian's packages
	@$(RUN) pytest --ops -v tests/ops

mutants: env ## deliberate mistakes, and the tests that notice them
	@$(RUN) python -m tests.faults.mutants

soak: env ## 200 kills, an hour
	@$(RUN) pytest --faults --rounds 200 -v -k kill_rounds tests/faults

lint: env ## ruff and mypy
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) mypy

format: env ## let ruff rewrite
	@$(RUN) ruff check --fix . ; $(RUN) ruff format .

bench: env ## penstock's input chain and service against what people would use instead; WISHES="--only feed --seconds 4"
	@$(RUN) python -m tests.benchmarks $(WISHES)

bench-peers: ## the same against torch, Ray Data and DALI, which take 10 GB in .venv-peers
	@UV_PROJECT_ENVIRONMENT=.venv-peers $(UV) run --frozen --group peers --extra demo python -m tests.benchmarks --only peers $(WISHES)

bench-gate: env ## fails when an image costs more CPU time than the recorded ratio to the plain chain allows
	@$(RUN) python -m tests.benchmarks.gate $(WISHES)

bench-decode: env ## decoded images against the tutorials' chain, for every profile of records
	@$(RUN) python -m tests.benchmarks.decode

bench-decoders: env ## the decoders one by one, beside those that weren't chosen
	@$(RUN) --with imagecodecs --with pyspng --with zlib-ng --with deflate python -m tests.benchmarks.decoders

bench-recovery: env ## from SIGKILL to the next trained record, against a fresh process
	@$(RUN) python -m tests.benchmarks.recovery

bench-stall: env ## how long training stands still for a checkpoint
	@$(RUN) python -m tests.benchmarks.stall

bench-api: env ## what probes and callers wait for while it trains, and what they cost it
	@$(RUN) python -m tests.benchmarks.api

bench-freshness: env ## how old a record is when the weights have learnt it
	@$(RUN) python -m tests.benchmarks.freshness

clean: ## remove what was built here
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache dist
