# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# uv takes seconds where pip takes minutes. It does not read pip's configuration; where that is
# needed to reach the packages, pip installs them.
install = $(1)/bin/pip install --quiet uv \
	&& $(1)/bin/uv pip install --quiet --python $(1)/bin/python $(2) \
	|| $(1)/bin/pip install --quiet $(2)

.PHONY: demo test test-adapters test-browser screenshots test-rest prove simulate quick lint types docs smoke bench clean

# What needs the frameworks has a venv of its own, and what needs Chromium a target.
TESTS := --ignore tests/adapters --ignore tests/browser

demo: $(VENV)/.cli
	$(BIN)/statekeep demo

# All but what takes long: a few minutes.
test: $(VENV)/.test
	$(BIN)/pytest -m "not rest" $(TESTS)

# The adapters, with the frameworks that they are for.
test-adapters: .venv-adapters/.done
	.venv-adapters/bin/pytest -p no:asyncio -m "not rest" tests/adapters
	.venv-adapters/bin/mypy $$(find plugins/statekeep_adapters tests/adapters docs/examples/adapters -name '*.py')

# The page in a real Chromium, which must be installed; and npm, which fetches axe-core. How soon
# it opens with all that is promised: make test-browser BROWSER="-m scaled --scale 1 -n 0 -s"
BROWSER ?= -m "not rest"
test-browser: $(VENV)/.browser
	$(BIN)/pytest $(BROWSER) --timeout 600 tests/browser
	$(BIN)/mypy $$(find tests/browser -name '*.py')

# The pictures in docs/screenshots.
screenshots: $(VENV)/.browser
	$(BIN)/pytest --numprocesses 0 --screenshots tests/browser/test_screenshots.py

# What takes long, and five times as many rounds of whatever counts rounds. Needs pgbouncer.
test-rest: $(VENV)/.test .venv-adapters/.done
	$(BIN)/pytest -m "rest or scaled" --scale 0.05 --timeout 1200 $(TESTS)
	.venv-adapters/bin/pytest -p no:asyncio -m "rest or scaled" --scale 0.05 --timeout 1200 tests/adapters

# What is promised to hold thousands of times, that often: some hours.
prove: $(VENV)/.test
	$(BIN)/pytest -m scaled --scale 1 --timeout 0 $(TESTS)

# As many simulated histories as wished: make simulate HISTORIES=100000
HISTORIES ?= 20000
simulate: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m simulation $(HISTORIES)

# What does without servers; to see whether another Python runs it, too:
# make quick PYTHON=python3.13 VENV=.venv-3.13
quick: $(VENV)/.test
	$(BIN)/pytest -m "not rest" -k "not moto and not seaweedfs" tests/unit tests/contract tests/plugins

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy

# The site, in ./site; `.venv/bin/mkdocs serve` shows it as it is written.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.test
	$(BIN)/mkdocs build

# What commands print with --json, from core/statekeep/views/results.py into docs/schemas.
schemas: $(VENV)/.test
	$(BIN)/python tests/schemas.py

smoke: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python tests/smoke/wheel.py

# Beside the original, too: make bench BENCH="--original PATH"
bench: .venv-bench/.done
	PYTHONPATH=tests .venv-bench/bin/python -m benchmarks $(BENCH)

# Claude's wheel carries a program of 300 MB; its source distribution does not.
.venv-adapters/.done: pyproject.toml
	test -d .venv-adapters || $(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/pip install --quiet uv
	.venv-adapters/bin/uv pip install --quiet --python .venv-adapters/bin/python \
		--no-binary claude-agent-sdk --editable '.[adapters]' \
		|| .venv-adapters/bin/pip install --quiet --no-binary claude-agent-sdk --editable '.[adapters]'
	touch $@

clean:
	rm -rf .venv .venv-* build dist site

$(VENV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "statekeep needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $@ || { rm -rf $@; exit 1; }

# In a variable, because a comma ends what is handed to a function.
SHOWN := --editable '.[cli,web]'
$(VENV)/.cli: pyproject.toml | $(VENV)
	$(call install,$(VENV),$(SHOWN))
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)
	$(call install,$(VENV),--editable '.[test]')
	touch $@ $(VENV)/.cli

$(VENV)/.browser: pyproject.toml $(VENV)/.test
	$(call install,$(VENV),--editable '.[browser]')
	touch $@

# A venv of its own, because nobody else needs what statekeep is compared with.
COMPARED := --editable '.[cli,obstore,postgres,redis,s3]' --requirement tests/benchmarks/requirements.txt
.venv-bench/.done: pyproject.toml tests/benchmarks/requirements.txt
	test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	$(call install,.venv-bench,$(COMPARED))
	touch $@
