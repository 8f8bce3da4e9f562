# make submit        from the competition's files to submissions/house-prices/default.csv
# make test          the tests
# make help          all targets

PYTHON ?= python3
COMPETITION ?= house-prices
VENV := .venv
BIN := $(VENV)/bin
HOUSEPRICE := $(BIN)/houseprice
ON := --competition $(COMPETITION)
WITH_SEEDS := $(if $(SEEDS),--seeds $(SEEDS))
SOURCED := $(if $(SOURCE),ingest,setup)

.DEFAULT_GOAL := help
.PHONY: help setup ingest features train evaluate ensemble submit leaderboard report ablate grid shift predict explain reproduce notebooks bench format check test test-long clean
.NOTPARALLEL:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: COMPETITION=$(COMPETITION) SOURCE=folder-with-the-csv-files ENTRY=name INPUT=rows.csv EXPERIMENT=name SEEDS=n"

setup: $(VENV)/installed  ## make .venv and install from constraints.txt

ifdef LOCKED
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,boost]'
	@touch $@
else  # of two at once one installs, and the other waits and finds it done
$(VENV)/installed: pyproject.toml constraints.txt
	@flock pyproject.toml $(MAKE) --no-print-directory LOCKED=1 $@
endif

ingest: setup  ## bring the raw files: SOURCE=, or raw/, the mirror, the built-in sample
	$(HOUSEPRICE) ingest $(ON) $(if $(SOURCE),--source '$(SOURCE)')

features: $(SOURCED)  ## build the feature matrices (EXPERIMENT=)
	$(HOUSEPRICE) features $(ON) $(EXPERIMENT)

train: $(SOURCED)  ## cross-validate the experiments (EXPERIMENT=, SEEDS=)
	$(HOUSEPRICE) train $(ON) $(EXPERIMENT) $(WITH_SEEDS)

evaluate: $(SOURCED)  ## show the experiments' scores (EXPERIMENT=, SEEDS=)
	$(HOUSEPRICE) evaluate $(ON) $(EXPERIMENT) $(WITH_SEEDS)

ensemble: $(SOURCED)  ## show the ensembles' weights and scores
	$(HOUSEPRICE) ensemble $(ON) $(WITH_SEEDS)

submit: $(SOURCED)  ## write the checked entry and its manifest (ENTRY=, SEEDS=)
	$(HOUSEPRICE) submit $(ON) $(ENTRY) $(WITH_SEEDS)

leaderboard: setup  ## show all runs, ensembles and entries
	$(HOUSEPRICE) leaderboard $(ON)

report: $(SOURCED)  ## write the entry's report, one HTML page (ENTRY=, SEEDS=)
	$(HOUSEPRICE) report $(ON) $(ENTRY) $(WITH_SEEDS)

ablate: $(SOURCED)  ## leave out the entry's parts one at a time: which earn their place (ENTRY=, SEEDS=)
	$(HOUSEPRICE) ablate $(ON) $(ENTRY) $(WITH_SEEDS)

grid: $(SOURCED)  ## all pairs of dropout rates, with and without weight decay, drawn (EXPERIMENT=, SEEDS=)
	$(HOUSEPRICE) grid $(ON) $(EXPERIMENT) $(WITH_SEEDS)

shift: $(SOURCED)  ## tell test rows from training rows, and say whether weights help (EXPERIMENT=, SEEDS=)
	$(HOUSEPRICE) shift $(ON) $(EXPERIMENT) $(WITH_SEEDS)

predict: $(SOURCED)  ## predict rows that came later by an entry (INPUT=, ENTRY=, SEEDS=)
	$(HOUSEPRICE) predict $(ON) $(ENTRY) $(if $(INPUT),--input '$(INPUT)') $(WITH_SEEDS)

explain: setup  ## say which stages would run, and why (ENTRY=)
	$(HOUSEPRICE) explain $(ON) $(ENTRY)

reproduce: setup  ## rebuild an entry and compare its bytes (ENTRY=)
	$(HOUSEPRICE) reproduce $(ON) $(ENTRY)

notebooks: $(SOURCED)  ## run the notebooks, and write them as pages to notebooks/html/
	$(BIN)/python notebooks/run.py

bench: $(SOURCED)  ## measure the engine's speed, as ratios
	$(HOUSEPRICE) bench $(ON)

format: setup  ## format the code
	$(BIN)/ruff format src tests notebooks
	$(BIN)/ruff check --fix src tests notebooks

check: setup  ## format, lint and types
	$(BIN)/ruff format --check src tests notebooks
	$(BIN)/ruff check src tests notebooks
	$(BIN)/mypy

test: setup  ## run the tests (within 5 minutes)
	$(BIN)/pytest -m 'not long' -n 2 --dist worksteal

test-long: setup  ## run the tests that take longer
	$(BIN)/pytest -m long -n 2 --dist worksteal

clean:  ## remove artifacts and caches; raw files, entries and the leaderboard stay
	rm -rf data/*/artifacts build .pytest_cache .mypy_cache .ruff_cache
