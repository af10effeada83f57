# Each target sets up what it needs in .venv; a second run finds it there.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest
# A file's tests stay together, so that what they share is made once. Files go in the order of their names, in
# which the long ones are not the last; xdist's own order puts files of few tests last, however long they take.
SPREAD := --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
# Of what takes minutes a worker that is done takes over half of another's rest, also of a file: none is idle.
STEAL := --numprocesses $(JOBS) --dist worksteal

# Of benchmarks, which are scripts: that what they call is still there and takes what they give.
LAX := --config-file= --ignore-missing-imports --check-untyped-defs

.PHONY: help demo test test-slow mutate check bench screenshots docs samples constraints clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/.profile  ## profile a small GPT, eager and compiled; leaves demo.report.html
	$(BIN)/traceanalyze profile --force -o demo.json.gz examples/gpt.py
	$(BIN)/traceanalyze profile --force -o demo-compiled.json.gz examples/gpt.py --compile

test: .venv/.dev  ## the tests: two to three minutes on two cores, JOBS=N for more
	$(PYTEST) $(SPREAD) -m "not slow and not browser and not alone"

test-slow: .venv/.dev  ## what needs minutes: browsers, wheels, frameworks, fuzzing; what measures runs last, alone
	$(PYTEST) $(STEAL) -m "(slow or browser) and not alone"
	$(PYTEST) -m alone
	TRACEANALYZER_MUTATIONS=0.1 $(PYTEST) $(STEAL) tests/robustness

mutate: .venv/.dev  ## every mutation of traces and reports: a quarter of an hour
	TRACEANALYZER_MUTATIONS=1 $(PYTEST) $(STEAL) tests/robustness

check: .venv/.dev  ## ruff, mypy --strict, layers and lengths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(LAX) benchmarks/*.py
	$(BIN)/mypy $(LAX) benchmarks/ground_truth/*.py
	$(PYTEST) tests/project/test_layers.py tests/project/test_style.py

bench: .venv/.dev  ## speed and memory, as ratios within one run
	$(BIN)/python benchmarks/run.py

screenshots: .venv/.dev  ## the page in Chromium: light, dark, narrow, scripts off, printed; and the README's picture
	$(BIN)/python tests/browser/screenshots.py screenshots

docs: .venv/.dev  ## write docs/cost-model.md and docs/rules.md from the docstrings
	$(BIN)/python docs/build.py

samples: .venv/.dev  ## record sample_traces/ again on this machine
	$(BIN)/python sample_traces/record.py

constraints: .venv/.dev  ## write down what is installed
	(head -n 1 constraints.txt; $(PIP) freeze --all --exclude-editable | sed 's/+cpu//' \
	  | grep -vE '^(setuptools|torch-traceanalyzer)') > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove what the targets made
	rm -rf .venv dist screenshots *.report.html demo*.json.gz

.venv/.pip: constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip
	touch $@

.venv/.core: .venv/.pip $(SOURCES)
	$(INSTALL) --build-constraint constraints.txt --editable .
	touch $@

.venv/.profile: .venv/.core $(SOURCES)
	$(INSTALL) --build-constraint constraints.txt --editable '.[profile]'
	touch $@

.venv/.dev: .venv/.core $(SOURCES)
	$(INSTALL) --build-constraint constraints.txt --group dev --editable .
	$(INSTALL) --no-deps traceinsight  # which asks for jupyterlab and imports what `dev` names
	touch $@
