"""State dicts of SparseLinear: torch.nn.Linear's key `weight`, or `values` and `metadata`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparse_gemm._layer_format import LAYER_DTYPES, describe_violation, stored_shapes
from sparse_gemm.compression import compress
from sparse_gemm.errors import SparsityError
from sparse_gemm.tensor import Sparse24Tensor

__all__ = ["compressed_state_dict", "read_layer", "save_compressed"]

# Tells the layers which keys are wanted: torch's state_dict() takes nothing that it would pass on.
save_compressed: ContextVar[bool] = ContextVar("sparse_gemm_save_compressed", default=False)

_COMPRESSED_NAMES = ("values", "metadata")
WEIGHT_NAMES = ("weight", *_COMPRESSED_NAMES)


def compressed_state_dict(model: torch.nn.Module) -> dict[str, Any]:
    """model.state_dict(), with `values` and `metadata` in place of every SparseLinear's `weight`.

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
    weight is stored for."""

    out_features: int
    in_features: int
    pattern: str
    values: Tensor
    bias: Tensor | None
    assign: bool
    backend: str


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
        if tuple(found) == _COMPRESSED_NAMES:
            return self._read_compressed()
        if found:
            keys = " and ".join(self.prefix + name for name in found)
            self.errors.append(
                f"of this weight the state dict holds {keys}; expected {self.prefix}weight, or "
                f"{self.prefix}values together with {self.prefix}metadata"
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
        return tensor.to(device=device, dtype=target.values.dtype).contiguous()

    def _read_dense(self) -> Sparse24Tensor | None:
        target = self.target
        weight = self.read_floats("weight", (target.out_features, target.in_features))
        if weight is None:
            return None
        key = self.prefix + "weight"
        try:
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
        values_shape, metadata_shape = stored_shapes(*extents, target.pattern)
        values = self.read_floats("values", values_shape)
        metadata = self.read_tensor("metadata", metadata_shape)
        if values is None or metadata is None:
            return None
        key = self.prefix + "metadata"
        metadata = metadata.to(values.device).contiguous()
        try:
            return Sparse24Tensor(
                values, metadata, extents, pattern=target.pattern, backend=target.backend
            )
        except (TypeError, ValueError) as error:
            self.errors.append(f"{key} does not fit {self.prefix}values: {error}")
        return None
