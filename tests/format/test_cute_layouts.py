"""The lane orders against CuTe's ELayouts, printed by a host-only program built from its headers.

Needs g++ and these packages, of which only headers are used: nvidia-cutlass 4.2.0, and of CUDA 13.0
nvidia-cuda-runtime, nvidia-cuda-crt and nvidia-cuda-cccl.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from cute_headers import headers_of

from sparse_gemm import metadata_orders

pytestmark = pytest.mark.slow

# CuTe's traits by our instruction. sm_120's block-scaled fp4 instruction stands for m16n8k128 of
# the 4-bit integers: the PTX ISA describes the metadata of both in one section.
TRAITS = {
    "wgmma.sp.m64nNk32.f16": [
        "SM90::GMMA::SPARSE::GMMA_64x8x32_F32F16F16_SS<K, K>",
        "SM90::GMMA::SPARSE::GMMA_64x8x32_F32BF16BF16_SS<K, K>",
    ],
    "wgmma.sp.m64nNk16.tf32": ["SM90::GMMA::SPARSE::GMMA_64x8x16_F32TF32TF32_SS_TN<>"],
    "wgmma.sp.m64nNk64.s8": ["SM90::GMMA::SPARSE::GMMA_64x8x64_S32S8S8_SS_TN<>"],
    "wgmma.sp.m64nNk64.e4m3": ["SM90::GMMA::SPARSE::GMMA_64x8x64_F32E4M3E4M3_SS_TN<>"],
    "mma.sp.m16n8k64.e4m3": [
        "SM120::SPARSE::SM120_SPARSE_16x8x64_TN<float_e4m3_t, float_e4m3_t, float>",
        "SM120::SPARSE::SM120_SPARSE_16x8x64_TN<float_e5m2_t, float_e5m2_t, float>",
    ],
    "mma.sp.m16n8k128.s4": [
        "SM120::BLOCKSCALED::SPARSE::SM120_SPARSE_16x8x128_TN_VS"
        "<float_e2m1_t, float_e2m1_t, float, float_ue8m0_t, 32>",
    ],
}

# An ELayout maps (lane, v) to row + rows * k. The v-th logical element of a lane in ascending order
# fills its register from the lowest bit, group by group.
PROGRAM = """
#include <cstdio>
#include <cute/atom/mma_traits_sm120_sparse.hpp>
#include <cute/atom/mma_traits_sm90_gmma_sparse.hpp>
#include <cute/tensor.hpp>
using namespace cute;
using namespace cutlass;
constexpr auto K = SM90::GMMA::Major::K;

template <class Operation>
void list_elements(int index) {
  using Traits = MMA_Traits<Operation>;
  const typename Traits::ELayout layout{};
  const int rows = size<0>(typename Traits::Shape_MNK{});
  for (int lane = 0; lane < size<0>(layout); ++lane) {
    for (int v = 0; v < size<1>(layout); ++v) {
      const int at = layout(lane, v);
      std::printf("%d %d %d %d %d\\n", index, lane, v, at % rows, at / rows);
    }
  }
}

int main() {
%s
}
"""


@pytest.fixture(scope="module")
def elayouts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[tuple[int, ...]]]:
    """(lane, v, row, k) for every trait, in the order of TRAITS."""
    folders = [
        headers_of("nvidia-cutlass", "cute/tensor.hpp"),
        headers_of("nvidia-cuda-runtime", "cuda_runtime_api.h"),
        headers_of("nvidia-cuda-crt", "crt/host_defines.h"),
        headers_of("nvidia-cuda-cccl", "cuda/std/utility"),
    ]
    compiler = shutil.which("g++")
    assert compiler is not None, "g++ is needed"
    folder = tmp_path_factory.mktemp("cute")
    operations = [operation for group in TRAITS.values() for operation in group]
    calls = "\n".join(
        f"  list_elements<{operation}>({i});" for i, operation in enumerate(operations)
    )
    (folder / "print.cpp").write_text(PROGRAM.replace("%s", calls))
    include = [f"-I{path}" for path in folders]
    command = [compiler, "-std=c++17", "-O0", "-w", *include, "print.cpp", "-o", "print"]
    subprocess.run(command, cwd=folder, check=True)
    printed = subprocess.run([folder / "print"], check=True, capture_output=True, text=True).stdout
    layouts: dict[int, list[tuple[int, ...]]] = {i: [] for i in range(len(operations))}
    for line in printed.splitlines():
        index, *numbers = map(int, line.split())
        layouts[index].append(tuple(numbers))
    return layouts


@pytest.mark.parametrize("name", list(TRAITS))
def test_lane_order_is_cutes(name: str, elayouts: dict[int, list[tuple[int, ...]]]) -> None:
    instruction = metadata_orders.instructions()[name]
    indices = iter(range(len(elayouts)))
    of_name = {key: [next(indices) for _ in group] for key, group in TRAITS.items()}[name]
    for index in of_name:
        for selector in range(instruction.num_selectors):
            lanes = metadata_orders.lane_map(name, selector)
            ours = {
                (int(lane), int(lanes.bit[row, group])): (row, group)
                for (row, group), lane in np.ndenumerate(lanes.lane)
            }
            theirs: dict[tuple[int, int], set[tuple[int, int]]] = {}
            for lane, v, row, k in elayouts[index]:
                bit = 4 * (v // instruction.group_size)
                # CuTe gives the lanes that the selector leaves out the same elements again.
                if (lane, bit) in ours:
                    theirs.setdefault((lane, bit), set()).add((row, k // instruction.group_size))
            assert {at: {cell} for at, cell in ours.items()} == theirs
