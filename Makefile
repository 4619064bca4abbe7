# The course in a few commands: `make help` lists them. Everything is installed into .venv.

PYTHON ?= python3
VENV ?= .venv
LAB ?=
TESTS ?= tests notebooks solutions
ARGS ?=
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)
SETS ?= $(notdir $(wildcard solutions/*))

py := $(VENV)/bin/python
usable := $(shell $(py) -c 'import sys, pip; print(sys.version_info >= (3, 10) or "")' 2>/dev/null)
as_root := $(if $(filter 0,$(shell id -u)),--allow-root)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help lab test lint notebooks exercises site bench clean check-python

help:  ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "make %-10s %s\n", $$1, $$2 }'

lab: $(VENV)/.lab  ## install the course and open JupyterLab at the first notebook (LAB="--no-browser --port 8890")
	$(py) -m jupyterlab --ServerApp.root_dir=. $(as_root) $(LAB) notebooks/00_start_here.ipynb

# What a thread does while it waits: by default it spins for a millisecond, which makes all many times
# slower where something else runs as well, such as the browser that JupyterLab is open in. Sleeping
# at once costs more than a third on a quiet one. Spinning for some microseconds costs little in either case.
lab test: export OMP_WAIT_POLICY ?= PASSIVE
lab: export GOMP_SPINCOUNT ?= 1000
# Two processes share the test files, and a file stays whole. ARGS="-n 0" takes one, to use a debugger.
test: lint  ## install what the tests need and run them all (TESTS=tests/data ARGS="-k strokes")
	$(py) -m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(ARGS) $(TESTS)

lint: $(VENV)/.test  ## look at the style of code and notebooks
	$(py) -m ruff check
	$(py) -m ruff format --check

notebooks: $(VENV)/.test  ## run the notebooks and store their outputs (NOTEBOOKS=notebooks/03*.ipynb)
	$(py) tests/notebooks/store.py $(NOTEBOOKS)

exercises: $(VENV)/.test  ## make exercises/ from solutions/ (SETS=03_kl)
	@for set in $(SETS); do $(py) -m nbgrader generate_assignment --force --no-db $$set || exit 1; done

site: $(VENV)/.site  ## build the site into build/site/html from the stored outputs (ARGS="--lab ADDRESS")
	$(py) docs/site/build.py $(ARGS)

bench: $(VENV)/.bench  ## time training on MNIST, the first notebook, the checks and the widgets (takes minutes, needs a quiet machine)
	$(py) tests/benchmarks/speed.py $(ARGS)
	$(py) tests/benchmarks/start.py
	$(py) tests/benchmarks/checks.py
	$(py) tests/benchmarks/widgets.py

clean:  ## remove .venv and what the tools leave behind
	rm -rf $(VENV) build course_lib.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an installation that was interrupted is taken up again. torch
# and torchvision have to match, which is why one call of pip resolves and installs everything.
$(VENV)/.lab: pyproject.toml $(VENV)/.python
	$(py) -m pip install --editable '.[lab]'
	$(py) -m course_lib doctor
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.python
	$(py) -m pip install --editable '.[lab,test,grade,hub,cluster,site]'
	$(py) -m course_lib doctor
	@touch $(VENV)/.lab $(VENV)/.site $@

$(VENV)/.site: pyproject.toml $(VENV)/.python
	$(py) -m pip install --editable '.[site]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(py) -m pip install --editable '.[bench]'
	@touch $@

# Made anew where its Python no longer runs: half made, or the system's Python was replaced.
$(VENV)/.python: $(if $(usable),,check-python)
	$(if $(usable),,$(PYTHON) -m venv --clear $(VENV))
	@touch $@

check-python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "There is no '$(PYTHON)' here: install Python 3.10 or newer, or name yours with 'make lab PYTHON=python3.12'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "The course needs Python 3.10 or newer, and '$(PYTHON)' is older ($$($(PYTHON) -V 2>&1)): name a newer one with 'make lab PYTHON=python3.12'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv) and run make again." >&2; exit 1; }
