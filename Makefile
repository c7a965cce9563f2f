# Two environments, made on demand: .venv has outboard as it stands in src, compiled where this machine can;
# .venv-plain has it installed as plain Python. Files in them (.made, .tools, …) say how far each one is.
PYTHON ?= python3
export PYTHON PIP_DISABLE_PIP_VERSION_CHECK = 1
BIN := .venv/bin
PIP := -m pip install -q

PXD := $(shell find src -name '*.pxd')
COMPILED := pyproject.toml setup.py $(PXD) $(wildcard $(PXD:.pxd=.py))
SOURCES := $(COMPILED) $(shell find src -name '*.py')

# requirements EXTRA...: what these extras of pyproject.toml ask for, without the package itself.
requirements = $(BIN)/python -c 'import sys, tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print("\n".join(r for e in sys.argv[1:] for r in extras[e]))'

.PHONY: help run test check bench fuzz soak docs clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: .venv/.outboard ## a pseries guest in Python draws on our GPU; no QEMU needed
	@$(BIN)/outboard machine run --seconds 2 $(ARGS)

test: ## all tests against the compiled form, and those that can tell against the plain form
	@sh tools/compiler.sh
	@$(MAKE) -s --no-print-directory .venv/.compiled .venv/.tools .venv-plain/.plain
	@peers=OUTBOARD_REQUIRE_PEERS=1; \
	$(PYTHON) tests/peers/fetch.py --install || { peers=; echo "outboard: real peers are missing, their tests are skipped"; }; \
	env $$peers $(PYTHON) tools/both_forms.py $(ARGS)

check: .venv/.tools ## style, types, rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict src
	$(BIN)/python -m pytest -q tests/test_rooms.py

bench: .venv/.outboard .venv/.tools ## measure; ARGS=--json for a machine to read
	@$(BIN)/python -m bench $(ARGS)$(if $(filter-out --json,$(ARGS)),,; failed=$$?; for part in display tap xive machine aio blk moves; do $(BIN)/python -m bench.$$part $(ARGS) || failed=$$?; done; exit $$failed)

fuzz: .venv/.outboard .venv/.tools ## the fuzz tests, many cases
	OUTBOARD_FUZZ_CASES=200000 $(BIN)/python -m pytest tests/fuzz -q $(ARGS)

soak: .venv/.outboard .venv/.tools ## a million random operations on the model and on real QEMUs, and all wrong models
	$(BIN)/python -m tests.qemu.diff_soak $(ARGS)

docs: .venv/.outboard .venv/.docs ## the manual, in docs/_build
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build

clean: ## back to a fresh clone
	rm -rf .venv .venv-plain build dist docs/_build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	find src -name '*.so' -delete
	find bench src tests docs tools -name __pycache__ -prune -exec rm -rf {} +

%/.made:
	@echo "== making $*"
	@sh tools/venv.sh $*
	@touch $@

# Compiled where possible.
.venv/.outboard: .venv/.made $(COMPILED)
	@echo "== building outboard"
	@rm -f .venv/.compiled
	@$(BIN)/python $(PIP) -e .
	@if find src -name '*.so' | grep -q .; then touch .venv/.compiled; \
	else echo "outboard: plain Python, slower: nothing could be compiled here (to change that: sh tools/compiler.sh && make clean run)"; fi
	@touch $@

# Compiled, or it fails.
.venv/.compiled: .venv/.made $(COMPILED)
	@echo "== building outboard, compiled"
	@REQUIRE_CYTHON=1 $(BIN)/python $(PIP) -e .
	@touch .venv/.outboard $@

.venv/.tools: .venv/.made pyproject.toml
	@echo "== installing the test and development tools"
	@$(requirements) qemu display test dev >.venv/tools.txt
	@$(BIN)/python $(PIP) -r .venv/tools.txt
	@touch $@

.venv/.docs: .venv/.made pyproject.toml
	@echo "== installing the documentation tools"
	@$(requirements) docs >.venv/docs.txt
	@$(BIN)/python $(PIP) -r .venv/docs.txt
	@touch $@

.venv-plain/.plain: .venv-plain/.made $(SOURCES)
	@echo "== building outboard, plain"
	@rm -rf build
	@SKIP_CYTHON=1 .venv-plain/bin/python $(PIP) '.[test]'
	@rm -rf build
	@touch $@
