# Everything a newcomer types. The first call of any target makes .venv; later calls do nothing twice.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= study
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup study test slow browser lab site bench clean
.DEFAULT_GOAL := help

help:            ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(READY)  ## make the environment in .venv (2 to 10 minutes, once)

$(READY): settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV): once, 2 to 10 minutes; torch is the large part."
	@echo "  1/2 making the virtual environment"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  2/2 installing multimodal_pop and what builds and tests its notebooks"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(READY)
	@echo "Ready."

study: $(READY)  ## the main job on the embedded phantom; OUT=folder
	$(BIN)/multimodal-pop study --out $(OUT)

test: $(READY)   ## run the notebooks as tests, slow cells left out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist load nbs

slow: $(READY)   ## the same with the cells marked slow (hours)
	$(BIN)/python -m pytest -q --flags slow nbs

browser: $(READY) ## drive the annotator in JupyterLab with a headless Chromium, where there is one
	$(BIN)/python nbs/_tools/browser.py || [ $$? -eq 77 ]

lab: $(READY)    ## explore the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir nbs

site: $(READY)   ## render the site into _docs; QUARTO=1 renders with Quarto
	$(BIN)/python nbs/_tools/site.py $(if $(QUARTO),--quarto)

bench: $(READY)  ## images per second of the training loop, and how it grows
	$(BIN)/multimodal-pop bench --grow

clean:           ## remove what was built (the environment stays)
	rm -rf _docs _proc _proc_smalldocs build dist *.egg-info
