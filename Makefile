# Everything one does here starts with make; `make` alone lists it.
#
# Setting up is part of every target: it installs what is missing, and nothing when all is there.
# Python packages live in .venv, built with $(PYTHON).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
DURATION ?=
TLS ?=
DIR ?= tls
SECONDS ?= 60
GO_HUBBLE ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

# For the compiler of the datapath, the lab's networks, and .venv itself.
PACKAGES := ca-certificates curl iproute2 iputils-ping linux-libc-dev python3-bpfcc python3-venv
# The shells whose completion tests ask.
TEST_PACKAGES := fish zsh
# For the traffic that the bench of the datapath makes.
BENCH_PACKAGES := gcc libc6-dev
# BCC comes with Debian, not from PyPI. A .pth file that names the whole of dist-packages would let
# Debian's other modules in as well, so it names a folder with this one link.
BCC := /usr/lib/python3/dist-packages/bcc

C_FILES = $(shell git ls-files -co --exclude-standard '*.c' '*.h')

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all
all: check test ## Check, then test

.PHONY: setup
setup: packages $(STAMP) ## Install what is missing (PYTHON=python3.12 picks the interpreter)

.PHONY: packages
packages:
	@.ci/install-packages $(PACKAGES)

# The interpreter is looked at before anything is made, so that a wrong one leaves nothing behind.
$(BIN)/python: | packages
	@command -v "$(PYTHON)" > /dev/null || { echo "setup: PYTHON=$(PYTHON) not found" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "setup: PYTHON=$(PYTHON) is $$("$(PYTHON)" -V), need 3.11 or newer: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@echo "setup: making $(VENV) with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv --clear $(VENV)

$(STAMP): pyproject.toml $(BIN)/python
	@echo "setup: installing Python packages"
	@$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1' # for --group
	@$(BIN)/python -m pip install -qq --editable . --group dev
	@mkdir -p $(VENV)/bcc
	@ln -sfn $(BCC) $(VENV)/bcc/bcc
	@echo "$(CURDIR)/$(VENV)/bcc" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bcc.pth"
	@touch $@

# With job control the demo alone is in the foreground of a terminal: Ctrl-C ends it, not make.
.PHONY: demo
demo: setup ## Show live flows of a small cluster on this machine, as root (DURATION= seconds, else until Ctrl-C; TLS=1)
	@if [ -t 0 ]; then set -m; fi; $(BIN)/hubble-lab demo $(if $(DURATION),--duration $(DURATION)) $(if $(filter-out 0,$(TLS)),--tls) $(ARGS); exit $$?

.PHONY: certs
certs: setup ## Make certificates for mutual TLS in DIR=tls; again: new ones by the same authority
	@$(BIN)/hubble-lab certs $(DIR) $(ARGS)

.PHONY: test
test: setup ## Run the tests (ARGS='-k ring' goes to pytest, GO_HUBBLE= is a Go hubble to compare with)
	@.ci/install-packages $(TEST_PACKAGES)
	@$(BIN)/pytest $(ARGS)

# The fuzzer is only for this: it is no part of what everyone installs.
.PHONY: fuzz
fuzz: setup ## Feed random bytes to all that reads bytes (SECONDS= for each target, ARGS=targets)
	@$(BIN)/python -c 'import atheris' 2> /dev/null || $(BIN)/python -m pip install -qq --group fuzz
	@$(BIN)/python -m tests.fuzz.main --seconds $(SECONDS) $(ARGS)

.PHONY: bench
bench: setup ## Measure the budgets (GO_HUBBLE= path of a Go hubble to compare with)
	@.ci/install-packages $(BENCH_PACKAGES)
	@$(BIN)/leavitt-bench $(if $(GO_HUBBLE),--go-hubble $(GO_HUBBLE)) $(ARGS)

.PHONY: check
check: setup ## Lint, types, imports, generated code, C format; goes on after a failure and tells all
	@$(MAKE) --no-print-directory --keep-going check-lint check-types check-imports check-generated check-c

.PHONY: check-lint check-types check-imports check-generated check-c
check-lint:
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
check-types:
	@$(BIN)/mypy
check-imports:
	@$(BIN)/lint-imports --no-logo
check-generated:
	@$(BIN)/python -m api.proto.generate --check
check-c:
	@$(if $(C_FILES),$(BIN)/clang-format --dry-run -Werror $(C_FILES),:)

.PHONY: format
format: setup ## Format Python and C, apply the safe fixes of the linter
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@$(if $(C_FILES),$(BIN)/clang-format -i $(C_FILES),:)

.PHONY: generate
generate: setup ## Write the Python modules of the .proto files anew
	@$(BIN)/python -m api.proto.generate

.PHONY: clean
clean: ## Remove .venv and all caches
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
