# make demo   the main job: a recording becomes codes and comes back, through the built-in model
# make test   everything that is tested, the released size included
# make wheel  a wheel and a source distribution in dist/, checked, and the wheel tried where no compiler is
# make docs   the site in build/site, tutorials executed: open build/site/index.html
# make matrix the wheel on every Python that is here, with the oldest and the newest of what it stands on
# make gpu    ten minutes on a machine with a GPU, well spent: tests, tables, training; `make gpu MINUTES=2` for less
# All but gpu set up .venv by themselves.

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

.PHONY: demo test test-fast lint types format docs wheel matrix gpu clean

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
	$(BIN)/typos
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	! command -v actionlint >/dev/null || actionlint

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(KERNELS)

docs: $(READY)
	$(BIN)/python scripts/documentation.py
	$(BIN)/python -m mkdocs build --quiet

wheel: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group release
	$(BIN)/python scripts/wheel.py

matrix: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group matrix
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m nox --stop-on-first-error

MINUTES ?= 10
gpu:
	$(PYTHON) scripts/gpu.py --minutes $(MINUTES)

$(READY): pyproject.toml setup.py constraints.txt $(KERNELS) src/xcodec/kernels/signatures.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv .nox build dist demo-output gpu-output .pytest_cache .ruff_cache .mypy_cache
