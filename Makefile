# Two commands matter: `make demo` and `make test`. Each makes its own virtual environment and
# installs everything; running it again only does what has changed.

PYTHON ?= python3
# PyPI's Linux build of torch brings several GB of CUDA libraries; name a CPU build here if you
# have one at hand.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BUILD_REQUIRES := 'setuptools>=77' 'pybind11>=2.13' 'cmake>=3.24' ninja

CXX_SOURCES := $(shell find csrc -name '*.cpp' -o -name '*.h') CMakeLists.txt setup.py
CXX_FILES := $(shell find csrc tests -name '*.cpp' -o -name '*.h')

.PHONY: help demo test test-all test-python lint format sanitize bench wheel clean
help:
	@echo 'make demo      run a real model with 2:4-compressed weights'
	@echo 'make test      lint, types and quick tests (make test-all: the slow ones too)'
	@echo 'make bench     time this machine against torch'
	@echo 'make format    format Python and C++'
	@echo 'make wheel     build a wheel and an sdist in dist/'
	@echo 'make clean     remove what was built, the virtual environment included'

demo: $(VENV)/demo.stamp $(VENV)/extension.stamp
	$(BIN)/python examples/minilm.py

test: lint test-python

test-python: $(VENV)/test.stamp $(VENV)/extension.stamp
	$(BIN)/pytest -m 'not slow'

test-all: lint $(VENV)/slow.stamp sanitize
	$(BIN)/pytest

lint: $(VENV)/test.stamp $(VENV)/extension.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: $(VENV)/test.stamp $(VENV)/extension.stamp
	$(BIN)/python -m benchmarks.cpu

wheel: $(VENV)/base.stamp
	$(PIP) install build
	$(BIN)/python -m build --no-isolation

# The C++ under AddressSanitizer and UndefinedBehaviorSanitizer: a copy of the package with an
# instrumented extension, and the tests that reach all of it without torch.
SANITIZED := build/sanitize
SANITIZED_TESTS := tests/test_format.py tests/test_ops.py tests/test_cpu_kernels.py tests/test_parallel.py
sanitize: $(VENV)/test.stamp $(VENV)/extension.stamp
	mkdir -p $(SANITIZED)/python/sparse_gemm
	cp sparse_gemm/*.py $(SANITIZED)/python/sparse_gemm
	$(BIN)/cmake -S . -B $(SANITIZED)/cmake -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DSPARSE_GEMM_SANITIZE=address,undefined -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) \
	  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/$(SANITIZED)/python/sparse_gemm >/dev/null
	$(BIN)/cmake --build $(SANITIZED)/cmake
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	  PYTHONPATH=$(SANITIZED)/python $(BIN)/pytest -o pythonpath= -p no:cacheprovider -m 'not slow' $(SANITIZED_TESTS)

$(VENV)/base.stamp:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(BUILD_REQUIRES)
	touch $@

$(VENV)/torch.stamp: $(VENV)/base.stamp
	$(PIP) install '$(TORCH)'
	touch $@

$(VENV)/test.stamp: $(VENV)/torch.stamp pyproject.toml
	$(PIP) install --no-build-isolation -e '.[test,demo]'
	touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp pyproject.toml
	$(PIP) install --no-build-isolation -e '.[demo]'
	touch $@

# The headers of CUTLASS and of the CUDA runtime, to compare lane layouts with (nothing of them is
# built into the package); `build`, to make a wheel and an sdist.
HEADERS := nvidia-cutlass==4.2.0.0 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-crt==13.0.*' \
  'nvidia-cuda-cccl==13.0.*'
$(VENV)/slow.stamp: $(VENV)/test.stamp
	$(PIP) install --no-deps $(HEADERS)
	$(PIP) install build
	touch $@

# In place, beside the Python files: an editable install sees it at once.
$(VENV)/extension.stamp: $(CXX_SOURCES) $(VENV)/base.stamp
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

clean:
	rm -rf build dist $(VENV) *.egg-info sparse_gemm/*.so
