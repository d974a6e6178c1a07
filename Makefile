# What a person types. Nothing is needed but Python 3.11 or newer with pip; ARGS goes on to the tool.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test matrix chaos soak bench check browser linters image screenshots lock clean venv python

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 16

demo: venv ## Chat with the personas in your browser; without a terminal, a script chats with all eight
	@if [ -t 1 ]; then how=--chat; else how=--once; fi; exec $(BIN)/imagegen demo $$how $(ARGS)

test: venv ## Run all tests, on a PostgreSQL and a Valkey of their own
	@exec env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

matrix: venv ## Install the wheel beside other bots' packages and run a bot; ARGS=--quick or ARGS="--only aiogram"
	@exec $(BIN)/python -m tests.matrix $(ARGS)

chaos: venv ## Break everything for five minutes and see that nothing is lost; ARGS="--seconds 120 --seed 7"
	@exec $(BIN)/python -m tests.benchmarks.chaos $(ARGS)

soak: venv ## Make 20,000 pictures with faults now and then and see that nothing grows; ARGS="--pictures 1000"
	@exec $(BIN)/python -m tests.benchmarks.soak $(ARGS)

bench: venv ## Measure how fast it is, beside Celery and plain arq; ARGS="--quick" or "--only saturation"
	@exec $(BIN)/python -m tests.benchmarks $(ARGS)

check: venv ## Lint, format, types, imports, names
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/check_names.py

browser: venv ## Install what drives a browser, for the test of the chat page; Chromium itself is the system's
	@PIP_USER=0 $(PYTHON) -m pip --python $(BIN)/python --no-input --disable-pip-version-check install --quiet \
		--require-hashes --no-deps --only-binary :all: -r requirements-browser.lock

linters: python ## Install what checks Dockerfile, compose.yaml and the files of docs/deploy, aside from .venv
	@test -d .venv-tools || $(PYTHON) -m venv --without-pip .venv-tools
	@PIP_USER=0 $(PYTHON) -m pip --python .venv-tools/bin/python --no-input --disable-pip-version-check install --quiet \
		--require-hashes --no-deps --only-binary :all: -r requirements-deploy.lock

image: venv ## Take the steps of the Dockerfile without docker, and see that the worker runs and is healthy
	@exec $(BIN)/python -m tests.container

screenshots: browser ## Make the pictures of the docs anew, with the chat page in Chromium
	@exec $(BIN)/python -m tests.browser.screenshots $(ARGS)

lock: python ## Write the locks from pyproject.toml; ARGS=--upgrade for newest versions
	@$(PYTHON) .ci/lock.py $(ARGS)

clean: ## Remove what make and the tools have made
	@test -f .ci/dotvenv.py || { echo "make: run this in the project's directory" >&2; exit 2; }
	@rm -rf .venv .venv-tools dist demo-output bench-results \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find chatflow_hook imagegen tests alembic .ci -name __pycache__ -type d -prune -exec rm -rf {} +

venv: python
	@$(PYTHON) .ci/dotvenv.py

# Said by the shell: an old Python could not even read a script that says it.
python:
	@test -f .ci/dotvenv.py || { echo "make: run this in the project's directory" >&2; exit 2; }
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "make: there is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=python3.12 …" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is `$(PYTHON) --version 2>&1`: Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …" >&2; exit 2; }
