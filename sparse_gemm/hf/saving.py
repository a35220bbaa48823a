"""What save_pretrained writes: the compressed weights and the header of our form."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor

from sparse_gemm.checkpoints.formats.ours import FORMAT_VERSION, VERSION_KEY, WEIGHTS_KEY
from sparse_gemm.checkpoints.safetensors_writer import CHECKSUMS_KEY
from sparse_gemm.hf.experts import ExpertStack, stacked
from sparse_gemm.nn import SparseLinear, compressed_state_dict

__all__ = ["saved_form"]

_PARTS = ("values", "metadata", "scale")


def saved_form(model: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict of our form, nothing of it dense, and its header (docs/file_form.md)."""
    state = compressed_state_dict(model)
    weights: dict[str, Any] = {}
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, ExpertStack):
            weights[name] = _described(module.layers[0], len(module))
            _stack(state, name, module)
        elif isinstance(module, SparseLinear) and not _is_in_stack(modules, name):
            weights[f"{name}.weight"] = _described(module)
    tied = model.all_tied_weights_keys
    header = {
        VERSION_KEY: str(FORMAT_VERSION),
        WEIGHTS_KEY: json.dumps(weights),
        CHECKSUMS_KEY: json.dumps({n: _checksum(t) for n, t in state.items() if n not in tied}),
    }
    return state, header


def _is_in_stack(modules: dict[str, Any], name: str) -> bool:
    return isinstance(modules.get(name.rpartition(".")[0]), ExpertStack)


def _stack(state: dict[str, Tensor], name: str, stack: ExpertStack) -> None:
    """One tensor for all experts in place of one for each."""
    for part in _PARTS:
        if f"{name}.0.{part}" in state:
            parts = [state.pop(f"{name}.{index}.{part}") for index in range(len(stack))]
            state[f"{name}.{part}"] = stacked(parts)


def _described(layer: SparseLinear, *stacked: int) -> dict[str, Any]:
    dtype = str(layer.dtype).removeprefix("torch.")
    return {
        "shape": [*stacked, layer.out_features, layer.in_features],
        "pattern": layer.pattern,
        "dtype": layer.quantize or dtype,
        "group_size": layer.group_size,
        "dense_dtype": dtype,
    }


def _checksum(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(raw.data).hexdigest()
