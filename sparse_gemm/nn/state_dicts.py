"""State dicts of SparseLinear: torch.nn.Linear's key `weight`, or `values` and `metadata`, and
`scale` where the weight is quantised."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparse_gemm._C import DType
from sparse_gemm.arrays import kind_of
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.compression import compress
from sparse_gemm.format.quantization import quantize
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.torch_glue.layer_format import (
    LAYER_DTYPES,
    describe_violation,
    stored_scales_shape,
    stored_shapes,
)

__all__ = ["compressed_state_dict", "read_layer", "save_compressed"]

# Tells the layers which keys are wanted: torch's state_dict() takes nothing that it would pass on.
save_compressed: ContextVar[bool] = ContextVar("sparse_gemm_save_compressed", default=False)

WEIGHT_NAMES = ("weight", "values", "metadata", "scale")


def compressed_state_dict(model: torch.nn.Module) -> dict[str, Any]:
    """model.state_dict(), with `values` and `metadata` (and `scale` if it is quantised) in place of
    every SparseLinear's `weight`.

    No dense weight is made and nothing is copied: the tensors are the model's own. It is flat, so
    that safetensors.torch.save_file can write it. A tensor that the model holds under two names is
    in it under both, as in state_dict(); safetensors wants one of the two cloned or left out.
    """
    token = save_compressed.set(True)
    try:
        return model.state_dict()
    finally:
        save_compressed.reset(token)


class Target(NamedTuple):
    """The layer that a state dict is read for; `assign` is load_state_dict's, `backend` what its
    weight is stored for, `dtype` what the layer computes in."""

    out_features: int
    in_features: int
    pattern: str
    values: Tensor
    bias: Tensor | None
    assign: bool
    backend: str
    scale: Tensor | None
    group_size: int | None
    dtype: torch.dtype

    @property
    def is_quantized(self) -> bool:
        """Whether the weight is of another type than the layer computes in."""
        return self.scale is not None

    @property
    def compressed_names(self) -> tuple[str, ...]:
        """The keys of the compressed weight."""
        return WEIGHT_NAMES[1:] if self.is_quantized else WEIGHT_NAMES[1:3]

    @property
    def weight_type(self) -> DType:
        """The type of the compressed weight's elements."""
        if self.values.dtype is torch.uint8:
            return DType.int4
        return kind_of(self.values, "values").dtypes[self.values.dtype]


def read_layer(
    target: Target, state_dict: dict[str, Any], prefix: str
) -> tuple[Sparse24Tensor | None, list[str]]:
    """Reads one layer's weight from a state dict and judges its bias; changes nothing.

    Returns:
        The weight, compressed, or None if the state dict has none or an unfit one; and what is
        wrong, one sentence a fault, naming the key. Without faults all may be copied.
    """
    reader = _Reader(target, state_dict, prefix)
    incoming = reader.read_weight()
    if target.bias is not None and prefix + "bias" in state_dict:
        reader.read_floats("bias", tuple(target.bias.shape))
    return incoming, reader.errors


class _Reader:
    def __init__(self, target: Target, state_dict: dict[str, Any], prefix: str) -> None:
        self.target = target
        self.state_dict = state_dict
        self.prefix = prefix
        self.errors: list[str] = []

    def read_weight(self) -> Sparse24Tensor | None:
        found = [name for name in WEIGHT_NAMES if self.prefix + name in self.state_dict]
        if found == ["weight"]:
            return self._read_dense()
        names = self.target.compressed_names
        if tuple(found) == names:
            return self._read_compressed()
        if found:
            keys = " and ".join(self.prefix + name for name in found)
            others = " and ".join(self.prefix + name for name in names[1:])
            self.errors.append(
                f"of this weight the state dict holds {keys}; expected {self.prefix}weight, or "
                f"{self.prefix}values together with {others}"
            )
        return None

    def read_tensor(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        key = self.prefix + name
        tensor = self.state_dict[key]
        if not isinstance(tensor, Tensor):
            self.errors.append(f"{key} is a {type(tensor).__name__}; expected a torch.Tensor")
            return None
        if tuple(tensor.shape) != shape:
            self.errors.append(
                f"size mismatch for {key}: found shape {tuple(tensor.shape)} in the state dict, "
                f"expected {shape}"
            )
            return None
        if tensor.layout is not torch.strided or (tensor.is_meta and not self.target.assign):
            kind = "on the meta device" if tensor.is_meta else f"of layout {tensor.layout}"
            self.errors.append(f"{key} is {kind}; expected a dense tensor that holds data")
            return None
        return tensor.detach()

    def read_floats(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """A tensor in the type in which it will be stored: the layer's own, unless assigned."""
        tensor = self.read_tensor(name, shape)
        if tensor is None:
            return None
        target = self.target
        accepted = LAYER_DTYPES if target.assign else (*LAYER_DTYPES, torch.float64)
        if tensor.dtype not in accepted:
            names = ", ".join(str(dtype) for dtype in accepted)
            key = self.prefix + name
            self.errors.append(f"{key} has dtype {tensor.dtype}; expected one of {names}")
            return None
        if target.assign:
            return tensor.contiguous()
        # Nothing can be moved to the meta device and still be judged: leave it where it is.
        device = tensor.device if target.values.is_meta else target.values.device
        return tensor.to(device=device, dtype=target.dtype).contiguous()

    def read_exactly(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
        """A tensor that must have a type already: part of a quantised weight."""
        tensor = self.read_tensor(name, shape)
        if tensor is None:
            return None
        if tensor.dtype is not dtype:
            key = self.prefix + name
            self.errors.append(
                f"{key} has dtype {tensor.dtype}; expected {dtype}, as the layer has"
            )
            return None
        values = self.target.values
        device = tensor.device if values.is_meta or self.target.assign else values.device
        return tensor.to(device).contiguous()

    def _read_dense(self) -> Sparse24Tensor | None:
        target = self.target
        weight = self.read_floats("weight", (target.out_features, target.in_features))
        if weight is None:
            return None
        key = self.prefix + "weight"
        try:
            if target.is_quantized:
                name, size = target.weight_type.name, target.group_size
                return quantize(weight, name, group_size=size, backend=target.backend)
            return compress(weight, pattern=target.pattern, backend=target.backend)
        except SparsityError as error:
            self.errors.append(
                f"{key} {describe_violation(error, target.pattern)}: "
                "prune it first (sparse_gemm.prune)"
            )
        except (TypeError, ValueError, NotImplementedError) as error:
            self.errors.append(f"{key} cannot be compressed: {error}")
        return None

    def _read_compressed(self) -> Sparse24Tensor | None:
        target = self.target
        extents = (target.out_features, target.in_features)
        matrix = (*extents, target.pattern, target.weight_type)
        values_shape, metadata_shape = stored_shapes(*matrix)
        if target.is_quantized:
            values = self.read_exactly("values", values_shape, target.values.dtype)
        else:
            values = self.read_floats("values", values_shape)
        metadata = self.read_tensor("metadata", metadata_shape)
        scale = self._read_scale(matrix)
        if values is None or metadata is None or (scale is None and target.is_quantized):
            return None
        key = self.prefix + "metadata"
        metadata = metadata.to(values.device).contiguous()
        try:
            return Sparse24Tensor(
                *(values, metadata, extents),
                pattern=target.pattern,
                scale=scale,
                group_size=target.group_size,
                backend=target.backend,
            )
        except (TypeError, ValueError) as error:
            self.errors.append(f"{key} does not fit {self.prefix}values: {error}")
        return None

    def _read_scale(self, matrix: tuple[int, int, str, DType]) -> Tensor | None:
        held, size = self.target.scale, self.target.group_size
        if held is None:
            return None
        shape = (matrix[0],) if size is None else stored_scales_shape(*matrix, size)
        return self.read_exactly("scale", shape, held.dtype)
