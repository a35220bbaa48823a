"""Writing a torch.save file with SparseSemiStructuredTensors. It needs torch, and all in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sparse_gemm.checkpoints.formats.torch_cutlass import encode_torch_cutlass
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["save_semi_structured"]


def save_semi_structured(path: Path, parameters: dict[str, Weight | Array]) -> dict[str, str]:
    """Writes a state dict of torch's own class, and of plain tensors.

    Returns:
        Parameter -> why it is dense in the file, for every weight that torch has no such form of.
    """
    import torch

    state: dict[str, Any] = {}
    dense: dict[str, str] = {}
    for name, value in parameters.items():
        if not isinstance(value, Weight):
            state[name] = _tensor(value)
            continue
        try:
            parts = encode_torch_cutlass(value)
        except ValueError as error:
            state[name], dense[name] = _tensor(value.to_dense()), str(error)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the class is a prototype
            state[name] = torch.sparse.SparseSemiStructuredTensorCUTLASS(  # type: ignore[no-untyped-call]
                torch.Size(value.shape),
                packed=_tensor(parts["packed"]),
                meta=_tensor(parts["meta"]),
                packed_t=None,
                meta_t=None,
                compressed_swizzled_bitmask=None,
            )
    torch.save(state, path)
    return dense


def _tensor(array: Array) -> Any:
    """A torch tensor of the array's type and shape, with memory of its own."""
    import torch

    raw = torch.from_numpy(np.array(array, order="C").reshape(-1).view(np.uint8))
    return raw.view(getattr(torch, array.dtype.name)).reshape(array.shape)
