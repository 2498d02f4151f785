PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow bench bench-slow lint docs clean

train: .venv/installed
	$(BIN)/python train.py
	@echo "next, in this terminal: source $(BIN)/activate"

test: .venv/installed  # two workers of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/installed
	$(BIN)/python -m pytest -m "slow"

bench: .venv/installed  # docs/bench.md, in ten minutes on two cores
	$(BIN)/python -m benchmarks.bench

bench-slow: .venv/installed  # what takes hours: time to quality, two processes; ARGS="--root <Fashion-MNIST>"
	$(BIN)/python -m benchmarks.bench_slow $(ARGS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs  # the site in site/; python -m http.server -d site serves it
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	$(BIN)/python docs/check.py site

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

# Installed once; again only when pyproject.toml changes.
.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip  # an old resolver backtracks for minutes
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

clean:
	rm -rf .venv
