# Everything from a fresh clone: `make up` serves, `make test` tests. Needs Python 3.11 to 3.13, make and a network.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' pyproject.toml -

.PHONY: up test docker-test chaos clients coherence templates attack demand prefixes engine soak upgrade fuzz words model failover s3 load memory footprints monitoring check page page-checks browser screenshots vendor bench lock sbom audit

# What is started again and again is not compiled each time.
test failover chaos upgrade attack memory: export PYTHONDONTWRITEBYTECODE :=
# Threads of numpy spin while they wait for one whose core another test has.
test: export OPENBLAS_NUM_THREADS := 1

up: .venv/run            ## serve on http://127.0.0.1:8000; options and models in ARGS, e.g. make up ARGS="echo --port 0"
	$(BIN)/inferq up $(ARGS)

test: .venv/dev          ## all tests
	$(BIN)/inferq pull
	$(BIN)/inferq pull minilm
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

docker-test: .venv/dev   ## docker-compose.yml on a Docker engine; as root on Debian 12 it brings one along
	tests/docker/engine.sh $(BIN)/python -m pytest tests/docker/test_compose.py

chaos: .venv/dev         ## everything is hurt at random under load; options in ARGS, e.g. make chaos ARGS="--seeds 5", ARGS="--seed 7 --requests 200"
	$(BIN)/inferq pull
	$(BIN)/python -m tests.chaos $(ARGS)

coherence: .venv/dev     ## the built-in model's defaults give coherent English; e.g. make coherence ARGS="--seeds 200", ARGS=--show
	$(BIN)/inferq pull
	$(BIN)/python -m tests.coherence $(ARGS)

templates: .venv/dev     ## tools in the forms of 24 families' templates, on the built-in model; e.g. make templates ARGS=--short, ARGS="--random --seeds 200"
	$(BIN)/inferq pull
	$(BIN)/python -m tests.templates $(ARGS)

attack: .venv/dev        ## hostile clients do their worst, and a victim measures; options in ARGS, e.g. make attack ARGS="--short", ARGS="--list", ARGS="choices --seconds 20"
	$(BIN)/inferq pull
	$(BIN)/python -m tests.attack $(ARGS)

demand: .venv/dev        ## models in a room for two, while workers, supervisors and machines fail; e.g. make demand ARGS="--requests 300 --seed 7"
	$(BIN)/python -m tests.demand_proof $(ARGS)

prefixes: .venv/dev      ## a thousand saves and restores at once, in which no token differs; e.g. make prefixes ARGS="--mischief --seed 7"
	$(BIN)/python -m tests.prefix_proof $(ARGS)

engine: .venv/dev        ## compiles an engine for this processor, ten minutes or more, and tries it as one of the user's own
	$(BIN)/inferq pull
	LLAMA_SERVER=$$($(BIN)/inferq engine build --without-grammars) && export LLAMA_SERVER && \
		$(BIN)/python -m pytest tests/test_own_engine.py tests/test_engine_contract.py $(ARGS)

soak: .venv/dev          ## an hour of mixed load, one client in twenty hostile, and nothing grows; e.g. make soak ARGS="--minutes 10"
	$(BIN)/python -m tests.soak $(ARGS)

upgrade: .venv/dev       ## two neighbouring releases side by side under load; options in ARGS, e.g. make upgrade ARGS="--seed 7 --mixed 60"
	$(BIN)/python -m tests.upgrade $(ARGS)

clients: .venv/dev       ## unmodified clients, each in an environment of its own; e.g. make clients ARGS="--short", ARGS="llm aider", ARGS="--list"
	$(BIN)/inferq pull
	$(BIN)/inferq pull minilm
	$(BIN)/python -m tests.clients $(ARGS)

fuzz: .venv/dev          ## spoiled model files are loaded or refused in words; options in ARGS, e.g. make fuzz ARGS="--seed 7"
	$(BIN)/python -m tests.fuzz $(ARGS)

fuzz-%: .venv/dev        ## fuzz-readers (all that reads files), fuzz-requests, fuzz-http; e.g. make fuzz-http ARGS="--seconds 600 --seed 7"
	$(BIN)/python -m tests.fuzz.$* $(ARGS)

words: .venv/dev         ## what the docs say of parameters, for /openapi.json
	$(BIN)/python -m tests.documented

model: .venv/dev         ## the scripts against a model of them; options in ARGS, e.g. make model ARGS="--steps 5000 --seed 7"
	$(BIN)/python -m tests.model $(ARGS)

failover: .venv/dev      ## failovers of Redis under load, and one during a partition
	$(BIN)/python -m pytest --numprocesses 4 tests/failover

s3: .venv/dev            ## what is stored, in a real server of S3
	$(BIN)/python -m pytest tests/s3 --timeout 300

load: .venv/dev          ## two thousand streams at once
	$(BIN)/python -m pytest tests/load/test_many_streams.py --timeout 300

memory: .venv/dev        ## what a hundred thousand small jobs, and whatever was killed, leave behind; what models take of the memory
	$(BIN)/python -m pytest --numprocesses 2 tests/load/test_memory.py tests/load/test_leaks.py tests/load/test_footprints.py --timeout 600

footprints: .venv/dev    ## what models are said to take of the memory, and what they take, in control groups; as root; FOOTPRINTS=1000 tries so many
	$(BIN)/python -m tests.load.footprints --draws $(or $(FOOTPRINTS),100) $(ARGS)

monitoring: .venv/dev    ## deploy/prometheus and deploy/grafana, by a real Prometheus, which Debian's package has, and Grafana's types
	tests/monitoring/prometheus.sh $(BIN)/python -m pytest tests/monitoring

check: .venv/dev page    ## format, lint, types, layers, and what the docs name
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_glossary.py tests/test_docs.py tests/test_mutants.py tests/test_bounds.py tests/test_monitoring.py

browser: .venv/dev       ## the page, in a real browser; as root on Debian it brings one along
	tests/browser/chromium.sh
	$(BIN)/inferq pull
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/browser $(ARGS)

screenshots: .venv/dev   ## pictures of the page for the README and the docs
	tests/browser/chromium.sh
	$(BIN)/inferq pull
	$(BIN)/python -m tests.browser.screenshots

vendor: node_modules/.package-lock.json   ## the libraries of the page, from npm
	npm run --silent vendor

page:                    ## types and lint of what the browser runs, where Node.js is there
	@command -v npm >/dev/null || { echo 'page: not checked, for there is no npm'; exit 0; }; $(MAKE) --no-print-directory page-checks

page-checks: node_modules/.package-lock.json
	npm run --silent types
	npm run --silent lint

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent
	@touch $@

bench: .venv/dev         ## the short form of every bench, with a table at the end; e.g. make bench ARGS="model weights --json"
	$(BIN)/inferq pull
	$(BIN)/inferq pull minilm
	$(BIN)/python -m bench --short $(ARGS)

lock: .venv/dev          ## newest versions that pyproject.toml allows, with hashes
	echo 'hatchling>=1.27' | $(COMPILE) --upgrade --output-file requirements.lock
	echo 'hatchling>=1.27' | $(COMPILE) --upgrade --output-file requirements-dev.lock --group dev --constraint requirements.lock

SBOM ?= build/inferq.cdx.json
sbom: .venv/dev          ## what inferq is made of, as CycloneDX, the same each time; elsewhere by SBOM=file
	mkdir -p $(dir $(SBOM))
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file $(SBOM) requirements.lock
	$(BIN)/python deploy/page_libraries.py $(SBOM)

audit: .venv/dev         ## both locks against the advisories on PyPI; asks pypi.org itself, so no part of CI
	$(BIN)/uv tool run --from 'pip-audit>=2.10,<3' pip-audit --strict --require-hashes --disable-pip \
		--requirement requirements.lock --requirement requirements-dev.lock

# What runs inferq: locked, hashed, and the project itself in place.
.venv/run: pyproject.toml requirements.lock
	@test -n '$(PYTHON)' || { echo 'inferq needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) deploy/install.py .venv requirements.lock --new --project
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@$(PYTHON) deploy/install.py .venv requirements-dev.lock
	@touch $@
