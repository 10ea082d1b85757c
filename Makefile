# One command for each thing a developer does. `make test T=expression` runs the tests whose names match.
# Needs Python 3.11 to 3.14 and make; everything else goes into .venv.

T ?=
RUN := .venv/bin/python -m
PURE := schemas/*,processors/*,ingest/decoders/*,ingest/topics.py

# The first Python that is new enough and can make environments; PYTHON=/path/to/python overrides.
SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
            $$p -c '$(SUITS)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help install demo test lint live bench docs clean up down stack-up stack-down soak

help:
	@echo "make install   .venv with the scopeline command"
	@echo "make demo      an example plant with real telemetry (ARGS=\"--speed 10\" for options)"
	@echo "make test      all tests and the coverage of the pure rooms (T=expression for some)"
	@echo "make lint      ruff and mypy"
	@echo "make live      only the tests against a real broker, server or browser"
	@echo "make bench     the benchmarks, one table (ARGS=\"--readings 100000\" for options)"
	@echo "make docs      writes docs/reference from models and commands"
	@echo "make soak      the fault tests in their long form (MINUTES=30)"
	@echo "make stack-up  Mosquitto, Kafka and InfluxDB as processes of this machine; make stack-down stops them"
	@echo "make up        the cluster profile in containers (PLANT=path/to/plant); make down stops it"

install: .venv/installed

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 with venv and pip found. Install one" \
	  "(Debian, Ubuntu: apt install python3 python3-venv), or name it: make install PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(SUITS)' || { echo "$(PYTHON) is not Python 3.11 to 3.14 with venv and pip" >&2; exit 1; }
	@echo "Installing into .venv with $$($(PYTHON) --version) (a minute or two, once)"
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@
	@echo "Installed: .venv/bin/scopeline"

demo: .venv/installed
	@.venv/bin/scopeline demo $(ARGS)

test: .venv/installed
ifeq ($(strip $(T)),)
	@$(RUN) pytest -n 3 --dist worksteal --cov --cov-report=term:skip-covered
	@$(RUN) coverage report --include='$(PURE)' --fail-under=95 --format=total >.coverage-pure \
	  || { echo "The pure rooms need 95 % coverage, have $$(cat .coverage-pure) %:"; \
	       $(RUN) coverage report --include='$(PURE)' --skip-covered --show-missing; exit 1; }
	@echo "Coverage of the pure rooms: $$(cat .coverage-pure) % (95 % needed)"
else
	@$(RUN) pytest -k "$(T)"
endif

lint: .venv/installed
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

live: .venv/installed
	@$(RUN) pytest -m live -rs

MINUTES ?= 30
soak: .venv/installed
	@SCOPELINE_SOAK_MINUTES=$(MINUTES) $(RUN) pytest -m soak -s --timeout=0 tests/live

# Data, logs and the token lie in .stack; ports: ARGS="--mqtt-port 11883 --kafka-port 19092 --influxdb-port 18086".
stack-up:
	@deploy/native/install.sh
	@python3 deploy/native/stack.py up $(ARGS)

stack-down:
	@python3 deploy/native/stack.py down

bench: .venv/installed
	@.venv/bin/scopeline bench $(ARGS)

docs: .venv/installed
	@$(RUN) scopeline.reference
	@$(RUN) scopeline.plant.schemas docs/schemas

up:
	@PYTHON="$(PYTHON)" deploy/container/up.sh up "$(PLANT)"

down:
	@deploy/container/up.sh down

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage-pure dist build
