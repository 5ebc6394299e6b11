# Every target sets up what it needs: Python 3.11 or newer is enough. The second time the environment is reused.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEVICE_VENV := .venv-device
DEVICE_STAMP := $(DEVICE_VENV)/.ready

MAKEFLAGS += --jobs=3

.PHONY: env demo test test-device lint bench clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "specnet needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/specnet demo $(DEMO)

# Parts that run at the same time (see MAKEFLAGS), the longest first, because many tests wait for other processes. No
# pytest-xdist: tests that fork and send signals took its workers along.
.PHONY: test-core test-studies test-edge
ifdef TESTS
test: $(STAMP)
	$(BIN)/python -m pytest $(TESTS)
else
test: test-studies test-core test-edge test-device
endif

# whole trainings, searches and demonstrations
STUDIES := $(addprefix tests/specnet/,commands demo evaluation tuning)
# the device's own tests that want more than its own environment has, or say more where torch could be imported
DEVICE_WITH_MORE := $(addprefix tests/device/,spectrometers/test_replay.py test_imports.py test_textfile.py)

# several of them share the cores
test-core test-studies test-edge test-device: export OMP_NUM_THREADS ?= 1

test-core: $(STAMP)
	$(BIN)/python -m pytest tests/specnet $(addprefix --ignore ,$(STUDIES))

test-studies: $(STAMP)
	$(BIN)/python -m pytest $(STUDIES)

test-edge: $(STAMP)
	$(BIN)/python -m pytest $(filter-out tests/specnet tests/device tests/support tests/conftest.py,$(wildcard tests/*)) \
	  $(DEVICE_WITH_MORE)

# The device's own environment: what a device needs (the extra `updates` has `device` in it) and what runs tests.
test-device: $(DEVICE_STAMP)
	$(DEVICE_VENV)/bin/python -m pytest tests/device

$(DEVICE_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEVICE_VENV)
	$(DEVICE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[updates]' pytest pytest-timeout hypothesis
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/specnet bench segments tests/device/fixtures/tiny.specnet --json

clean:
	rm -rf $(VENV) $(DEVICE_VENV) demo-out bench-out .mypy_cache .ruff_cache .pytest_cache
