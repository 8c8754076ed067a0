# Needs python3 (3.11 or newer, with venv) and make; everything else is installed into .venv from requirements.lock.
#   PYTHON=python3.12 make setup     another interpreter
#   make test ARGS="-k backoff -x"   arguments for pytest, devstack or benchmarks
#   make test JOBS=0 ARGS=--pdb      tests in one process

PYTHON ?= python3
BIN := .venv/bin
# Test processes side by side, each with servers of its own. Much of a run is waiting, so three pay on two cores.
JOBS ?= 3
STAMP := .venv/.installed
# Output lines of a running command must not wait in a buffer.
export PYTHONUNBUFFERED := 1
# Personal pip settings that would install past .venv.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT
# Without a home there is no place for a download cache, and this folder is not one.
ifeq ($(strip $(HOME)),)
export UV_NO_CACHE := 1
export PIP_NO_CACHE_DIR := 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check coverage fmt lock docs faults bench soak clean

help: ## what you are reading
	@echo "make run    starts the whole product on this machine; Ctrl-C stops it, the next run goes on where it was"
	@echo
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1 | \2/p' Makefile | while IFS='|' read -r name text; do printf '%-12s%s\n' "$$name" "$$text"; done

setup: $(STAMP) ## build .venv from requirements.lock; does nothing when it is up to date

run: setup ## the whole product on embedded parts, in the foreground, with a demo
	@exec $(BIN)/python -m devstack $(ARGS)

demo: setup ## one message through every provider of the sandbox, while `make run` runs
	@exec $(BIN)/python -m devstack.demo.showcase $(ARGS)

test: setup ## all tests but the long ones, on the embedded parts
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: setup ## format, lint, types, imports, architecture and unit tests
	@echo "==> format"; $(BIN)/ruff format --check --quiet --output-format concise .
	@echo "==> lint"; $(BIN)/ruff check --quiet .
	@echo "==> types"; $(BIN)/mypy
	@echo "==> imports"; $(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	@echo "==> architecture and unit tests"; $(BIN)/python -m pytest --quiet -n $(JOBS) --dist loadfile tests/architecture tests/unit

coverage: setup ## branch coverage of the unit tests as a table; fails below the floor in pyproject.toml
	@$(BIN)/python -m pytest --quiet -n $(JOBS) --dist loadfile --cov --cov-report=term tests/unit $(ARGS)

fmt: setup ## put the code into format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## resolve pyproject.toml anew into requirements.lock (ARGS=--upgrade for the newest versions)
	@echo "==> resolving"
	@$(BIN)/uv pip compile --system-certs --quiet --universal --generate-hashes --no-header --extra embedded --group dev \
		--output-file requirements.lock $(ARGS) pyproject.toml
	@$(MAKE) --no-print-directory setup ARGS=

docs: setup ## write docs/providers.md anew from the adapters' records
	@$(BIN)/python -m starter providers --markdown > docs/providers.md

faults: setup ## all fault tests, the long ones too; writes docs/faults.md (ARGS="--only restarts" for one of its tables)
	@exec $(BIN)/python -m tests.faults.table $(ARGS)

bench: setup ## the benchmarks (ARGS="webhooks" for one, ARGS=--list for their names)
	@exec $(BIN)/python -m benchmarks $(ARGS)

soak: setup ## half an hour of mixed load with faults; writes docs/soak.md (ARGS="--minutes 5" for less)
	@exec $(BIN)/python -m benchmarks.soak --write-docs $(ARGS)

clean: ## remove .venv and the tools' caches; the data in .hermod stays
	@rm -rf .venv .cache .hypothesis dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp holds the folder it was made in: entry scripts carry absolute paths, so a moved .venv is built anew.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Hermod needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if ! { [ "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c 'import pip' 2>/dev/null; }; then \
		echo "==> creating .venv with $$($(PYTHON) --version)"; rm -f $@; $(PYTHON) -m venv --clear .venv; fi
	@echo "==> installing the locked packages (the first time some 300 MB to fetch, and a minute or two)"
	@sed -n '/^uv==/,/^    # via/p' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --system-certs --quiet --python $(BIN)/python --require-hashes requirements.lock || { \
		echo "==> uv could not (see above); trying with pip, which takes a minute longer" >&2; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable .
	@echo "$(CURDIR)" > $@
	@echo "==> ready: make run"
