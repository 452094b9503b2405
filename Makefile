# The commands of this project; `make help` lists them.

PYTHON ?= python3
LAB_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Without bytecode every kernel, and every command below, starts several times slower.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest --reruns=2 -rR
NONE_CHOSEN := 5
ROOT_USER := $(if $(filter 0,$(shell id -u)),--allow-root)
# An editable install takes Python code from here, but copies these when it is made.
COPIED := pyproject.toml hatch_build.py $(shell find kernelspecs jupyter-config -type f)
EXTENSION := $(shell find labextension -path labextension/node_modules -prune -o -path labextension/lib -prune -o -type f -print)
EXTENSION_TO := .venv/share/jupyter/labextensions/py-code-mode-jupyter
EXTRAS := examples,test,check,bench
# uv takes a third of pip's time; pip knows of mirrors that uv was not told of.
install = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[$(1)]' \
	|| $(BIN)/python -m pip install --quiet --editable '.[$(1)]'
# Node.js of PATH or, where that is missing or too old, the one that PyPI has.
NPM = PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix labextension --silent

.PHONY: help lab test check bench clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##/make \1	/p' Makefile | expand -t 14

lab: .venv/lab  ## make .venv and start JupyterLab with the examples
	$(BIN)/jupyter lab $(ROOT_USER) --ServerApp.root_dir=examples \
		--LabApp.default_url=/lab/tree/quickstart.ipynb $(LAB_ARGS)

# Images take a processor as long as the checks take the other. Where none can be made, the tests say so.
test: .venv/all .venv/extension  ## run make check and every test; PCM_REQUIRE=all: nothing may be skipped for want of a piece
	tests/provide.sh
	$(if $(TEST_ARGS),,$(BIN)/python tests/images.py &) $(MAKE) --no-print-directory check && $(NPM) test; \
	checked=$$?; wait; exit $$checked
	failed=; \
	$(PYTEST) --numprocesses=3 --dist=worksteal -m "not alone" $(TEST_ARGS) || test $$? = $(NONE_CHOSEN) || failed=1; \
	$(PYTEST) -m alone $(TEST_ARGS) || test $$? = $(NONE_CHOSEN) || failed=1; \
	test -z "$$failed"

check: .venv/all .venv/extension  ## run ruff and mypy; eslint, prettier and tsc
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(NPM) run check

bench: .venv/all  ## measure, beside stock Jupyter on the same machine
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

clean:  ## remove .venv and everything that was made
	rm -rf .venv build dist labextension/lib labextension/node_modules py_code_mode_jupyter/labextension
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian parts venv from Python; root fetches it.
.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv || { test "$$(id -u)" = 0 && apt-get update -qq \
		&& apt-get install -qq -y python3-venv && $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet uv
	touch $@

.venv/lab: .venv/made $(COPIED)
	$(call install,examples)
	touch $@

.venv/all: .venv/made $(COPIED)
	$(call install,$(EXTRAS))
	touch .venv/lab $@

.venv/node: .venv/all
	$(BIN)/python -c 'import sys, hatch_build; sys.exit(hatch_build.find_node() is None)' \
		|| $(BIN)/python -m pip install --quiet "$$($(BIN)/python -c 'import hatch_build; print(hatch_build.NODE)')"
	touch $@

# An install copies the extension as it was built then; here is the newest.
.venv/extension: .venv/node $(EXTENSION)
	$(BIN)/python hatch_build.py
	rm -rf $(EXTENSION_TO) && mkdir -p $(EXTENSION_TO)
	cp -R labextension/install.json py_code_mode_jupyter/labextension/. $(EXTENSION_TO)
	touch $@
