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
# A whole CUDA compiler for machines without one; the packages must be of one minor version.
NVCC := $(foreach part,nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime \
  nvidia-cuda-cccl,'$(part)==13.0.*')

# What is built here runs here: PTX alone, which a driver compiles when it loads the module and the
# emulator reads, spares ptxas' minutes for each architecture.
SPARSE_GEMM_CUDA ?= auto
SPARSE_GEMM_CUDA_ARCHITECTURES ?= 80-virtual

CXX_FILES := $(shell find csrc emulator tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')
# The package without the extension: modules and the folders of its rooms.
PYTHON_FILES := $(filter-out %.so %/__pycache__,$(wildcard sparse_gemm/*))
EXTENSION_SOURCES := $(filter csrc/%,$(CXX_FILES)) $(wildcard cmake/*) CMakeLists.txt pyproject.toml

JOBS := $(shell nproc 2>/dev/null || echo 1)
EMULATOR := build/emulator
PTXAS_LOG := build/architectures/ptxas.log
ISSUE_SLOTS := csrc/cuda/sm80/issue_slots.h

.PHONY: help demo test test-all test-python test-emulated lint format sanitize sanitize-threads \
  instruction-counts emulator gpu-check bench kernel-table wheel clean
help:
	@echo 'make demo       run a real model with 2:4-compressed weights'
	@echo 'make test       lint, types, quick tests, and the CUDA kernels on the emulator'
	@echo 'make test-all   the slow tests too: every architecture, sanitizers, packages'
	@echo 'make emulator   build the CUDA emulator and an extension for it, in build/emulator'
	@echo 'make gpu-check  on a machine with a GPU: build for it, test, measure (no network)'
	@echo 'make bench      time this machine against torch'
	@echo 'make kernel-table  count the CUDA kernels anew: docs/kernels.md, benchmarks/kernel_table'
	@echo 'make format     format Python and C++'
	@echo 'make wheel      build a wheel and an sdist in dist/'
	@echo 'make clean      remove what was built, the virtual environment included'

demo: $(VENV)/demo.stamp $(VENV)/extension.stamp
	$(BIN)/python examples/minilm.py

test: lint test-python test-emulated

test-python: $(VENV)/test.stamp $(VENV)/extension.stamp
	$(BIN)/pytest -m 'not slow'

# With few SMs a small problem fills the device, and so takes the largest tiles.
FEW_SMS := --sms 2
KERNEL_CASES := $(BIN)/python -m pytest tests/kernels

# The emulator's own tests; then the kernel cases, which test-python skips where there is no GPU.
test-emulated: $(VENV)/test.stamp emulator
	$(BIN)/ctest --test-dir $(EMULATOR) --output-on-failure --parallel $(JOBS)
	$(WITH_NVCC) $(BIN)/pytest -m 'not slow' emulator/tests
	emulator/run $(FEW_SMS) $(KERNEL_CASES) -m 'not slow'
	emulator/run --device rtx4090 $(FEW_SMS) $(KERNEL_CASES) -m 'not slow'

test-all: lint $(VENV)/slow.stamp sanitize sanitize-threads instruction-counts emulator $(PTXAS_LOG)
	$(WITH_NVCC) $(BIN)/pytest
	$(BIN)/ctest --test-dir $(EMULATOR) --output-on-failure --parallel $(JOBS)
	$(WITH_NVCC) $(BIN)/pytest emulator/tests
	emulator/run $(KERNEL_CASES)
	for device in rtx4090 rtx5090; do \
	  emulator/run --device $$device $(FEW_SMS) $(KERNEL_CASES) -m 'not slow' || exit; done
	for device in a100 rtx4090; do for seed in $$(seq 5); do \
	  emulator/run --device $$device $(FEW_SMS) --seed $$seed $(KERNEL_CASES) \
	    -m 'not slow' -k 'every or schedules' || exit; done; done

lint: $(VENV)/test.stamp $(VENV)/extension.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

# Some six minutes, and a page of the results. BENCH_OPTIONS=--quick: seconds, to see that it runs.
# OpenBLAS's threads would spin after each product of its, and slow down whatever is timed next.
BENCH_OPTIONS ?= --minutes 6
bench: $(VENV)/test.stamp $(VENV)/extension.stamp
	OPENBLAS_THREAD_TIMEOUT=4 $(BIN)/python -m sparse_gemm.bench run cpu $(BENCH_OPTIONS) --out build/bench/cpu.json
	$(BIN)/python -m sparse_gemm.bench report build/bench/cpu.json --out build/bench

# What is counted goes into the planner, which predicts with it: so predictions come last.
kernel-table: $(VENV)/slow.stamp $(VENV)/extension.stamp emulator $(PTXAS_LOG)
	$(BIN)/python -m benchmarks.kernel_table --only machine-code,emulated
	$(MAKE) $(VENV)/extension.stamp
	$(BIN)/python -m benchmarks.kernel_table --only predictions

wheel: $(VENV)/nvcc.stamp
	$(PIP) install build
	env -u SPARSE_GEMM_CUDA_ARCHITECTURES $(BIN)/python -m build --no-isolation

# $(call build_extension,BUILD_DIR,MODULE_DIR,CONFIGURE_OPTIONS,BUILD_OPTIONS): builds sparse_gemm._C
# into MODULE_DIR.
, := ,
define build_extension
$(BIN)/cmake -S . -B $(1) -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) \
  -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(abspath $(2)) $(3)
$(BIN)/cmake --build $(1) --parallel $(JOBS) $(4)
endef

# In place, beside the Python files: an editable install sees it at once.
CUDA_OPTIONS = -DSPARSE_GEMM_CUDA=$(SPARSE_GEMM_CUDA) \
  '-DSPARSE_GEMM_CUDA_ARCHITECTURES=$(SPARSE_GEMM_CUDA_ARCHITECTURES)'
$(VENV)/extension.stamp: $(EXTENSION_SOURCES) $(VENV)/nvcc.stamp
	$(call build_extension,build/extension,sparse_gemm,-DCMAKE_BUILD_TYPE=Release $(CUDA_OPTIONS))
	touch $@

# The C++ under AddressSanitizer and UndefinedBehaviorSanitizer: a copy of the package with an
# instrumented extension, and the tests that reach all of it without torch.
SANITIZED := build/sanitize
SANITIZED_TESTS := tests/format/test_format.py tests/format/test_tensor.py tests/planning/test_plan.py \
  $(addprefix tests/gemm/,test_ops.py test_ops_refusals.py test_type_rules.py test_cpu_kernels.py test_parallel.py)
sanitize: $(VENV)/test.stamp $(VENV)/extension.stamp
	rm -rf $(SANITIZED)/python
	mkdir -p $(SANITIZED)/python/sparse_gemm
	cp -r $(PYTHON_FILES) $(SANITIZED)/python/sparse_gemm
	$(call build_extension,$(SANITIZED)/cmake,$(SANITIZED)/python/sparse_gemm,\
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSPARSE_GEMM_SANITIZE=address$(,)undefined -DSPARSE_GEMM_CUDA=off)
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	  PYTHONPATH=$(SANITIZED)/python $(BIN)/pytest -o pythonpath=tests -p no:cacheprovider -m 'not slow' $(SANITIZED_TESTS)

# The same under ThreadSanitizer, for what several threads do at once. Its memory map wants addresses
# that are not random; Python itself is not instrumented, and a forked child starts threads anew. The
# test of blocked signals looks at every thread of the process: ThreadSanitizer's own blocks them all.
sanitize-threads: $(VENV)/test.stamp $(VENV)/extension.stamp
	rm -rf $(SANITIZED)-threads/python
	mkdir -p $(SANITIZED)-threads/python/sparse_gemm
	cp -r $(PYTHON_FILES) $(SANITIZED)-threads/python/sparse_gemm
	$(call build_extension,$(SANITIZED)-threads/cmake,$(SANITIZED)-threads/python/sparse_gemm,\
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSPARSE_GEMM_SANITIZE=thread -DSPARSE_GEMM_CUDA=off)
	TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 PYTHONPATH=$(SANITIZED)-threads/python \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libtsan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	  setarch --addr-no-randomize \
	  $(BIN)/pytest -o pythonpath=tests -p no:cacheprovider -m 'not slow' -k 'not signals' tests/gemm/test_parallel.py

# The CPU kernels without Python, for tests/test_instruction_counts.py.
instruction-counts: $(VENV)/base.stamp
	$(call build_extension,build/instruction_counts,build/instruction_counts,-DCMAKE_BUILD_TYPE=Release \
	  -DSPARSE_GEMM_CUDA=off -DSPARSE_GEMM_INSTRUCTION_COUNTS=on,--target instruction_counts)

# The emulator, and beside it the package with an extension whose kernels it can run: the shared
# runtime, so that the stand-in is taken for it; plain PTX; and line numbers, for its findings.
emulator: $(EMULATOR)/built.stamp
EMULATED_OPTIONS := -DCMAKE_BUILD_TYPE=Release -DSPARSE_GEMM_CUDA=on \
  -DSPARSE_GEMM_CUDA_ARCHITECTURES=80-virtual -DSPARSE_GEMM_CUDA_RUNTIME=shared \
  '-DSPARSE_GEMM_CUDA_FLAGS=-lineinfo --compress-mode=none'
$(EMULATOR)/built.stamp: $(filter emulator/%,$(CXX_FILES)) $(wildcard emulator/CMakeLists.txt emulator/runtime/*.map) \
    emulator/sitecustomize.py emulator/register_table.py $(EXTENSION_SOURCES) $(PYTHON_FILES) $(VENV)/nvcc.stamp
	$(BIN)/cmake -S emulator -B $(EMULATOR) -G Ninja
	$(BIN)/cmake --build $(EMULATOR) --parallel $(JOBS)
	mkdir -p $(EMULATOR)/python/sparse_gemm
	find $(EMULATOR)/python -type l -delete
	ln -s $(addprefix $(CURDIR)/,$(PYTHON_FILES)) $(EMULATOR)/python/sparse_gemm
	ln -s $(CURDIR)/emulator/sitecustomize.py $(EMULATOR)/python
	$(call build_extension,$(EMULATOR)/extension,$(EMULATOR)/python/sparse_gemm,$(EMULATED_OPTIONS))
	$(WITH_NVCC) $(BIN)/python emulator/register_table.py $(EMULATOR)/registers.txt $(EMULATOR)/python/sparse_gemm/_C*.so
	touch $@

# Every architecture of a release, machine code plain, with ptxas' account of registers and spills, for
# the tests to read. Issue slots are counted in it: no part of it.
$(PTXAS_LOG): $(filter-out $(ISSUE_SLOTS),$(EXTENSION_SOURCES)) $(VENV)/nvcc.stamp
	$(call build_extension,build/architectures/cmake,build/architectures,-DCMAKE_BUILD_TYPE=Release \
	  -DSPARSE_GEMM_CUDA=$(SPARSE_GEMM_CUDA) '-DSPARSE_GEMM_CUDA_FLAGS=-Xptxas=-v --compress-mode=none',--clean-first > $@.part)
	mv $@.part $@

# With the Python that has torch: builds in place, for the GPU of this machine alone, with no network.
gpu-check:
	$(PYTHON) -m benchmarks.gpu_check

$(VENV)/base.stamp:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(BUILD_REQUIRES)
	touch $@

# The CUDA compiler: this machine's own, or else PyPI's. The stamp holds its path.
FIND_NVCC := $(BIN)/cmake -DPython_EXECUTABLE=$(BIN)/python -P cmake/find_nvcc.cmake
NVCC_BIN = $(dir $(shell cat $(VENV)/nvcc.stamp))
# PyPI has no libcudart.so to link with, and its nvcc does not find the rest; the emulator has one.
WITH_NVCC = PATH="$(NVCC_BIN):$$PATH" LIBRARY_PATH="$(NVCC_BIN)../lib:$(CURDIR)/$(EMULATOR)/lib"
$(VENV)/nvcc.stamp: $(VENV)/base.stamp
	test '$(SPARSE_GEMM_CUDA)' = off || $(FIND_NVCC) > $@.part || \
	  { echo 'installing the CUDA compiler of PyPI'; $(PIP) install $(NVCC) && $(FIND_NVCC) > $@.part; }
	touch $@.part
	mv $@.part $@

$(VENV)/torch.stamp: $(VENV)/base.stamp
	$(PIP) install '$(TORCH)'
	touch $@

# The Python files alone: the extension is built above, once, by what its stamp says.
INSTALL := SPARSE_GEMM_NO_EXTENSION=1 $(PIP) install --no-build-isolation -e
$(VENV)/test.stamp: $(VENV)/torch.stamp pyproject.toml
	$(INSTALL) '.[test,demo,bench]'
	touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp pyproject.toml
	$(INSTALL) '.[demo]'
	touch $@

# The headers of CUTLASS and of the CUDA runtime, to compare lane layouts with (nothing of them is
# built into the package); a disassembler; the last compressed-tensors that writes 2:4 files, to compare
# with; `build`, to make a wheel and an sdist.
HEADERS := nvidia-cutlass==4.2.0.0 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-crt==13.0.*' \
  'nvidia-cuda-cccl==13.0.*'
$(VENV)/slow.stamp: $(VENV)/test.stamp
	$(PIP) install --no-deps $(HEADERS) nvidia-cuda-nvdisasm==13.5.37
	$(PIP) install --no-deps compressed-tensors==0.12.2 loguru
	$(PIP) install build
	touch $@

clean:
	rm -rf build dist $(VENV) *.egg-info sparse_gemm/*.so
