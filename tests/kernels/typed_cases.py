"""Every combination of operand types that CUDA kernels multiply, and problems of integer-valued
data, whose results are exact and so those of the reference bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from device_arrays import Array, Library

import sparse_gemm as sg
from sparse_gemm import _C, reference
from sparse_gemm.format.tensor import pack_nibbles

DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "int4": np.dtype(ml_dtypes.int4),
    "int32": np.dtype(np.int32),
}
# Integers up to these are exact in the type; their sums are in its accumulator for the K of tests.
_LARGEST = {
    "float32": 64,
    "float16": 8,
    "bfloat16": 8,
    "int8": 127,
    "float8_e4m3fn": 8,
    "float8_e5m2": 4,
    "int4": 7,
}
FLOATS = ("float32", "float16", "bfloat16")
INTEGERS = ("int32", "int8", *FLOATS)
FIRST_WITHOUT_4_BIT = (9, 0)


@dataclass(frozen=True)
class Types:
    """One combination: a row of csrc/core/multiply.h, as users write it."""

    pattern: str
    a: str
    b: str
    accumulate: str | None = None

    @property
    def is_integer(self) -> bool:
        """Whether sums are int32."""
        return self.b in ("int8", "int4")

    @property
    def is_weight_only(self) -> bool:
        """Whether A becomes B's type."""
        return self.a != self.b and self.b in ("float16", "bfloat16")

    @property
    def out_types(self) -> tuple[str, ...]:
        """What D may be; first the default."""
        if self.is_integer:
            return INTEGERS
        first = "bfloat16" if self.b.startswith("float8") else self.b
        return (first, *(name for name in FLOATS if name != first))


_FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
TYPES = {
    "f16": Types("2:4", "float16", "float16"),
    "bf16": Types("2:4", "bfloat16", "bfloat16"),
    "f16_acc_f16": Types("2:4", "float16", "float16", "float16"),
    "tf32": Types("1:2", "float32", "float32"),
    "s8": Types("2:4", "int8", "int8"),
    "s4": Types("4:8", "int4", "int4"),
    "s4_as_s8": Types("4:8", "int4", "int4"),
    "e4m3": Types("2:4", _FLOAT8[0], _FLOAT8[0]),
    "e4m3_e5m2": Types("2:4", _FLOAT8[0], _FLOAT8[1]),
    "e5m2_e4m3": Types("2:4", _FLOAT8[1], _FLOAT8[0]),
    "e5m2": Types("2:4", _FLOAT8[1], _FLOAT8[1]),
    "s8_f16": Types("2:4", "int8", "float16"),
    "s8_bf16": Types("2:4", "int8", "bfloat16"),
    "e4m3_f16": Types("2:4", _FLOAT8[0], "float16"),
    "e4m3_bf16": Types("2:4", _FLOAT8[0], "bfloat16"),
    "e5m2_f16": Types("2:4", _FLOAT8[1], "float16"),
    "e5m2_bf16": Types("2:4", _FLOAT8[1], "bfloat16"),
    "s4_f16": Types("2:4", "int4", "float16"),
    "s4_bf16": Types("2:4", "int4", "bfloat16"),
}


def has_float8(device: _C.CudaProps) -> bool:
    """Whether its mma.sp multiplies fp8."""
    return device.capability == (8, 9) or device.capability >= (12, 0)


def names_on_this_device() -> list[str]:
    """Those that the device at hand multiplies."""
    if _C.cuda_device_count() == 0:
        return list(TYPES)
    device = _C.cuda_device(0)
    without = set() if has_float8(device) else {"e4m3", "e5m2", "e4m3_e5m2", "e5m2_e4m3"}
    without.add("s4" if device.capability >= FIRST_WITHOUT_4_BIT else "s4_as_s8")
    return [name for name in TYPES if name not in without]


def rows_on_this_device() -> list[dict[str, Any]]:
    """The kernel table's rows that the device at hand can run."""
    if _C.cuda_device_count() == 0:
        return []
    device, names = _C.cuda_device(0), names_on_this_device()
    return [
        row
        for row in _C.cuda_kernels()
        if row["multiply"] in names
        and row["shared_bytes"] <= device.shared_memory_per_block
        and device.capability < row["end_capability"]
    ]


def integers(rng: np.random.Generator, types: Types, operand: str, *shape: int) -> Array:
    """Integers of the type of `operand`, "a" or "b"."""
    name = getattr(types, operand)
    largest = 2 if types.accumulate == "float16" else _LARGEST[name]
    if types.is_weight_only:  # the other operand may be large
        largest = min(largest, 16)
    return rng.integers(-largest, largest + 1, shape).astype(DTYPES[name])


def sparse(rng: np.random.Generator, types: Types, m: int, k: int) -> Array:
    """A matrix [M, K] of the pattern, whose groups keep all numbers and positions of non-zeros."""
    w = integers(rng, types, "a", m, k)
    places, kept, place = {"2:4": (4, 2, 1), "1:2": (2, 1, 1), "4:8": (4, 2, 2)}[types.pattern]
    groups = -(-k // (places * place))
    order = rng.random((m, groups, places)).argsort(axis=-1)
    mask = np.repeat(order < kept, place, axis=-1).reshape(m, groups * places * place)[:, :k]
    return np.where(mask, w, np.zeros((), w.dtype)).astype(w.dtype)


def put_matrix(
    library: Library, c: Any, scale: Array | None = None, group_size: int | None = None
) -> sg.Sparse24Tensor:
    """The reference's compressed matrix, on the device."""
    return sg.Sparse24Tensor(
        library.put(c.values),
        library.put(c.metadata),
        c.shape,
        pattern=c.pattern,
        dtype="int4" if c.dtype == DTYPES["int4"] else None,
        scale=None if scale is None else library.put(scale),
        group_size=group_size,
        backend=library.backend,
    )


def put_dense(library: Library, x: Array) -> Any:
    """`x` [..., K] on the device; int4 as what libraries without that type hold."""
    if x.dtype != DTYPES["int4"]:
        return library.put(x)
    packed = pack_nibbles(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]))
    return library.put(packed.reshape(*x.shape[:-1], packed.shape[1]))


def widened(x: Array) -> Array:
    """`x` for the reference, which has int4 as int8."""
    return x.astype(np.int8) if x.dtype == DTYPES["int4"] else x


def scaled(c: Any, scale: Array, group_size: int, dense: str) -> Array:
    """The dense matrix that scales of groups make of an A: both roundings are to B's type."""
    k = c.shape[1]
    columns = scale.astype(DTYPES[dense]).astype(np.float32).repeat(group_size, axis=1)[:, :k]
    return (reference.decompress(c).astype(np.float32) * columns).astype(DTYPES[dense])


def same(y: Array, expected: Array) -> bool:
    """Whether they have one type and the same numbers."""
    return y.dtype == expected.dtype and np.array_equal(
        y.astype(np.float64), expected.astype(np.float64), equal_nan=True
    )
