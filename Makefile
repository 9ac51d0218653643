# make demo   the main job: a recording becomes codes and comes back, through the built-in model
# make test   everything that is tested, the released size included
# make wheel  a wheel and a source distribution in dist/, checked, and the wheel tried where no compiler is
# All set up .venv by themselves.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
KERNELS := $(wildcard src/xcodec/kernels/*.cpp src/xcodec/kernels/*.h)

# glibc returns big blocks to the system at once by default, and the released size would spend its time on page faults.
export MALLOC_MMAP_THRESHOLD_ = 4294967296
export MALLOC_TRIM_THRESHOLD_ = 17179869184

# Tests run in two processes, each file in one of them, which share the cores: see tests/conftest.py.
IN_TWO := -n 2 --dist loadfile
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test test-fast lint types format wheel clean

demo: $(READY)
	$(BIN)/python scripts/demo.py

test: $(READY)
	$(BIN)/python -m pytest $(IN_TWO)

test-fast: $(READY)
	$(BIN)/python -m pytest $(IN_TWO) -m "not slow"

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(KERNELS)

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(KERNELS)

wheel: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group release
	$(BIN)/python scripts/wheel.py

$(READY): pyproject.toml setup.py constraints.txt $(KERNELS) src/xcodec/kernels/signatures.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv build dist demo-output .pytest_cache .ruff_cache .mypy_cache
