# Everything a person or a machine does with this project, by name. `make` alone lists it.
#
# A fresh machine needs Python 3.11 to 3.13, git and make. The environment is .venv, installed
# once from the pinned, hashed requirements; nothing else on the machine is changed.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-is-installed
TESTING := $(VENV)/.tests-are-installed
UV := .cache/uv/bin/uv
CONSOLE := plugins/console-ui
CONSOLE_TOOLS := $(CONSOLE)/node_modules/.package-lock.json
# The Node that the tests' requirements pin, so that a build gives the same bytes everywhere.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $(CONSOLE)
QUIET := --disable-pip-version-check --quiet

# The first of these that is new enough for us and not too new for our pins.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; \
	done)

# Test files that run side by side. Each starts servers of its own, on ports that are free.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo up test programs bench bench-scale lint console lock clean

# What tests run that no Python package brings, as program:Debian package.
PROGRAMS := git-lfs:git-lfs docker-registry:docker-registry java:default-jre-headless chromium:chromium

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-7s %s\n", $$1, $$2 }'

setup: $(RUNTIME) ## Install the environment in .venv (1.7 GB, once)

demo: $(RUNTIME) ## Data to a registered, verified model, through Airflow, in about a minute
	@exec $(BIN)/python -m veritasvault.airflow_local demo

up: $(RUNTIME) ## Airflow with its UI on loopback, until Ctrl-C
	@exec $(BIN)/python -m veritasvault.airflow_local up

test: programs lint ## Install what tests need, check style, types and layers, and run the tests
	@# Hundreds of processes import them, also where the environment forbids Python to keep what it compiles.
	$(BIN)/python -m compileall -q domain plugins dags tests
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--max-worker-restart 0 $(ARGS)

# Root installs what is missing where there is apt-get; everybody else is told what to install.
programs:
	@missing=$$(for each in $(PROGRAMS); do command -v $${each%%:*} >/dev/null || echo $${each##*:}; done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends $$missing; \
		else \
			echo "the tests also need" $$missing": install these packages" >&2; exit 1; \
		fi; \
	fi

bench: $(TESTING) ## Measure the ratios that this project promises
	$(BIN)/python -m benchmarks

bench-scale: $(TESTING) ## Time and memory of preparing larger and larger panels, by engine and workers
	$(BIN)/python -m benchmarks.scale --picture

lint: $(TESTING) $(CONSOLE_TOOLS) ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) run lint

console: $(CONSOLE_TOOLS) ## Build the console's pages anew, which are committed as built
	$(NPM) run types
	$(NPM) run build

# Its wheel on PyPI is for GPUs and brings gigabytes of their libraries, which no test here uses; pip takes another
# build of the same version where its configuration names a place that has one. So it is in no file of hashes.
TORCH := torch==2.13.0
FRAMEWORKS := boosting pytorch tensorflow ray tuning
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(if $(UPGRADE),--upgrade)

lock: $(UV) ## Resolve the pinned requirements (UPGRADE=1: to the newest versions)
	$(COMPILE) pyproject.toml --extra pipelines -o requirements.txt
	@# pymerkle, an oracle of tests, asks for an old cachetools; what we call of it does not use it.
	@# PyTorch is installed by itself, see below.
	printf '%s\n' 'cachetools==7.3.2' "torch; sys_platform == 'none'" > .cache/overrides.txt
	$(COMPILE) pyproject.toml --extra pipelines $(foreach each,$(FRAMEWORKS),--extra $(each)) --extra test -c requirements.txt \
		--override .cache/overrides.txt --no-emit-package torch -o requirements-test.txt
	echo uv | $(COMPILE) --no-annotate - -o requirements-uv.txt

clean: ## Remove caches and build products; keeps .venv and .veritas, where the registry is
	rm -rf .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	rm -rf $(CONSOLE)/node_modules
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# uv takes a quarter of pip's time, but does not read pip's configuration: where a machine finds
# packages by that alone, pip does the same from the same hashes.
define install
@echo "Installing $(1) into $(VENV): $(2), once ..."
$(UV) pip install --python $(BIN)/python --no-deps --require-hashes --compile-bytecode -r $(1) \
	|| $(BIN)/python -m pip $(QUIET:--quiet=) install --no-deps --require-hashes -r $(1)
$(BIN)/python -m pip $(QUIET) install --no-deps --no-build-isolation --editable .
endef

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python $(UV)
	$(call install,requirements.txt,1.7 GB and some minutes)
	@touch $@

# The pins of the tests hold all of the runtime's.
$(TESTING): requirements-test.txt pyproject.toml | $(BIN)/python $(UV)
	$(call install,requirements-test.txt,4 GB and some minutes)
	$(BIN)/python -m pip $(QUIET) install $(TORCH)
	@touch $(RUNTIME) $@

# Node packages by their digests; running and installing the project needs none of them.
$(CONSOLE_TOOLS): $(CONSOLE)/package-lock.json | $(TESTING)
	$(NPM) ci --ignore-scripts
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found: install one, or name it with make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make environments: install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(UV): requirements-uv.txt | $(BIN)/python
	@$(BIN)/python -m venv .cache/uv
	@.cache/uv/bin/python -m pip $(QUIET) install --require-hashes -r requirements-uv.txt
	@touch $@
