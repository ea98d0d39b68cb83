# make            install, draw typical and creative pets, render the book, say where to look
# make test       lint, who may import whom, types, unit tests, every notebook, the book's checks
# make lab        open the notebooks          make book        render the book
# make notebooks  run the notebooks and store their outputs (NOTEBOOKS=notebooks/00-*.ipynb for one)
# make results    measure everything anew, for hours (see benchmarks/everything.py)
# make url        write the repository's address where it is needed (see CONTRIBUTING.md)
# make clean      remove everything that was made
# Other Python: make PYTHON=python3.12. Other environment: make VENV=path.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
NOTEBOOKS ?= notebooks/*.ipynb
BIN := $(VENV)/bin
READY := $(VENV)/.creativelib-ready

# Tests and stored outputs run with one thread each: JOBS of them share the machine, and sums come out in the same order everywhere.
test notebooks: export OMP_NUM_THREADS := 1
test notebooks: export TOKENIZERS_PARALLELISM := false
# What is bundled must do: nothing may be fetched.
test notebooks: export HF_HUB_OFFLINE := 1
# Progress is for those who wait, not for stored outputs.
test notebooks: export TQDM_DISABLE := 1
test: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: all test lab book notebooks results url clean

all: $(READY)
	$(BIN)/creativelib create "a photo of a pet" --out out/pet --seed 0 --count 16 --model menagerie-128
	$(MAKE) --no-print-directory book
	@echo
	@echo "Typical and creative pets:  out/pet/gallery.png"
	@echo "The book:                   _build/html/index.html"
	@echo "The notebooks:              make lab"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[book,test]"
	touch $@

test: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check creativelib tests benchmarks book notebooks/conftest.py
	$(BIN)/lint-imports
	$(BIN)/python -m pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --nbval --nbval-current-env --nbval-sanitize-with tests/sanitize.cfg \
	    --nbval-cell-timeout 300 --durations 10 tests notebooks

lab: $(READY)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

book: $(READY)
	$(BIN)/python book/make_model_card.py
	$(BIN)/python book/make_measurements.py
	$(BIN)/python book/make_api.py
	$(BIN)/jupyter-book build . -W -n --keep-going

notebooks: $(READY)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False --coalesce-streams \
	    --ExecutePreprocessor.timeout=300 $(NOTEBOOKS)

results: $(READY)
	$(BIN)/python -m benchmarks.everything

url: $(READY)
	$(BIN)/python book/repository.py

clean:
	rm -rf .venv _build out .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
