"""Where CUTLASS 3.x puts a group's nibble in E: its own layouts, printed by a host-only program.

Needs g++ and the packages that tests/format/test_cute_layouts.py names: only headers are used.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from cute_headers import headers_of

from sparse_gemm.checkpoints.formats.cutlass_e import Blocks

pytestmark = pytest.mark.slow

SM90 = "Sm90GemmSparseConfig<sparse_elem<2, {}>, GMMA::Major::K, sparse_elem<{}, uint8_t>, Int<{}>>"
SM100 = "Sm1xxGemmSparseConfig<sparse_elem<{}, {}>, layout::RowMajor, sparse_elem<{}, uint8_t>>"
# CUTLASS's configuration -> our blocks.
CONFIGS = {
    SM90.format("half_t", 8, 64): Blocks(64, 64, 16),
    SM90.format("bfloat16_t", 8, 128): Blocks(64, 128, 16),
    SM90.format("tfloat32_t", 4, 32): Blocks(64, 32, 32),
    SM90.format("tfloat32_t", 4, 64): Blocks(64, 64, 32),
    SM90.format("int8_t", 8, 64): Blocks(64, 64, 8),
    SM90.format("float_e4m3_t", 8, 128): Blocks(64, 128, 8),
    SM100.format(2, "half_t", 8): Blocks(128, 128, 16),
    SM100.format(2, "tfloat32_t", 4): Blocks(128, 64, 32),
    SM100.format(2, "int8_t", 8): Blocks(128, 128, 8),
    SM100.format(2, "float_e4m3_t", 8): Blocks(128, 128, 8),
    SM100.format(4, "uint8_t", 16): Blocks(128, 256, 4),
}
# M and K: neither a multiple of every block.
SHAPES = [(64, 128), (200, 416)]

PROGRAM = """
#include <cstdio>
#include <cute/tensor.hpp>
#include <cute/arch/mma_sm90_gmma.hpp>
#include <cutlass/numeric_types.h>
#include <cutlass/gemm/collective/builders/sm90_sparse_config.inl>
#include <cutlass/gemm/collective/builders/sm1xx_sparse_config.inl>
using namespace cute;
using namespace cutlass;

template <class Config>
void list_offsets(int index, int m, int k, int group) {
  const auto layout = Config::fill_layoutE(make_tuple(m, 8, k, 1));
  for (int row = 0; row < m; ++row) {
    for (int at = 0; at < k; at += group) {
      std::printf("%d %d %d %d %lld\\n", index, m, row, at / group,
                  static_cast<long long>(layout(row, at, 0)));
    }
  }
  std::printf("%d %d -1 0 %lld\\n", index, m, static_cast<long long>(size(layout)));
}

int main() {
%s
}
"""


@pytest.fixture(scope="module")
def offsets(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, ...], int]:
    """(configuration, M, row, group) -> offset in logical elements; row -1: all of them."""
    folders = [
        headers_of("nvidia-cutlass", "cute/tensor.hpp"),
        headers_of("nvidia-cuda-runtime", "cuda_runtime_api.h"),
        headers_of("nvidia-cuda-crt", "crt/host_defines.h"),
        headers_of("nvidia-cuda-cccl", "cuda/std/utility"),
    ]
    compiler = shutil.which("g++")
    assert compiler is not None, "g++ is needed"
    folder = tmp_path_factory.mktemp("cute_e")
    calls = "\n".join(
        f"  list_offsets<{config}>({i}, {m}, {k}, {blocks.group});"
        for i, (config, blocks) in enumerate(CONFIGS.items())
        for m, k in SHAPES
    )
    (folder / "print.cpp").write_text(PROGRAM.replace("%s", calls))
    include = [f"-I{path}" for path in folders]
    command = [compiler, "-std=c++17", "-O0", "-w", *include, "print.cpp", "-o", "print"]
    subprocess.run(command, cwd=folder, check=True)
    printed = subprocess.run([folder / "print"], check=True, capture_output=True, text=True).stdout
    lines = (tuple(map(int, line.split())) for line in printed.splitlines())
    return {line[:-1]: line[-1] for line in lines}


@pytest.mark.parametrize(("m", "k"), SHAPES)
@pytest.mark.parametrize("config", list(CONFIGS))
def test_e_is_where_cutlass_has_it(
    config: str, m: int, k: int, offsets: dict[tuple[int, ...], int]
) -> None:
    blocks, index = CONFIGS[config], list(CONFIGS).index(config)
    rows, groups = blocks.places(m, k)
    ours = np.add.outer(rows[:m], groups[: k // blocks.group]) * blocks.group
    theirs = [[offsets[index, m, r, g] for g in range(k // blocks.group)] for r in range(m)]
    assert np.array_equal(ours, theirs)
    assert blocks.num_bytes(m, k) * 2 * blocks.group == offsets[index, m, -1, 0]
    padded = np.add.outer(rows, groups)
    assert sorted(padded.reshape(-1).tolist()) == list(range(padded.size))
