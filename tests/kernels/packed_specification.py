"""Packed storage as docs/format.md, section 9, has it: slow, group by group."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from device_arrays import Array

from sparse_gemm import reference


class Case(NamedTuple):
    """A pattern and type that a device holds packed."""

    pattern: str
    dtype: np.dtype[Any]
    tile_k: int
    as_8_bit: bool = False  # 4:8 as devices without 4-bit mma.sp have it

    @property
    def group(self) -> int:
        return reference.PATTERNS[self.pattern].group_size

    @property
    def is_4_bit(self) -> bool:
        return self.dtype == ml_dtypes.int4

    @property
    def name(self) -> str:
        return f"{self.pattern}-{self.dtype.name}" + ("-as-int8" if self.as_8_bit else "")


def as_int8_matrix(c: reference.Compressed) -> reference.Compressed:
    """4:8 as 2:4 of int8, its columns in the order of docs/format.md, section 9."""
    m, k = c.shape
    dense = np.zeros((m, -(-k // 256) * 256), np.int8)
    dense[:, :k] = reference.decompress(c).astype(np.int8)
    blocks = dense.reshape(m, dense.shape[1] // 32, 16, 2).swapaxes(2, 3).reshape(dense.shape)
    # Which of the pairs are stored, `compress` would not know: groups take over their nibbles.
    groups = -(-k // 8)
    nibbles = np.full((m, dense.shape[1] // 8), 0xE, np.uint8)
    pairs = np.stack([c.metadata & 0xF, c.metadata >> 4], -1).reshape(m, 2 * c.metadata.shape[1])
    nibbles[:, :groups] = pairs[:, :groups]
    nibbles = nibbles.reshape(m, nibbles.shape[1] // 4, 1, 4).repeat(2, axis=2)
    nibbles = nibbles.reshape(m, dense.shape[1] // 4)
    places = np.stack([nibbles & 3, nibbles >> 2], axis=-1).astype(np.int64)
    columns = (np.arange(nibbles.shape[1])[:, None] * 4 + places).reshape(m, dense.shape[1] // 2)
    values = np.take_along_axis(blocks, columns, axis=1)
    metadata = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    return reference.Compressed(values, metadata, dense.shape, "2:4", np.dtype(np.int8))


def packed_by_the_specification(case: Case, c: reference.Compressed) -> tuple[Array, Array]:
    """Packed values and metadata of canonical ones, group by group: docs/format.md, section 9."""
    if case.as_8_bit:
        return packed_by_the_specification(Case("2:4", np.dtype(np.int8), 128), as_int8_matrix(c))
    m, k = c.shape
    tile_groups, groups = case.tile_k // case.group, -(-k // case.group)
    strips, k_tiles = -(-m // 16), -(-k // case.tile_k)
    kept_bytes = c.values.view(np.uint8).reshape(m, groups, -1 if m * groups else 1)
    is_nibbles = case.is_4_bit and case.pattern == "2:4"
    two_rows = is_nibbles or case.dtype.itemsize > 1
    steps = 4 if is_nibbles else 2
    words_of_lane = steps // 2 if two_rows else steps
    values = np.zeros((strips * k_tiles, 512 if is_nibbles else 1024), np.uint8)
    metadata = np.zeros((strips * k_tiles, 32 * words_of_lane), np.uint32)
    for row in range(16 * strips):
        for group in range(tile_groups * k_tiles):
            tile, g, r = row // 16 * k_tiles + group // tile_groups, group % tile_groups, row % 16
            nibble = 0xE
            if row < m and group < groups:
                nibble = c.metadata[row, group // 2] >> 4 * (group % 2) & 0xF
                kept = kept_bytes[row, group]
                if is_nibbles:
                    word = 4 * (4 * (r % 8) + g % 4) + g // 8
                    bit = 4 * (r // 8 + 2 * (g % 8 // 4))
                    nibbles = int(kept[0] & 0xF) << bit | int(kept[0] >> 4) << (bit + 16)
                    values[tile].view(np.uint32)[word] |= np.uint32(nibbles)
                else:
                    byte = g * kept.size + np.arange(kept.size)
                    w = byte // 4
                    lane, register = 4 * (r % 8) + w % 4, r // 8 + 2 * (w % 8 // 4)
                    values[tile, 512 * (w // 8) + 16 * lane + 4 * register + byte % 4] = kept
            if two_rows:
                step, lane = g // 8, 4 * (r % 8) + 2 * (g // 8 % 2) + g % 8 // 4
                word, bit = words_of_lane * lane + step // 2, 16 * (r // 8) + 4 * (g % 4)
            else:
                step, lane = g // 16, 4 * (r % 8) + 2 * (g % 16 // 8) + r // 8
                word, bit = 2 * lane + step, 4 * (g % 8)
            metadata[tile, word] |= np.uint32(int(nibble) << bit)
    return values, metadata


def packed_scales(scale: Array, tile_scales: int) -> Array:
    """[M, S] as [strip][scale][16]: docs/format.md, section 9."""
    m, count = scale.shape
    rows, columns = -(-m // 16) * 16, -(-count // tile_scales) * tile_scales
    padded = np.zeros((rows, columns), scale.dtype)
    padded[:m, :count] = scale
    # Row q + 8 * upper of a strip stands at 2 * q + upper.
    return padded.reshape(rows // 16, 2, 8, columns).transpose(0, 3, 2, 1)
