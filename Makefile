# `make demo` and `make test` need nothing but python3 (>= 3.11) and a package index that pip can reach.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all check docs constraints browser clean

demo: $(STAMP)
	$(BIN)/verse-morph demo -o demo_output

test: check
	$(BIN)/python -m pytest -n 2 -q -m "not slow"
	$(BIN)/python -m pytest -q --nbmake notebooks

test-all: check
	$(BIN)/python -m pytest -n 2 -q
	$(BIN)/python -m pytest -q --nbmake notebooks

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python docs/build_data_dictionary.py

# For the tests of viewers; without it they are skipped. Elsewhere than on Debian set VERSE_MORPH_CHROMIUM to a Chromium.
browser:
	test -x /usr/bin/chromium || (apt-get update && apt-get install -y --no-install-recommends chromium)

# Run in a fresh environment, so that nothing else is listed.
constraints: $(STAMP)
	(grep '^#' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//') > constraints.new
	mv constraints.new constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo_output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
