"""The metadata orders of `csrc/format/metadata_order.h`, on whole arrays.

Canonical metadata is what a compressed matrix shows: uint8 [M, ceil(groups / 2)], row-major, the
earlier group of a byte in its low nibble. This module says where the same nibbles stand in the
registers of an instruction, and converts to and from the order that PyTorch stores. The formulas
are written down in `docs/format.md`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sparse_gemm import _C

__all__ = ["Instruction", "LaneMap", "from_cutlass_sm80", "instructions", "lane_map"]
__all__ += ["to_cutlass_sm80"]

# Bits of a metadata word by element type; float32 stands for the pattern 1:2.
_WORD_BITS = {"float32": 16, "float16": 16, "bfloat16": 16, "int8": 32}
_BLOCK_ROWS = {16: 32, 32: 16}
_BLOCK_COLUMNS = 2


class Instruction(NamedTuple):
    """An instruction that takes metadata, and the shape of what it takes.

    Attributes:
        name: PTX's name, cut to family, shape and the first of its types ("mma.sp.m16n8k32.f16").
        types: all element types of A that share the order, separated by blanks.
        rows: rows of A: 16 for mma.sp, 64 for wgmma.sp.
        k: logical elements of K.
        group_size: logical elements of K in a group.
        num_groups: groups in a row, k / group_size.
        num_lanes: lanes that supply metadata, of the 32 of a warp or the 128 of a warpgroup.
        num_selectors: the valid sparsity selectors are 0 to num_selectors - 1.
    """

    name: str
    types: str
    rows: int
    k: int
    group_size: int
    num_groups: int
    num_lanes: int
    num_selectors: int


class LaneMap(NamedTuple):
    """Where each group's nibble stands: int64 arrays [rows, num_groups].

    Attributes:
        lane: the lane that supplies it: 0 to 31, or 0 to 127 in a warpgroup.
        bit: its lowest bit in that lane's 32-bit metadata register: a multiple of 4.
    """

    lane: NDArray[np.int64]
    bit: NDArray[np.int64]


def instructions() -> dict[str, Instruction]:
    """Every instruction whose metadata order is known, by name."""
    table = [Instruction(**fields) for fields in _C.metadata_instructions()]
    return {instruction.name: instruction for instruction in table}


def lane_map(instruction: str, selector: int = 0) -> LaneMap:
    """The lane and the first bit of every group's nibble.

    Args:
        instruction: a name of `instructions()`.
        selector: the sparsity selector; ValueError if the instruction has no such one.
    """
    known = instructions()
    if instruction not in known:
        raise ValueError(f"instruction is {instruction!r}; expected one of {', '.join(known)}")
    rows, groups = range(known[instruction].rows), range(known[instruction].num_groups)
    places = [
        [_C.metadata_lane_bit(instruction, selector, row, group) for group in groups]
        for row in rows
    ]
    lanes_and_bits = np.array(places, np.int64)
    return LaneMap(lane=lanes_and_bits[..., 0], bit=lanes_and_bits[..., 1])


def to_cutlass_sm80(metadata: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    """Canonical metadata in the order that PyTorch's CUTLASS backend stores.

    Args:
        metadata: uint8 [M, bytes]. M must be a multiple of 32 (int8: 16) and a row an even number
            of words: bytes a multiple of 4 (int8: 8).
        dtype: element type of the compressed matrix: float16, bfloat16, int8, or float32 as 1:2.

    Returns:
        [M, words a row], int16 (int8: int32): the shape that PyTorch gives it, although its
        elements do not stand where that shape says.
    """
    bits = _word_bits(dtype)
    metadata = np.ascontiguousarray(metadata, np.uint8)
    _check_extents("metadata", metadata.shape, bits, columns_a_word=bits // 8)
    words = metadata.view(f"<i{bits // 8}")
    reordered = np.empty(words.size, words.dtype)
    reordered[_offsets(words.shape, bits)] = words
    return reordered.reshape(words.shape)


def from_cutlass_sm80(reordered: NDArray[Any], dtype: DTypeLike) -> NDArray[np.uint8]:
    """Canonical metadata, uint8 [M, bytes], from what `to_cutlass_sm80` returns."""
    bits = _word_bits(dtype)
    words = np.ascontiguousarray(reordered)
    if words.dtype.itemsize != bits // 8:
        raise ValueError(
            f"reordered has dtype {words.dtype.name}; expected int{bits} for {np.dtype(dtype).name}"
        )
    _check_extents("reordered", words.shape, bits, columns_a_word=1)
    canonical = words.reshape(-1)[_offsets(words.shape, bits)]
    return np.ascontiguousarray(canonical).view(np.uint8)


def _word_bits(dtype: DTypeLike) -> int:
    name = np.dtype(dtype).name
    if name not in _WORD_BITS:
        raise ValueError(f"dtype is {name}; PyTorch stores metadata for {', '.join(_WORD_BITS)}")
    return _WORD_BITS[name]


def _check_extents(name: str, shape: tuple[int, ...], bits: int, columns_a_word: int) -> None:
    rows, columns = _BLOCK_ROWS[bits], _BLOCK_COLUMNS * columns_a_word
    if len(shape) != 2 or shape[0] % rows or shape[1] % columns:
        raise ValueError(
            f"{name} has shape {shape}; expected [M, columns] with M a multiple of {rows} "
            f"and columns a multiple of {columns}"
        )


def _offsets(shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
    """int64 [M, words a row]: where the word at (row, column) stands in the flat array."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(_C.cutlass_sm80_offset(bits, shape[0], rows, columns)).reshape(shape)
