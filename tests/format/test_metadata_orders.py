"""The C++ index functions against derivations that share no line with them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from sparse_gemm import _C, metadata_orders, reference

INSTRUCTIONS = metadata_orders.instructions()

# How the PTX ISA's sections on the fragments of sparse mma and wgmma describe the metadata operand:
# K, the granularity, how many lanes of a quad supply metadata, and whether one register serves one
# row or the rows q and q + 8 of its quad.
PTX_ISA = {
    "mma.sp.m16n8k16.f16": (16, "2:4", 1, "two rows"),
    "mma.sp.m16n8k32.f16": (32, "2:4", 2, "two rows"),
    "mma.sp.m16n8k8.tf32": (8, "1:2", 1, "two rows"),
    "mma.sp.m16n8k16.tf32": (16, "1:2", 2, "two rows"),
    "mma.sp.m16n8k32.s8": (32, "2:4", 2, "one row"),
    "mma.sp.m16n8k64.s8": (64, "2:4", 4, "one row"),
    "mma.sp.m16n8k64.e4m3": (64, "2:4", 4, "one row"),
    "mma.sp.m16n8k64.s4": (64, "4:8", 2, "one row"),
    "mma.sp.m16n8k128.s4": (128, "4:8", 4, "one row"),
    "wgmma.sp.m64nNk32.f16": (32, "2:4", 2, "two rows"),
    "wgmma.sp.m64nNk16.tf32": (16, "1:2", 2, "two rows"),
    "wgmma.sp.m64nNk64.s8": (64, "2:4", 4, "one row"),
    "wgmma.sp.m64nNk64.e4m3": (64, "2:4", 4, "one row"),
}
ALL_SELECTORS = [(name, s) for name, i in INSTRUCTIONS.items() for s in range(i.num_selectors)]


def registers_of_a_warp(cells: np.ndarray, kind: str) -> np.ndarray:
    """[16, groups] as [quad, supplying lane of the quad, nibble of its register]."""
    groups = cells.shape[1]
    if kind == "two rows":
        runs = cells.reshape(2, 8, groups // 4, 4)  # upper, quad, run, nibble
        return runs.transpose(1, 2, 0, 3).reshape(8, groups // 4, 8)
    runs = cells.reshape(2, 8, groups // 8, 8)
    return runs.transpose(1, 2, 0, 3).reshape(8, groups // 4, 8)


def test_every_instruction_of_the_isa_is_there() -> None:
    assert list(INSTRUCTIONS) == list(PTX_ISA)
    for name, (k, pattern, lanes_per_quad, _) in PTX_ISA.items():
        instruction = INSTRUCTIONS[name]
        group_size = reference.PATTERNS[pattern].group_size
        rows = 64 if name.startswith("wgmma") else 16
        assert instruction.k == k
        assert instruction.group_size == group_size
        assert instruction.num_groups == k // group_size
        assert instruction.rows == rows
        assert instruction.num_lanes == rows // 2 * lanes_per_quad
        assert instruction.num_selectors == 4 // lanes_per_quad
        # All 32 bits of every supplying lane are used.
        assert instruction.num_lanes * 32 == rows * instruction.num_groups * 4


@pytest.mark.parametrize(("name", "selector"), ALL_SELECTORS)
def test_lane_map_is_the_isa(name: str, selector: int) -> None:
    instruction = INSTRUCTIONS[name]
    _, _, lanes_per_quad, kind = PTX_ISA[name]
    cells = np.arange(instruction.rows * instruction.num_groups)
    cells = cells.reshape(instruction.rows, instruction.num_groups)
    expected = {}
    for warp in range(instruction.rows // 16):
        registers = registers_of_a_warp(cells[16 * warp : 16 * warp + 16], kind)
        assert registers.shape[1] == lanes_per_quad
        for (quad, lane, nibble), cell in np.ndenumerate(registers):
            supplying = 32 * warp + 4 * quad + lanes_per_quad * selector + lane
            expected[int(cell)] = (supplying, 4 * nibble)
    lanes = metadata_orders.lane_map(name, selector)
    ours = zip(lanes.lane.ravel().tolist(), lanes.bit.ravel().tolist(), strict=True)
    assert dict(enumerate(ours)) == expected


@pytest.mark.parametrize(("name", "selector"), ALL_SELECTORS)
def test_lane_map_and_its_inverse_undo_each_other(name: str, selector: int) -> None:
    instruction = INSTRUCTIONS[name]
    lanes = metadata_orders.lane_map(name, selector)
    seen = set()
    for (row, group), lane in np.ndenumerate(lanes.lane):
        at = (int(lane), int(lanes.bit[row, group]))
        seen.add(at)
        assert _C.metadata_row_group(name, selector, *at) == (row, group)
    assert len(seen) == instruction.rows * instruction.num_groups
    assert len({lane for lane, _ in seen}) == instruction.num_lanes


def test_selectors_share_no_lane() -> None:
    for name, instruction in INSTRUCTIONS.items():
        lanes = [metadata_orders.lane_map(name, s).lane for s in range(instruction.num_selectors)]
        assert sorted(set(np.concatenate(lanes).ravel())) == list(range(2 * instruction.rows))


@pytest.mark.parametrize("groups", [1, 2, 5, 8])
def test_canonical_position_is_where_the_reference_writes(groups: int) -> None:
    rows = 3
    row_bytes = -(-groups // 2)
    for row in range(rows):
        for group in range(groups):
            w = np.zeros((rows, 4 * groups), np.float32)
            w[row, 4 * group : 4 * group + 2] = 1  # nibble 4; all others are E
            metadata = reference.compress(w).metadata.reshape(-1)
            nibbles = np.stack([metadata & 0xF, metadata >> 4], axis=1)
            byte, nibble = _C.metadata_canonical_position(groups, row, group)
            assert np.argwhere(nibbles != 0xE).tolist() == [[byte, nibble]]
            assert _C.metadata_canonical_group(groups, byte, nibble) == (row, group)
            assert byte // row_bytes == row


@pytest.mark.parametrize(
    ("bits", "rows", "columns"), [(16, 32, 2), (16, 96, 6), (32, 16, 2), (32, 80, 6)]
)
def test_cutlass_sm80_offsets_are_torchs(bits: int, rows: int, columns: int) -> None:
    torch = pytest.importorskip("torch")
    converter = pytest.importorskip("torch.sparse._semi_structured_conversions")
    dtype = {16: torch.int16, 32: torch.int32}[bits]
    theirs = converter._calculate_meta_reordering_scatter_offsets(rows, columns, dtype, "cpu")
    ours = _C.cutlass_sm80_offset(bits, rows, *np.ogrid[:rows, :columns])
    assert np.array_equal(ours.ravel(), theirs.numpy())
    assert sorted(ours.ravel().tolist()) == list(range(rows * columns))
    for (row, column), offset in np.ndenumerate(ours):
        assert _C.cutlass_sm80_word(bits, rows, int(offset)) == (row, column)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int8", "float32"])
def test_to_and_from_cutlass_sm80_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    converter = pytest.importorskip("torch.sparse._semi_structured_conversions")
    rng = np.random.default_rng(2)
    pattern = "1:2" if name == "float32" else "2:4"
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    w = reference.prune(rng.integers(-3, 4, (64, 256)).astype(dtype), pattern)
    c = reference.compress(w, pattern)
    tensor = torch.from_numpy(w.astype(np.float32)).to(getattr(torch, name))
    _, theirs = converter.sparse_semi_structured_from_dense_cutlass(tensor)
    ours = metadata_orders.to_cutlass_sm80(c.metadata, dtype)
    assert ours.dtype == theirs.numpy().dtype
    assert np.array_equal(ours, theirs.numpy())
    assert np.array_equal(metadata_orders.from_cutlass_sm80(theirs.numpy(), dtype), c.metadata)


@pytest.mark.parametrize(
    ("name", "bits", "block_rows"),
    [
        ("mma.sp.m16n8k32.f16", 16, 32),
        ("mma.sp.m16n8k16.tf32", 16, 32),
        ("mma.sp.m16n8k64.s8", 32, 16),
    ],
)
def test_a_cutlass_sm80_block_is_a_warps_registers(name: str, bits: int, block_rows: int) -> None:
    """CUTLASS's kernels load the block as it stands, so its order fixes the instruction's.

    For 16-bit words, selector 0 takes the first 16 rows of the block and selector 1 the others.
    """
    groups_a_word = bits // 4
    for row in range(block_rows):
        lanes = metadata_orders.lane_map(name, selector=row // 16)
        for group in range(2 * groups_a_word):
            word = int(_C.cutlass_sm80_offset(bits, block_rows, row, group // groups_a_word))
            bit = word * bits + 4 * (group % groups_a_word)
            at = (int(lanes.lane[row % 16, group]), int(lanes.bit[row % 16, group]))
            assert at == divmod(bit, 32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metadata_orders.lane_map("mma.sp.m8n8k4.f16"), "instruction is 'mma.sp.m8n8k4"),
        (lambda: metadata_orders.lane_map("mma.sp.m16n8k32.f16", 2), "selector is 2; expected"),
        (lambda: metadata_orders.lane_map("mma.sp.m16n8k64.s8", -1), "selector is -1"),
        (lambda: _C.metadata_lane_bit("mma.sp.m16n8k64.s8", 0, 16, 0), "row is 16"),
        (lambda: _C.metadata_lane_bit("mma.sp.m16n8k64.s8", 0, 0, 16), "group is 16"),
        (lambda: _C.metadata_row_group("mma.sp.m16n8k32.f16", 0, 2, 0), "lane 2 supplies no"),
        (lambda: _C.metadata_row_group("mma.sp.m16n8k32.f16", 0, 32, 0), "lane is 32"),
        (lambda: _C.cutlass_sm80_offset(8, 32, 0, 0), "word_bits is 8"),
        (lambda: _C.cutlass_sm80_offset(16, 48, 0, 0), "num_rows is 48"),
        (lambda: _C.cutlass_sm80_word(32, 0, 0), "num_rows is 0"),
        (lambda: metadata_orders.to_cutlass_sm80(np.zeros((16, 4), np.uint8), np.float16),
         r"metadata has shape \(16, 4\)"),
        (lambda: metadata_orders.to_cutlass_sm80(np.zeros((32, 2), np.uint8), np.float16),
         r"metadata has shape \(32, 2\)"),
        (lambda: metadata_orders.to_cutlass_sm80(np.zeros((32, 4), np.uint8), np.float64),
         "dtype is float64"),
        (lambda: metadata_orders.from_cutlass_sm80(np.zeros((32, 2), np.int16), np.int8),
         "reordered has dtype int16; expected int32"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
