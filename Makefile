# What there is to run: make run, make test. The rest are their parts.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
# Install with uv because it is fast; with pip where uv can't (an index that only pip is configured for).
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r $(1) \
	|| { echo "uv could not install $(1), trying pip"; $(BIN)/python -m pip install --quiet --require-hashes -r $(1); }

MODEL_EXAMPLES ?= 500
FUZZ_INPUTS ?= 100000
CHAOS_SECONDS ?= 5

SOAK_MINUTES ?= 10

CHROMIUM_PATH = $(BIN)/python -m tests.browser.chromium

.PHONY: help run setup setup-dev browser test lint types imports audit test-sqlite test-postgresql model fuzz chaos scale soak screenshots format lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## Start everything with demo data; Ctrl-C stops it. PORT=8001 chooses another port
	@exec $(BIN)/python manage.py up --demo

setup: .venv/.installed ## Prepare .venv with what is needed to run

setup-dev: .venv/.installed-dev ## Prepare .venv with what is needed to test, too

.venv/.uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12 run"; exit 1; }
	@echo "Preparing .venv"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.installed: requirements.txt .venv/.uv
	@$(call INSTALL,requirements.txt)
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@$(call INSTALL,requirements-dev.txt)
	@touch $@

# As root of a Debian from its packages, else Playwright's own build. The last line says what to do if neither came.
browser: setup-dev ## Find a Chromium for the tests, or install one
	@$(CHROMIUM_PATH) >/dev/null 2>&1 || { \
		echo "Installing Chromium for the tests in a browser"; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq -y --no-install-recommends chromium fonts-liberation >/dev/null; \
		else \
			$(BIN)/playwright install chromium; \
		fi || true; \
		$(CHROMIUM_PATH) >/dev/null; }

test: lint types imports audit test-sqlite test-postgresql ## Everything that CI checks

lint: setup-dev ## Style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev ## Static types, strict
	$(BIN)/mypy .

imports: setup-dev ## The floors of the architecture
	$(BIN)/lint-imports

audit: setup-dev ## Known advisories for what is locked. AUDIT=required fails where nobody can tell
	$(BIN)/python -m tests.audit

test-sqlite: setup-dev ## The tests on SQLite
	$(BIN)/python -m pytest --numprocesses=2 --database=sqlite

test-postgresql: setup-dev browser ## The tests on a real PostgreSQL, and those in a real browser
	$(BIN)/python -m pytest --numprocesses=2 --database=postgresql

model: setup-dev ## The services against an oracle, for long. MODEL_EXAMPLES=100 for less
	TEST_MODEL_EXAMPLES=$(MODEL_EXAMPLES) $(BIN)/python -m pytest tests/model -q -s --database=sqlite
	TEST_MODEL_EXAMPLES=$(MODEL_EXAMPLES) $(BIN)/python -m pytest tests/model -q -s --database=postgresql

fuzz: setup-dev ## Every reader with 100,000 inputs. FUZZ_INPUTS=1000 for less
	TEST_FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest tests/fuzz -q -s --database=sqlite
	TEST_FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest tests/fuzz -q -s --database=postgresql -k feed

chaos: setup-dev ## What the product survives, with real processes. CHAOS_SECONDS=20 for more load; as root for all
	$(BIN)/python -m tests.chaos --seconds $(CHAOS_SECONDS) $(if $(CHAOS_ONLY),--only $(CHAOS_ONLY))

scale: setup-dev ## A million campaigns and twenty million ledger rows, measured; an hour, and 20 GB of TMPDIR
	$(BIN)/python -m benchmarks.scale

soak: setup-dev ## Whether memory stays flat under load. SOAK_MINUTES=60 for longer
	$(BIN)/python -m benchmarks.soak --minutes $(SOAK_MINUTES)

screenshots: browser ## Picture the demo's pages anew, in docs/screenshots
	$(BIN)/python -m tests.browser.screenshots

format: setup-dev ## Lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: .venv/.uv ## Choose and lock the versions anew
	$(LOCK) --upgrade --output-file requirements.txt
	$(LOCK) --upgrade --extra otel --constraint requirements.txt --output-file requirements-otel.txt
	$(LOCK) --upgrade --extra otel --group dev --constraint requirements-otel.txt --output-file requirements-dev.txt

clean: ## Remove the environment and every cache (the data in var/ stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
