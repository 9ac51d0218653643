# make demo   the main job: a recording becomes codes and comes back, through the built-in model; needs no compiler
# make test   everything that is tested, the released size included
# make wheel  a wheel and a source distribution in dist/, checked, and the wheel tried where no compiler is
# make docs   the site in build/site, tutorials executed: open build/site/index.html
# make matrix the wheel on every Python that is here, with the oldest and the newest of what it stands on
# make sanitize  the kernels' tests with the kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer
# make tidy   clang-tidy over the kernels
# make bench-check  whether speed that was won is still there, against what was kept for this processor
# make gpu    ten minutes on a machine with a GPU, well spent: tests, tables, training; `make gpu MINUTES=2` for less
# All but gpu set up .venv by themselves.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
READY_FOR_DEMO := .venv/.ready-for-demo
READY_FOR_RELEASE := .venv/.ready-for-release
SOURCES := pyproject.toml setup.py constraints.txt
KERNELS := $(wildcard src/xcodec/kernels/*.cpp src/xcodec/kernels/*.h)

# glibc returns big blocks to the system at once by default, and the released size would spend its time on page faults.
export MALLOC_MMAP_THRESHOLD_ = 4294967296
export MALLOC_TRIM_THRESHOLD_ = 17179869184

# The editable package, the wheels, the tests' own libraries: what one of them compiled serves the others.
export XCODEC_BUILD_OBJECTS = $(CURDIR)/build/objects

# Tests run in two processes, each file in one of them, which share the cores: see tests/conftest.py, which orders them.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test test-fast lint types format docs wheel matrix sanitize tidy bench-check gpu clean

demo: $(READY_FOR_DEMO)
	$(BIN)/python scripts/demo.py
	$(BIN)/python scripts/demo.py --model mini-general --output demo-output/mini-general

test: $(READY)
	$(BIN)/python -m pytest $(IN_TWO)

test-fast: $(READY)
	$(BIN)/python -m pytest $(IN_TWO) -m "not slow"

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(KERNELS) tests/kernels/driver.cpp
	$(BIN)/typos
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/actionlint

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(KERNELS) tests/kernels/driver.cpp

docs: $(READY)
	$(BIN)/python scripts/documentation.py
	$(BIN)/python -m mkdocs build --quiet

wheel: $(READY_FOR_RELEASE)
	$(BIN)/python scripts/wheel.py

matrix: $(READY_FOR_RELEASE)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m nox --stop-on-first-error

# Of each variant that this processor runs, in a process of its own: see tests/kernel_builds.py.
VARIANTS_TESTED = $(BIN)/python -m pytest tests/kernels/test_kernels.py tests/modules
sanitize: $(READY)
	XCODEC_TEST_SANITIZER=address,undefined $(VARIANTS_TESTED) -k "(baseline or avx or neon) and not codes"
	XCODEC_TEST_SANITIZER=thread $(VARIANTS_TESTED) -k "(baseline or avx or neon) and threads"

# The interface, and one variant of each kernel.
tidy:
	@command -v clang-tidy >/dev/null || { echo "make tidy needs clang-tidy: apt-get install clang-tidy" >&2; exit 1; }
	for part in "-DXCODEC_INTERFACE=1 -DXCODEC_BASELINE" -DXCODEC_VARIANT=baseline; do \
	  clang-tidy --quiet $(filter %.cpp,$(KERNELS)) -- -std=c++17 $$part || exit 1; \
	done

bench-check: $(READY)
	$(BIN)/python benchmarks/check.py

MINUTES ?= 10
gpu:
	$(PYTHON) scripts/gpu.py --minutes $(MINUTES)

NEEDED := needs a C/C++ compiler and Python's headers, for pesq: apt-get install g++ python3-dev
HEADERS := "import os, sysconfig; os.stat(sysconfig.get_path('include') + '/Python.h')"

$(READY): $(SOURCES) $(KERNELS) src/xcodec/kernels/signatures.py
	@{ command -v cc && $(PYTHON) -c $(HEADERS); } >/dev/null 2>&1 || { echo "make $(or $(MAKECMDGOALS),demo) $(NEEDED)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY) $(READY_FOR_DEMO)

$(READY_FOR_DEMO): $(SOURCES)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $(READY_FOR_DEMO)

# What builds and tries needs nothing of what is built.
$(READY_FOR_RELEASE): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group release --group matrix
	touch $(READY_FOR_RELEASE)

clean:
	rm -rf .venv .nox build dist demo-output gpu-output .pytest_cache .ruff_cache .mypy_cache
