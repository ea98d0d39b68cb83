# make            install, draw typical and creative pets, render the book, say where to look
# make test       lint, who may import whom, types, unit tests, every notebook, the book's checks
# make lab        open the notebooks          make book        render the book
# make notebooks  run the notebooks and store their outputs (NOTEBOOKS=notebooks/00-*.ipynb for one)
# make results    measure everything anew, for hours (see benchmarks/everything.py)
# make url        write the repository's address where it is needed (see CONTRIBUTING.md)
# make colab      run chapters in a fresh environment with what Colab has (tests/colab.txt), with Python 3.13
# make lowest     create and tests in a fresh environment with the lowest versions (tests/lowest.txt), with Python 3.11
# make clean      remove everything that was made
# Other Python: make PYTHON=python3.12, COLAB_PYTHON=..., LOWEST_PYTHON=... Other environment: make VENV=path.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
NOTEBOOKS ?= notebooks/*.ipynb
COLAB_PYTHON ?= python3.13
LOWEST_PYTHON ?= python3.11
# The rooms that depend most on other packages.
LOWEST_TESTS := $(addprefix tests/,concept density metrics models study unclip vision)
BIN := $(VENV)/bin
READY := $(VENV)/.creativelib-ready

# Tests and stored outputs run with one thread each: JOBS of them share the machine, and sums come out in the same order everywhere.
test notebooks lowest: export OMP_NUM_THREADS := 1
test notebooks lowest: export TOKENIZERS_PARALLELISM := false
# What is bundled must do: nothing may be fetched.
test notebooks lowest: export HF_HUB_OFFLINE := 1
# Progress is for those who wait, not for stored outputs.
test notebooks lowest: export TQDM_DISABLE := 1
test: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: all test lab book notebooks results url colab lowest clean

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
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False --coalesce-streams \
	    --ExecutePreprocessor.timeout=300 $(NOTEBOOKS)

results: $(READY)
	$(BIN)/python -m benchmarks.everything

url: $(READY)
	$(BIN)/python book/repository.py

# The first cell of the chapters installs the last commit; nothing of Colab's may change.
colab:
	$(COLAB_PYTHON) -m venv --clear .venv-colab
	.venv-colab/bin/python -m pip install --disable-pip-version-check -q -r tests/colab.txt
	.venv-colab/bin/python tests/checks/colab.py notebooks/00-*.ipynb notebooks/04-*.ipynb notebooks/08-*.ipynb

lowest:
	$(LOWEST_PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --disable-pip-version-check -q -r tests/lowest.txt
	.venv-lowest/bin/python -m pip install --disable-pip-version-check -q --no-deps -e .
	.venv-lowest/bin/creativelib create "a photo of a pet" --out out/lowest --seed 0 --count 4
	.venv-lowest/bin/python -m pytest -q -n $(JOBS) --dist loadfile $(LOWEST_TESTS)

clean:
	rm -rf .venv .venv-colab .venv-lowest _build out .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
