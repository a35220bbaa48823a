"""NumPy arrays to arrays that the device at hand can be given, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparse_gemm import _C
from sparse_gemm.arrays import NUMPY_DTYPES, kind_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Library:
    """An array library whose arrays the device can be given."""

    name: str
    put_bits: Callable[[Array], Any]  # copies an array of a dtype that every library has
    view_as: Callable[[Any, str], Any]  # the same bits as the dtype of that name

    @property
    def backend(self) -> str:
        """What calls need: a GPU is found by the arrays' device, the emulated one is not."""
        return "cuda" if _C.cuda_device(0).emulated else "auto"

    def put(self, x: Array) -> Any:
        """A copy of `x` on the device, in C order."""
        bits = {1: np.uint8, 2: np.int16, 4: np.int32}[x.dtype.itemsize]
        flat = np.ascontiguousarray(x).reshape(-1).view(bits)
        return self.view_as(self.put_bits(flat), x.dtype.name).reshape(x.shape)

    def get(self, x: Any) -> Array:
        """`x` as a NumPy array."""
        return kind_of(x, "x").to_numpy(x)


def _put_torch(bits: Array) -> Any:
    import torch

    copy = torch.from_numpy(bits).clone()
    return copy if _C.cuda_device(0).emulated else copy.cuda()


def _view_as_torch(x: Any, name: str) -> Any:
    import torch

    return x.view(getattr(torch, name))


def _put_cupy(bits: Array) -> Any:
    import cupy

    return cupy.asarray(bits)


_NUMPY_DTYPES = {"uint8": np.uint8} | {ours.name: dtype for ours, dtype in NUMPY_DTYPES.items()}


def _view_as_numpy(x: Any, name: str) -> Any:
    return x.view(_NUMPY_DTYPES[name])


LIBRARIES = {
    library.name: library
    for library in (
        Library("numpy", np.copy, _view_as_numpy),
        Library("torch", _put_torch, _view_as_torch),
        Library("cupy", _put_cupy, _view_as_numpy),
    )
}
