"""save and load: the project's own form from and to Sparse24Tensors and plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparse_gemm.arrays import kind_of
from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.formats.ours import (
    FORMAT_VERSION,
    OURS,
    VERSION_KEY,
    WEIGHTS_KEY,
    described,
)
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter, atomic_file
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import DENSE_DTYPES, FLOATS, Weight
from sparse_gemm.format.tensor import Sparse24Tensor

__all__ = ["load", "save", "weight_of"]


def save(path: str | Path, tensors: Mapping[str, Any]) -> None:
    """Writes parameters into one file of the project's own form, whole or not at all.

    Args:
        path: the file; one that is there already is replaced in one step.
        tensors: by the dense parameter's name ("layers.0.up_proj.weight"): Sparse24Tensors, and
            NumPy arrays or tensors of other libraries for whatever is dense.

    Raises:
        TypeError, ValueError: something cannot be stored.
    """
    metadata = {"format": "pt", VERSION_KEY: str(FORMAT_VERSION)}
    with (
        atomic_file(Path(path)) as folder,
        ModelWriter(
            folder, metadata=metadata, weights_key=WEIGHTS_KEY, max_shard_bytes=2**62
        ) as writer,
    ):
        for name, tensor in tensors.items():
            if not isinstance(tensor, Sparse24Tensor):
                writer.add({name: np.asarray(kind_of(tensor, name).to_numpy(tensor))})
                continue
            weight = weight_of(tensor)
            assert OURS.encode is not None
            parts = OURS.encode(weight)
            names = OURS.names(name, parts)
            stored = {names[part]: array for part, array in parts.items()}
            writer.add(stored, {name: described(weight)})


def load(path: str | Path, *, tile_k: int | None = None) -> dict[str, Sparse24Tensor | Array]:
    """Reads a checkpoint of any format that `inspect` knows: its weights and its other tensors.

    Args:
        path: a file or a Hugging Face folder.
        tile_k: for CUTLASS 3.x's tensor E: the writer's tile along K (64 or 128), if known.

    Returns:
        By parameter name: Sparse24Tensors of NumPy arrays, and plain NumPy arrays, which are
        views of the mapped file. A stack of matrices [E, M, K] is one Sparse24Tensor of E * M rows.

    Raises:
        CheckpointError: it is damaged.
        OSError: it cannot be read.
    """
    checkpoint = Checkpoint(Path(path), tile_k=tile_k)
    loaded: dict[str, Sparse24Tensor | Array] = {}
    found = list(checkpoint.find())
    for file_format, entry in found:
        decoded = checkpoint.decode(file_format, entry)
        loaded[entry.param] = decoded.sparse24() if isinstance(decoded, Weight) else decoded
    return loaded | {name: checkpoint.read(name) for name in checkpoint.outside(found)}


def weight_of(a: Sparse24Tensor) -> Weight:
    """A Sparse24Tensor's parts, as NumPy arrays, in the form that files hold."""
    values, metadata, scale = (
        None if part is None else np.asarray(kind_of(part, "a").to_numpy(part))
        for part in (a.values, a.metadata, a.scale)
    )
    assert values is not None
    assert metadata is not None
    packed = values.dtype == np.uint8
    dtype = (
        str(getattr(a.dtype, "name", a.dtype)).rpartition(".")[2] if packed else values.dtype.name
    )
    unscaled = dtype if dtype in DENSE_DTYPES else "int8"
    dense_dtype = unscaled if dtype in FLOATS or scale is None else "float16"
    if scale is not None and scale.dtype.name in ("float16", "bfloat16"):
        dense_dtype = scale.dtype.name
    return Weight(values, metadata, a.shape, a.pattern, dtype, dense_dtype, scale, a.group_size)
