# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types smoke bench clean

demo: .venv/.cli
	$(BIN)/statekeep demo

test: .venv/.test
	$(BIN)/pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/.test
	$(BIN)/mypy

smoke: .venv/.test
	$(BIN)/python tests/smoke/wheel.py

bench: .venv-bench/.done
	PYTHONPATH=tests .venv-bench/bin/python -m benchmarks $(BENCH)

clean:
	rm -rf .venv .venv-bench build dist

.venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "statekeep needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.cli: pyproject.toml | .venv
	$(BIN)/pip install --quiet --editable '.[cli]'
	touch $@

.venv/.test: pyproject.toml | .venv
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@ .venv/.cli

# A venv of its own, because nobody else needs what statekeep is compared with.
.venv-bench/.done: pyproject.toml tests/benchmarks/requirements.txt
	test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --editable '.[cli,obstore,s3]' --requirement tests/benchmarks/requirements.txt
	touch $@
