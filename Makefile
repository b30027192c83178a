.DEFAULT_GOAL := help
.PHONY: help install env demo up test check format backfill-dry-run backfill-exec backfill-test requirements dist clean

# The interpreter that makes .venv; 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# Of the three backfill targets: WORKSPACE="a b" RPS=100 BATCH=500 MAX_KEYS=5000 PROGRESS_KEY=k, and ARGS for the rest.
# The server is REDIS_URL.
backfill_args = $(foreach w,$(WORKSPACE),--workspace '$(w)') $(if $(RPS),--rps '$(RPS)') $(if $(BATCH),--batch '$(BATCH)') \
	$(if $(MAX_KEYS),--max-keys '$(MAX_KEYS)') $(if $(PROGRESS_KEY),--progress-key '$(PROGRESS_KEY)') $(ARGS)

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Python 3.11 to 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv || { \
	  rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment (on Debian: apt-get install python3-venv)." >&2; exit 1; }

$(INSTALLED): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements.txt into .venv; this takes a minute or two."
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

install: $(INSTALLED) ## .venv with everything in it

env: .env ## .env with fresh secrets for docker-compose.yaml; one that is there is kept

# The passwords stand in a URL and in JSON, so they are hexadecimal.
.env:
	@umask 077 && $(PYTHON) -c 'import base64, secrets as s; [print(f"{name}={value}") for name, value in { \
	  "POSTGRES_PASSWORD": s.token_hex(24), "RELAY_REDIS_PASSWORD": s.token_hex(24), \
	  "AIRFLOW_ADMIN_PASSWORD": s.token_hex(12), "AIRFLOW_SECRET_KEY": s.token_hex(32), \
	  "AIRFLOW_JWT_SECRET": s.token_hex(64), \
	  "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(s.token_bytes(32)).decode()}.items()]' > $@.new && mv $@.new $@

demo: $(INSTALLED) ## the whole migration on made-up data: Airflow, live traffic, approval, verification
	$(BIN)/python -m demo $(ARGS)

up: $(INSTALLED) ## the demo without an end: Airflow's UI on a local port, until Ctrl-C
	$(BIN)/python -m demo up $(ARGS)

test: $(INSTALLED) ## the whole suite; ARGS="tests/unit -x" narrows it
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED) ## the gate: lint, format, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard relay_jobs dags plugins scripts demo benchmarks)
	$(BIN)/lint-imports

format: $(INSTALLED) ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

backfill-dry-run: $(INSTALLED) ## count what a backfill would do; writes nothing
	$(BIN)/python -m scripts.backfill_redis_keys --dry-run $(backfill_args)

backfill-exec: $(INSTALLED) ## one backfill pass; an unfinished one resumes
	$(BIN)/python -m scripts.backfill_redis_keys --execute $(backfill_args)

backfill-test: $(INSTALLED) ## the tests of the backfill
	$(BIN)/python -m pytest -k backfill $(ARGS)

requirements: $(BIN)/python ## pin anew what pyproject.toml asks for; ARGS=--upgrade moves the pins
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --output-file requirements.txt $(ARGS)

dist: $(INSTALLED) ## wheel and sdist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean: ## remove .venv, caches and builds
	rm -rf .venv build dist .demo* .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
