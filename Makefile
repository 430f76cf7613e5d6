# The verbs of this repository. The first of them sets up what is missing: Debian's packages
# (tools/debian-packages.txt) and .venv with the package installed in place.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo /usr/bin/python3 || echo python3)
BIN := .venv/bin
# Folders that hold Python to check, and C: those that exist.
PY := $(wildcard bridge plugins examples benchmarks tests tools setup.py docs/conf.py)
C = $(wildcard $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc'))
PYX = $(wildcard $(shell git ls-files --cached --others --exclude-standard '*.pyx' '*.pxd'))
# Tests that enter Python from the core run once for each dispatcher; those of the core alone, which
# these folders have, and of reading configurations run once.
CORE_FOLDERS := $(addprefix tests/e2e/,bench envoy h2 listener protocol upgrade)
CORE_TESTS := $(shell grep -LwE 'HttpFilter|NetworkFilter|make_proxy|Proxy|Command' \
	$(wildcard $(CORE_FOLDERS:=/test_*.py)))
BRIDGE_TESTS := $(filter-out tests/unit/bench tests/unit/config tests/unit/__pycache__,$(wildcard tests/unit/*)) \
	$(filter-out $(CORE_TESTS),$(wildcard tests/e2e/*/test_*.py))
PYTEST := $(BIN)/pytest
FUZZ_S ?= 60
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.NOTPARALLEL:
.PHONY: all build bridge-tests demo test test-full bench typecheck lint style format fuzz soak docs clean

all: build

.venv/.stamp: pyproject.toml setup.py bridge/build_core.py tools/debian-packages.txt
	tools/debian-packages
	$(PYTHON) -m venv .venv
	MOEBRIDGE_BUILD_LATER=1 $(BIN)/pip install -q -e '.[test]'
	touch $@

# pip would fetch the build tools anew each time; here only what changed is built, in place.
build: .venv/.stamp
	$(BIN)/python setup.py -q build_ext --inplace

demo: build
	$(BIN)/python examples/demo.py

bridge-tests:
	@echo $(BRIDGE_TESTS)

# The two dispatchers run the same tests: tests/house checks that neither collects fewer. The tests of
# the C core run beside the first of them, once all that both need is built.
test: build
	-$(MAKE) -s -k -C native -j2 asan
	@$(PYTEST) -q tests/native >build/tests-native.log 2>&1 & native=$$!; \
	MOEBRIDGE_DISPATCH=cffi $(PYTEST) -q -m 'not long and not soak' $(BRIDGE_TESTS); cffi=$$?; \
	wait $$native; native=$$?; cat build/tests-native.log; exit $$((cffi || native))
	MOEBRIDGE_DISPATCH=cython $(PYTEST) -m 'not long and not soak' --ignore=tests/native

test-full: build
	MOEBRIDGE_DISPATCH=cffi $(PYTEST) -q -m 'not soak' $(BRIDGE_TESTS)
	MOEBRIDGE_DISPATCH=cython $(PYTEST) -m 'not soak'

bench: build
	$(BIN)/python -m benchmarks.micro
	$(BIN)/moebridge bench

typecheck: build
	$(BIN)/mypy $(filter-out tools,$(PY))
	$(BIN)/pyright $(filter-out tools,$(PY))

lint: style typecheck

style: .venv/.stamp
	$(BIN)/ruff check $(PY)
	$(BIN)/ruff format --check $(PY)
	@$(if $(C),$(BIN)/clang-format --dry-run -Werror $(C))
	$(if $(PYX),PATH=$(CURDIR)/$(BIN):$$PATH cython-lint $(PYX))
	$(BIN)/codespell

format: .venv/.stamp
	$(BIN)/ruff check --fix $(PY) ; $(BIN)/ruff format $(PY)
	$(if $(C),$(BIN)/clang-format -i $(C))

fuzz: build
	$(MAKE) -C native fuzz FUZZ_S=$(FUZZ_S)

soak: build
	$(PYTEST) -m soak --timeout=0

docs: build
	MOEBRIDGE_BUILD_LATER=1 $(BIN)/pip install -q --no-build-isolation -e '.[docs]'
	$(BIN)/sphinx-build -q -W -b html docs build/docs

clean:
	rm -rf build *.egg-info .venv/.stamp .pytest_cache .mypy_cache .ruff_cache
	find bridge plugins -name '*.so' -delete
