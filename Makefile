# make demo: a demo lake, queried, loaded and drawn.   make test: everything that must be green.
PYTHON ?= python3
BIN := .venv/bin
LONG := --timeout 1800 -o faulthandler_timeout=0

# imported again and again by the tests: what Python compiled once is kept, whatever the environment says
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow benchmark clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==2.13.0" -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev,notebooks]" -c constraints.txt
	touch $@

demo: .venv/.installed
	$(BIN)/spora-db demo demo --overwrite

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow $(LONG)

benchmark: .venv/.installed
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable -s -m "" $(LONG)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache demo dist
