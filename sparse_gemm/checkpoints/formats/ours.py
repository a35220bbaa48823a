"""The project's own form (docs/file_form.md): values, metadata and scale in canonical order.

A file's header tells each weight's shape, pattern and types under WEIGHTS_KEY. Files without it,
such as a compressed state dict that safetensors saved, are read by their tensors' shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.base import Context, Entry, Format, Spelling, find_spelled
from sparse_gemm.checkpoints.tensors import Array, TensorInfo, check_extents
from sparse_gemm.checkpoints.weight import DENSE_DTYPES, FLOATS, Weight, stored_extents
from sparse_gemm.format.patterns import SCALE_GROUP_SIZES

__all__ = ["FORMAT_VERSION", "OURS", "VERSION_KEY", "WEIGHTS_KEY", "check_version", "described"]

VERSION_KEY = "sparse_gemm.format"
WEIGHTS_KEY = "sparse_gemm.weights"
FORMAT_VERSION = 1
_SPELLING = Spelling({"values": ".values", "metadata": ".metadata"}, {"scale": ".scale"})
_STORED = {
    "float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "int8",
    "float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2", "int4": "uint8",
    "uint4": "uint8",
}  # fmt: skip
_BY_NAME = find_spelled(
    _SPELLING,
    accepts=lambda parts: parts["metadata"].code == "U8" and len(parts["values"].shape) > 1,
)


def check_version(metadata: Mapping[str, str]) -> None:
    """Raises CheckpointError if a file was written by a later version of this format."""
    version = metadata.get(VERSION_KEY, "1")
    if not version.isdecimal() or not 1 <= int(version[:9]) <= FORMAT_VERSION:
        raise CheckpointError(
            f"the file has format version {version!r:.40}; this sparse_gemm reads 1 to "
            f"{FORMAT_VERSION}: use a later one"
        )


def described(weight: Weight) -> dict[str, Any]:
    """What the header tells of a weight."""
    return {
        "shape": list(weight.shape),
        "pattern": weight.pattern,
        "dtype": weight.dtype,
        "group_size": weight.group_size,
        "dense_dtype": weight.dense_dtype,
    }


def _find(infos: Mapping[str, TensorInfo], context: Context) -> Iterator[Entry]:
    if not context.weights:
        yield from _BY_NAME(infos, context)
    for param in context.weights:
        names = OURS.names(param, ("values", "metadata", "scale"))
        if missing := [names[part] for part in ("values", "metadata") if names[part] not in infos]:
            raise CheckpointError(
                f"the header describes {param:.200}, but {missing[0]:.200} is missing"
            )
        yield Entry(param, {part: name for part, name in names.items() if name in infos})


def _guessed(
    values: Array, metadata: Array, scale: Array | None, context: Context
) -> dict[str, Any]:
    """What `described` would tell, from the shapes alone; K is taken to be whole groups."""
    columns, bytes_of_row = values.shape[-1], metadata.shape[-1]
    if values.dtype == np.uint8:
        is_4_of_8 = bytes_of_row == -(-columns // 4) != -(-columns // 2)
        pattern, dtype, k = "4:8" if is_4_of_8 else "2:4", "int4", 4 * columns
    else:
        is_1_of_2 = bytes_of_row == -(-columns // 2) != -(-columns // 4)
        pattern, dtype, k = "1:2" if is_1_of_2 else "2:4", values.dtype.name, 2 * columns
    group_size = None
    if scale is not None and scale.ndim == values.ndim:
        group_size = next((g for g in SCALE_GROUP_SIZES if scale.shape[-1] == -(-k // g)), None)
    unscaled = "int8" if dtype == "int4" else dtype
    scaled = dtype if dtype in FLOATS else context.float_dtype or "float16"
    return {
        "shape": [*values.shape[:-1], k], "pattern": pattern, "dtype": dtype,
        "group_size": group_size, "dense_dtype": unscaled if scale is None else scaled,
    }  # fmt: skip


def _decode(parts: dict[str, Array], entry: Entry, context: Context) -> Weight:
    values, metadata, scale = parts["values"], parts["metadata"], parts.get("scale")
    about = context.weights.get(entry.param) or _guessed(values, metadata, scale, context)
    shape, dtype, pattern = _checked(about)
    rows, k = math.prod(shape[:-1]), shape[-1]
    extents = stored_extents(rows, k, pattern, dtype)
    for name, part, found, stored in (
        ("values", values, extents[0], _STORED[dtype]),
        ("metadata", metadata, extents[1], "uint8"),
    ):
        expected = (*shape[:-1], found[1])
        if part.dtype.name != stored or part.shape != expected:
            raise CheckpointError(
                f"{name} is {part.dtype} {part.shape}; expected {stored} {expected} for {pattern} "
                f"{dtype} of shape {shape}"
            )
    weight = Weight(
        values.reshape(extents[0]), metadata.reshape(extents[1]), shape, pattern, dtype,
        about["dense_dtype"], _scale(scale, rows, k, about["group_size"]), about["group_size"],
    )  # fmt: skip
    weight.unscaled().widened().sparse24()  # checks every nibble
    return weight


def _checked(about: dict[str, Any]) -> tuple[tuple[int, ...], str, str]:
    shape = check_extents(about.get("shape"))
    if len(shape) not in (2, 3) or 0 in shape:
        raise CheckpointError(f"a weight has shape {shape}; expected a matrix, or a stack of them")
    pattern, dtype = about.get("pattern"), about.get("dtype")
    if pattern not in ("2:4", "1:2", "4:8") or not isinstance(dtype, str) or dtype not in _STORED:
        raise CheckpointError(f"a weight is {pattern!r:.40} of {dtype!r:.40}")
    if about.get("group_size", 0) not in (None, *SCALE_GROUP_SIZES):
        raise CheckpointError(f"group_size is {about.get('group_size')!r:.40}")
    if about.get("dense_dtype") not in DENSE_DTYPES:
        raise CheckpointError(f"dense_dtype is {about.get('dense_dtype')!r:.40}")
    return shape, dtype, pattern


def _scale(scale: Array | None, rows: int, k: int, group_size: int | None) -> Array | None:
    if scale is None:
        if group_size is not None:
            raise CheckpointError("the scales are missing")
        return None
    expected: tuple[tuple[int, ...], ...]
    types: tuple[str, ...]
    if group_size is None:
        expected, types = ((rows,), (1,)), ("float32",)
        flat = scale.reshape(-1)
    else:
        groups = -(-k // group_size)
        expected, types = ((rows, groups),) * 2, ("float16", "bfloat16")
        flat = scale.reshape(-1, scale.shape[-1]) if scale.ndim > 1 else scale
    if flat.shape not in expected or scale.dtype.name not in types:
        raise CheckpointError(
            f"scale is {scale.dtype} {scale.shape}; expected {' or '.join(types)} {expected[0]}"
        )
    return flat


def _encode(weight: Weight) -> dict[str, Array]:
    lead = weight.shape[:-1]
    parts = {
        "values": weight.values.reshape(*lead, -1),
        "metadata": weight.metadata.reshape(*lead, -1),
    }
    if weight.scale is not None:
        is_per_row = weight.scale.ndim == 1 and weight.scale.size == weight.rows
        is_grouped = weight.group_size is not None
        stacked = (*lead, -1) if is_grouped else lead if is_per_row else (1,)
        parts["scale"] = weight.scale.reshape(stacked)
    return parts


OURS = Format("sparse_gemm", _find, _decode, _encode, _SPELLING)
