.DEFAULT_GOAL := help
.PHONY: help install env demo up machine live chaos load bench test model mutants check format backfill-dry-run backfill-exec backfill-test requirements dist clean

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

env: ## .env with fresh secrets for docker-compose.yaml; values that are there are kept
# The passwords stand in URLs and in JSON, so they are hexadecimal.
	@touch .env && chmod 600 .env && $(PYTHON) -c 'import base64, secrets as s; \
	  there = {line.partition("=")[0] for line in open(".env")}; [print(f"{name}={value}") for name, value in { \
	  "POSTGRES_PASSWORD": s.token_hex(24), "RELAY_REDIS_PASSWORD": s.token_hex(24), "BROKER_PASSWORD": s.token_hex(24), \
	  "AIRFLOW_ADMIN_PASSWORD": s.token_hex(12), "GRAFANA_ADMIN_PASSWORD": s.token_hex(12), \
	  "AIRFLOW_SECRET_KEY": s.token_hex(32), "AIRFLOW_JWT_SECRET": s.token_hex(64), \
	  "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(s.token_bytes(32)).decode()}.items() if name not in there]' >> .env

demo: $(INSTALLED) ## the whole migration on made-up data: Airflow, live traffic, approval, verification
	$(BIN)/python -m demo $(ARGS)

up: $(INSTALLED) ## the demo without an end: Airflow's UI on a local port, until Ctrl-C
	$(BIN)/python -m demo up $(ARGS)

machine: $(INSTALLED) ## random steps of everyone on two servers side by side: EXAMPLES=500 walks of them, as SEED says
	MACHINE_EXAMPLES='$(or $(EXAMPLES),500)' $(BIN)/python -m pytest tests/machine --timeout=0 \
	  --hypothesis-seed=$(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')) $(ARGS)

live: $(INSTALLED) ## a real Airflow, whose parts are killed under a backfill: BACKENDS="sqlite postgres", all cases of each
	LIVE_BACKENDS='$(or $(BACKENDS),sqlite postgres)' $(BIN)/python -m pytest tests/live $(ARGS)

chaos: $(INSTALLED) ## real processes, killed and cut off for SECONDS=60, as SEED says; ARGS="--server redis"
	$(BIN)/python -m chaos $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(SEED),--seed '$(SEED)') $(ARGS)

load: $(INSTALLED) ## the HTTP API beside a backfill and moving stages, every answer checked: SECONDS=60 RATE=500 SEED=1
	$(BIN)/python -m benchmarks.api $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(RATE),--rate '$(RATE)') \
	  $(if $(SEED),--seed '$(SEED)') $(ARGS)

bench: $(INSTALLED) ## every measurement, into docs/performance.md, minutes; ARGS="--quick store" for a short look
	$(BIN)/python -m benchmarks $(ARGS)

test: $(INSTALLED) ## the whole suite; ARGS="tests/unit -x" narrows it
	$(BIN)/python -m pytest $(ARGS)

model: $(INSTALLED) ## search the protocol's models; ARGS="-k NO_FENCING -s" shows how one breaks
	$(BIN)/python -m pytest tests/model $(ARGS)

mutants: $(INSTALLED) ## every small change of FILES="lua/update_job.lua store.py" that no test notices; some change nothing
	$(BIN)/python -m tests.safeguards mutants $(FILES) $(ARGS)

check: $(INSTALLED) ## the gate: lint, format, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard relay_jobs dags plugins scripts demo chaos benchmarks)
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
	rm -rf .venv build dist .chaos .demo* .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
