# make demo: a demo lake, queried, loaded and drawn.   make test: everything that must be green.
# make docs: the documentation as a site in .site/html.
# make test-lowest: the heart of the tests with the lowest versions that pyproject.toml declares.
PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0
LOWEST := .venv-lowest/bin
HEART := views queries guard catalog compiled_sql images images_tiff images_zarr masks tiling statistics standardize \
	loader datasets_golden lowest reader_faults
LONG := --timeout 1800 -o faulthandler_timeout=0
# a file's tests share what is made for them; files run in the order of tests/conftest.py, long ones first
SPREAD := -n auto --dist loadfile --no-loadscope-reorder

# imported again and again by the tests: what Python compiled once is kept, whatever the environment says
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test test-lowest test-slow benchmark clean

.venv/.installed: pyproject.toml constraints.txt tests/readers.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)" -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev,notebooks]" -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r tests/readers.txt
	touch $@

demo: .venv/.installed
	$(BIN)/spora-db demo demo --overwrite

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SPREAD)

# torch is the one build that is pinned: an older one brings gigabytes of CUDA
.venv-lowest/.installed: pyproject.toml tests/lowest.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(LOWEST)/python tests/lowest.py > .venv-lowest/lowest.txt
	$(LOWEST)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(LOWEST)/pip install --quiet --disable-pip-version-check "$(TORCH)" -r .venv-lowest/lowest.txt
	$(LOWEST)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

test-lowest: .venv-lowest/.installed
	$(LOWEST)/python -m pytest $(SPREAD) $(HEART:%=tests/test_%.py)

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow $(SPREAD) $(LONG)

docs: .venv/.installed
	$(BIN)/python notebooks/site/build.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .site/mkdocs.yml

# every figure of the page "Performance", on lakes that it makes and keeps in .benchmarks; adds to history.jsonl, prints
# what is asked and whether it holds, and makes its table anew
benchmark: .venv/.installed
	SPORA_BENCHMARK=1 $(BIN)/python -m pytest tests/benchmarks --benchmark-enable -s -m "" $(LONG); \
	  measured=$$?; cd tests && ../$(BIN)/python -m benchmarks.asked && exit $$measured

clean:
	rm -rf .venv .venv-lowest .mypy_cache .ruff_cache .pytest_cache .benchmarks .site demo dist
