"""A target's weight from a checkpoint: read, put together, and made into layers.

Weights are read one at a time into memory of their own; what was mapped of the file for it is given
back. So loading takes the model's compressed bytes, and the weight at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats import Decoded, Entry, Format
from sparse_gemm.checkpoints.tensors import Array, dtype_named
from sparse_gemm.checkpoints.weight import FLOATS, Weight, from_dense
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.hf.mapping import Target
from sparse_gemm.nn import SparseLinear

__all__ = ["Found", "LazyTensor", "dense_of", "layers_of", "read_target", "tensor_of"]

Found = Mapping[str, tuple[Format, Entry]]  # a checkpoint's dense parameters by name


class LazyTensor:
    """A tensor of a checkpoint that is read when it is indexed, as transformers does to load it."""

    def __init__(self, checkpoint: Checkpoint, name: str, found: Found) -> None:
        """Takes a plain tensor's name, or that of a parameter in `found`, to be made dense."""
        self._checkpoint, self._name, self._found = checkpoint, name, found

    def __getitem__(self, index: object) -> Tensor:
        """All of the tensor, whatever the index: transformers asks for [...] alone."""
        if self._name in self._found:
            array = dense_of(self._checkpoint.decode(*self._found[self._name]))
        else:
            array = self._checkpoint.read(self._name)
        tensor = tensor_of(array)
        self._checkpoint.release()
        return tensor


def dense_of(weight: Decoded) -> Array:
    """The weight's dense elements, scales applied."""
    return weight.to_dense() if isinstance(weight, Weight) else weight


def tensor_of(array: Array) -> Tensor:
    """The array as a tensor: its memory, unless that is a file's."""
    owned = np.ascontiguousarray(array)
    if not owned.flags.writeable:
        owned = owned.copy()
    raw = torch.from_numpy(owned.reshape(-1).view(np.uint8))
    return raw.view(getattr(torch, array.dtype.name)).reshape(array.shape)


def read_target(checkpoint: Checkpoint, target: Target, found: Found, shape: list[int]) -> Decoded:
    """The weight of `shape`, [M, K] or [E, M, K]: compressed, if its sources are, and are alike.

    Sources are parameters in `found`, or plain tensors.

    Raises:
        CheckpointError: they have not as many rows, or not as long ones.
    """
    joined: Decoded
    if len(target.sources) == 1:
        joined = _part(_read(checkpoint, target.sources[0], found), *target.part)
    else:
        compressed = _joined((_read(checkpoint, n, found) for n in target.sources), target, shape)
        dense = (_read(checkpoint, name, found) for name in target.sources)
        joined = _joined_dense(dense, target, shape) if compressed is None else compressed
    checkpoint.release()
    return _reshaped(joined, target, shape)


def _read(checkpoint: Checkpoint, name: str, found: Found) -> Decoded:
    return checkpoint.decode(*found[name]) if name in found else checkpoint.read(name)


def _reshaped(weight: Decoded, target: Target, shape: list[int]) -> Decoded:
    _check_extents(target, shape, int(np.prod(weight.shape[:-1])), weight.shape[-1])
    if isinstance(weight, Weight):
        return replace(weight, shape=tuple(shape))
    return weight.reshape(shape)


def _check_extents(target: Target, shape: list[int], rows: int, k: int) -> None:
    """Raises CheckpointError unless so many rows of k elements make a target of that shape."""
    if (rows, k) != (int(np.prod(shape[:-1])), shape[-1]):
        names = " and ".join(target.sources[:2])
        raise CheckpointError(
            f"{target.name:.200} has shape {tuple(shape)}, which {rows} rows of {k} elements "
            f"({names:.400}) do not make"
        )


def _part(weight: Decoded, index: int, count: int) -> Decoded:
    """The index-th of `count` equal parts of the rows."""
    rows = weight.shape[0]
    if count == 1 or rows % count:
        return weight
    kept = slice(rows // count * index, rows // count * (index + 1))
    if not isinstance(weight, Weight):
        return weight[kept]
    scale = weight.scale
    return replace(
        weight,
        values=weight.values[kept],
        metadata=weight.metadata[kept],
        shape=(rows // count, weight.k),
        scale=scale if scale is None or len(scale) == 1 else scale[kept],
    )


def _parts_of(weight: Weight) -> list[Array]:
    """Values, metadata and, if there is one, the scale, each a row for a row of the matrix."""
    if weight.scale is None:
        return [weight.values, weight.metadata]
    scale = weight.scale
    if weight.group_size is None:
        scale = np.broadcast_to(scale, (weight.rows,))
    return [weight.values, weight.metadata, scale]


def _kind(weight: Weight) -> tuple[object, ...]:
    return weight.k, weight.pattern, weight.dtype, weight.group_size, weight.scale is None


def _joined(sources: Iterator[Decoded], target: Target, shape: list[int]) -> Weight | None:
    """The sources below each other; None if one is dense, or of another kind than the first."""
    rows = int(np.prod(shape[:-1]))
    first: Weight | None = None
    parts: list[Array] = []
    begin = 0
    for source in sources:
        if not isinstance(source, Weight) or (first is not None and _kind(source) != _kind(first)):
            return None
        if first is None:
            first = source
            parts = [np.empty((rows, *part.shape[1:]), part.dtype) for part in _parts_of(source)]
        end = begin + source.rows
        if end <= rows:  # a source too many is counted, and told of below
            for whole, part in zip(parts, _parts_of(source), strict=True):
                whole[begin:end] = part
        begin = end
    assert first is not None
    _check_extents(target, shape, begin, first.k)
    scale = parts[2] if len(parts) > 2 else None
    return replace(first, values=parts[0], metadata=parts[1], shape=(rows, first.k), scale=scale)


def _joined_dense(sources: Iterator[Decoded], target: Target, shape: list[int]) -> Array:
    rows, k = int(np.prod(shape[:-1])), shape[-1]
    dense: Array | None = None
    begin = 0
    for source in sources:
        array = dense_of(source)
        if array.ndim != 2 or array.shape[1] != k:  # NumPy would repeat a single column
            raise CheckpointError(
                f"{target.name:.200} has shape {tuple(shape)}, of which {array.shape} "
                f"({target.sources[0]:.200} or one beside it) is no part"
            )
        if dense is None:
            dense = np.empty((rows, k), array.dtype)
        end = begin + len(array)
        if end <= rows:
            dense[begin:end] = array
        begin = end
    assert dense is not None
    _check_extents(target, shape, begin, k)
    return dense


def layers_of(
    weight: Weight, dtype: torch.dtype, device: torch.device
) -> tuple[list[SparseLinear], str]:
    """A layer that computes in `dtype` for each matrix of the weight; none, and why, if it cannot.

    The layers' weights lie one behind the other in memory.
    """
    fitting, reason = _fitting(weight, str(dtype).removeprefix("torch."))
    if fitting is None:
        return [], reason
    matrix = (fitting.shape[-2], fitting.k)
    count = fitting.rows // matrix[0]
    values, metadata, *scales = (
        tensor_of(part.reshape(count, matrix[0], *part.shape[1:])).to(device)
        for part in _parts_of(fitting)
    )
    layers = []
    for index in range(count):
        a = Sparse24Tensor(
            *(values[index], metadata[index], matrix),
            pattern=fitting.pattern,
            scale=scales[0][index] if scales else None,
            group_size=fitting.group_size,
            validate=False,
        )
        layers.append(SparseLinear.from_compressed(a, dtype=dtype))
    return layers, ""


def _fitting(weight: Weight, dtype: str) -> tuple[Weight | None, str]:
    """The weight as a layer that computes in `dtype` can hold it; None, and why, if it cannot."""
    if dtype not in FLOATS:
        return None, f"the model computes in {dtype}"
    if weight.dtype not in FLOATS:
        if weight.scale is None:
            return None, f"its {weight.dtype} elements have no scale"
        if weight.pattern != "2:4":
            return None, f"it is {weight.pattern} {weight.dtype}"
        return weight, ""
    if weight.scale is None and (weight.pattern == "2:4" or dtype == "float32"):
        return replace(weight, values=weight.values.astype(dtype_named(dtype), copy=False)), ""
    dense = weight.to_dense().astype(dtype_named(dtype)).reshape(weight.rows, weight.k)
    found = from_dense(dense)
    return None if found is None else replace(found, shape=weight.shape), "it is not 2:4"
