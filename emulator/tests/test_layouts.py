"""The emulator's lane maps against CuTe's MMA_Traits, each printed by a host-only program.

Needs the packages that tests/format/test_cute_layouts.py names; of them only headers are used.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from cute_headers import headers_of

pytestmark = pytest.mark.slow

EMULATOR = Path(__file__).parents[1]


@dataclass(frozen=True)
class Traits:
    """One of CuTe's atoms and the instruction whose fragments it describes."""

    operation: str
    instruction: str  # behind "mma." or "mma.sp::ordered_metadata."
    operands: str  # those of A, B, C and E that are compared
    group_size: int = 1  # of sparse A: logical elements of K that one nibble tells of


def dense(operation: str, instruction: str, operands: str = "ABC") -> Traits:
    """A dense atom."""
    return Traits(operation, f"sync.aligned.{instruction}", operands)


def sparse(operation: str, instruction: str, operands: str, group_size: int) -> Traits:
    """A sparse atom. Those of wgmma take B from shared memory and hold 64 rows, 16 a warp."""
    return Traits(operation, f"sync.aligned.{instruction}", operands, group_size)


TRAITS = [
    dense("SM80_16x8x8_F32F16F16F32_TN", "m16n8k8.row.col.f32.f16.f16.f32"),
    dense("SM80_16x8x16_F32F16F16F32_TN", "m16n8k16.row.col.f32.f16.f16.f32"),
    dense("SM80_16x8x8_F32BF16BF16F32_TN", "m16n8k8.row.col.f32.bf16.bf16.f32"),
    dense("SM80_16x8x16_F32BF16BF16F32_TN", "m16n8k16.row.col.f32.bf16.bf16.f32"),
    dense("SM80_16x8x4_F32TF32TF32F32_TN", "m16n8k4.row.col.f32.tf32.tf32.f32"),
    dense("SM80_16x8x8_F32TF32TF32F32_TN", "m16n8k8.row.col.f32.tf32.tf32.f32"),
    dense("SM80_8x8x4_F64F64F64F64_TN", "m8n8k4.row.col.f64.f64.f64.f64"),
    dense("SM80_8x8x16_S32S8S8S32_TN", "m8n8k16.row.col.s32.s8.s8.s32"),
    dense("SM80_16x8x16_S32S8S8S32_TN", "m16n8k16.row.col.s32.s8.s8.s32"),
    dense("SM80_16x8x32_S32S8S8S32_TN", "m16n8k32.row.col.s32.s8.s8.s32"),
    dense("SM80_8x8x32_S32S4S4S32_TN", "m8n8k32.row.col.s32.s4.s4.s32"),
    # CuTe 4.2's BLayout here gives one element to two lanes and leaves half of K out: a slip of its
    # own, as the ISA prints the rule that the neighbouring shapes follow.
    dense("SM80_16x8x32_S32S4S4S32_TN", "m16n8k32.row.col.s32.s4.s4.s32", "AC"),
    dense("SM80_16x8x64_S32S4S4S32_TN", "m16n8k64.row.col.s32.s4.s4.s32"),
    dense("SM80_16x8x256_S32U1U1S32_TN_XORPOPC", "m16n8k256.row.col.s32.b1.b1.s32.xor.popc"),
    dense("SM89_16x8x32_F32E4M3E4M3F32_TN", "m16n8k32.row.col.f32.e4m3.e4m3.f32"),
    sparse(
        "SM120::SPARSE::SM120_SPARSE_16x8x64_TN<float_e4m3_t, float_e4m3_t, float>",
        "m16n8k64.row.col.f32.e4m3.e4m3.f32",
        "ABCE",
        4,
    ),
    # Block-scaled fp4 stands for the 4-bit integers: the ISA describes both in one section.
    sparse(
        "SM120::BLOCKSCALED::SPARSE::SM120_SPARSE_16x8x128_TN_VS"
        "<float_e2m1_t, float_e2m1_t, float, float_ue8m0_t, 32>",
        "m16n8k128.row.col.s32.s4.s4.s32",
        "ABCE",
        8,
    ),
    sparse(
        "SM90::GMMA::SPARSE::GMMA_64x8x32_F32F16F16_RS<K, K>",
        "m16n8k32.row.col.f32.f16.f16.f32",
        "ACE",
        4,
    ),
    sparse(
        "SM90::GMMA::SPARSE::GMMA_64x8x16_F32TF32TF32_RS_TN<>",
        "m16n8k16.row.col.f32.tf32.tf32.f32",
        "ACE",
        2,
    ),
    sparse(
        "SM90::GMMA::SPARSE::GMMA_64x8x64_S32S8S8_RS_TN<>",
        "m16n8k64.row.col.s32.s8.s8.s32",
        "ACE",
        4,
    ),
]

# Layouts map (lane, v) to row + rows * column, of B to n + 8 * k; v counts a lane's elements as its
# registers hold them. Of sparse A it counts logical elements, so pruned ones as well.
CUTE_PROGRAM = """
#include <cstdio>
#include <cute/atom/mma_traits_sm120_sparse.hpp>
#include <cute/atom/mma_traits_sm80.hpp>
#include <cute/atom/mma_traits_sm89.hpp>
#include <cute/atom/mma_traits_sm90_gmma_sparse.hpp>
#include <cute/tensor.hpp>
using namespace cute;
using namespace cutlass;
constexpr auto K = SM90::GMMA::Major::K;

template <class Layout>
void list(int index, char operand, int rows, Layout layout) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int v = 0; v < size<1>(layout); ++v) {
      const int at = layout(lane, v);
      std::printf("%d %c %d %d %d %d\\n", index, operand, lane, v, at % rows, at / rows);
    }
  }
}

int main() {
%s
}
"""

# The same lines for the emulator; of sparse A, v and columns count stored elements, and for E, v
# counts nibbles and columns are groups. Selector 0.
EMULATOR_PROGRAM = """
#include <cstdio>

#include "mma/fragments.h"
#include "tests/mma_cases.h"
using namespace emulator;

void list(int index, const char* name, bool sparse) {
  const auto d = *mma::describe(test::instruction(name));
  const auto line = [&](char operand, int lane, int v, int row, int column) {
    std::printf("%d %c %d %d %d %d\\n", index, operand, lane, v, row, column);
  };
  const int count = mma::elements_per_register(d.a);
  const int values_a = d.shape.m * mma::stored_k(d) / 32, values_b = d.shape.n * d.shape.k / 32;
  for (int lane = 0; lane < 32; ++lane) {
    for (int v = 0; v < values_a; ++v) {
      const auto at = mma::position_in_a(d.a, d.shape.m, lane, v / count, v % count);
      line('A', lane, v, at.row, at.column);
    }
    for (int v = 0; v < values_b; ++v) {
      const auto at = mma::position_in_b(d.b, lane, v / count, v % count);
      line('B', lane, v, at.column, at.row);
    }
    for (int v = 0; v < d.shape.m * d.shape.n / 32; ++v) {
      const auto at = mma::position_in_c(lane, v);
      line('C', lane, v, at.row, at.column);
    }
  }
  if (!sparse) return;
  for (int row = 0; row < d.shape.m; ++row) {
    for (int group = 0; group < d.shape.k / mma::group_size(d.a); ++group) {
      const auto at = mma::nibble_position(d, row, group);
      line('E', at.lane, at.bit / 4, row, group);
    }
  }
}

int main() {
%s
}
"""

# (operand, lane, v) -> (row, column), of every trait.
Cells = dict[tuple[str, int, int], tuple[int, int]]
# (lane, run of v) -> the set of (row, run of columns).
Runs = dict[tuple[int, int], set[tuple[int, int]]]


def printed_by(folder: Path, name: str, source: str, arguments: list[str]) -> list[Cells]:
    """Compiles and runs a program, and reads its lines."""
    compiler = shutil.which("g++")
    assert compiler is not None, "g++ is needed"
    (folder / f"{name}.cpp").write_text(source)
    command = [compiler, "-O0", "-w", f"{name}.cpp", *arguments, "-o", name]
    subprocess.run(command, cwd=folder, check=True)
    output = subprocess.run([folder / name], check=True, capture_output=True, text=True).stdout
    cells: list[Cells] = [{} for _ in TRAITS]
    for line in output.splitlines():
        index, operand, *numbers = line.split()
        lane, v, row, column = map(int, numbers)
        cells[int(index)][operand, lane, v] = (row, column)
    return cells


@pytest.fixture(scope="module")
def cute(tmp_path_factory: pytest.TempPathFactory) -> list[Cells]:
    """What CuTe's layouts say."""
    folders = [
        headers_of("nvidia-cutlass", "cute/tensor.hpp"),
        headers_of("nvidia-cuda-runtime", "cuda_runtime_api.h"),
        headers_of("nvidia-cuda-crt", "crt/host_defines.h"),
        headers_of("nvidia-cuda-cccl", "cuda/std/utility"),
    ]
    calls = []
    for index, traits in enumerate(TRAITS):
        calls.append(f"  {{ using T = MMA_Traits<{traits.operation}>; T::Shape_MNK shape;")
        for operand in traits.operands:
            rows = "size<1>(shape)" if operand == "B" else "size<0>(shape)"
            calls.append(f"    list({index}, '{operand}', {rows}, T::{operand}Layout{{}});")
        calls.append("  }")
    source = CUTE_PROGRAM.replace("%s", "\n".join(calls))
    include = [f"-I{path}" for path in folders]
    return printed_by(tmp_path_factory.mktemp("cute"), "cute", source, ["-std=c++17", *include])


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> list[Cells]:
    """What the emulator's formulas say."""
    calls = []
    for index, traits in enumerate(TRAITS):
        is_sparse = traits.group_size > 1
        variant = "mma.sp::ordered_metadata" if is_sparse else "mma"
        name = f"{variant}.{traits.instruction}"
        calls.append(f'  list({index}, "{name}", {str(is_sparse).lower()});')
    source = EMULATOR_PROGRAM.replace("%s", "\n".join(calls))
    arguments = ["-std=c++20", f"-I{EMULATOR}", str(EMULATOR / "mma/describe.cpp")]
    return printed_by(tmp_path_factory.mktemp("emulator"), "emulator", source, arguments)


def of_operand(cells: Cells, operand: str) -> Cells:
    """The cells of one operand."""
    return {key: cell for key, cell in cells.items() if key[0] == operand}


def by_group(cells: Cells, values: int, columns: int) -> Runs:
    """The cells in runs of so many v and columns."""
    groups: Runs = defaultdict(set)
    for (_, lane, v), (row, column) in cells.items():
        groups[lane, v // values].add((row, column // columns))
    return dict(groups)


@pytest.mark.parametrize("index", range(len(TRAITS)), ids=[t.operation for t in TRAITS])
def test_lane_maps_are_cutes(index: int, cute: list[Cells], emulator: list[Cells]) -> None:
    traits, size = TRAITS[index], TRAITS[index].group_size
    for operand in traits.operands:
        theirs, ours = of_operand(cute[index], operand), of_operand(emulator[index], operand)
        assert theirs
        assert ours
        if operand == "E":
            groups = by_group(theirs, size, size)
            # CuTe gives the lanes that the selector leaves out the same elements again.
            expected = {key: groups[key] for key in by_group(ours, 1, 1)}
            assert by_group(ours, 1, 1) == expected
        elif operand == "A" and size > 1:
            assert by_group(ours, size // 2, size // 2) == by_group(theirs, size, size)
        else:
            assert ours == theirs
