"""Array kinds: NumPy, torch and CuPy arrays behind one small table of functions.

Everything that differs between array libraries is in `kinds`: how to ask an array for its
address, strides and device, and how to make a new one beside it. The rest of the package sees
`ArrayKind` alone. A new kind is one more function there that fills the table and one more row in
`_MAKERS`.

Other libraries' device arrays, which show themselves by `__cuda_array_interface__` or DLPack, are
taken as arrays of CuPy, or else of torch: their memory is used where it lies, and what comes out is
an array of that library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from sparse_gemm.arrays.kinds import Array, ArrayKind, cupy_kind, numpy_kind, torch_kind

__all__ = ["adopted", "kind_of", "require_same_kind"]

_DLPACK_CUDA = 2  # kDLCUDA, a device type of the DLPack protocol

# Module and name of an array type -> what fills the table for it.
_MAKERS: dict[tuple[str, str], Callable[[], ArrayKind]] = {
    ("numpy", "ndarray"): numpy_kind,
    ("torch", "Tensor"): torch_kind,
    ("cupy", "ndarray"): cupy_kind,
}
_kinds: dict[tuple[str, str], ArrayKind] = {}
_kind_of_type: dict[type, ArrayKind] = {}


def kind_of(x: Array, name: str) -> ArrayKind:
    """The kind of `x`, the argument called `name`.

    Raises:
        TypeError: `x` is not an array of a known kind; the message says what is.
    """
    kind = _kind_of_type.get(type(x))
    return _resolve_kind(x, name) if kind is None else kind


def _resolve_kind(x: Array, name: str) -> ArrayKind:
    array_type = type(x)
    if issubclass(array_type, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected a plain one, such as {name}.filled(0)")
    for base in array_type.__mro__:
        key = (base.__module__.partition(".")[0], base.__name__)
        if key in _MAKERS:
            return _kind_of_type.setdefault(array_type, _made_kind(key))
    foreign = _foreign_kind(x)
    if foreign is not None:
        return foreign  # not remembered: another library may be there at the next call
    raise TypeError(
        f"{name} is a {array_type.__module__}.{array_type.__qualname__}; expected a NumPy array, a "
        "torch tensor, a CuPy array, or a CUDA array of a library that is loaded beside CuPy or "
        "torch"
    )


def _made_kind(key: tuple[str, str]) -> ArrayKind:
    # setdefault: of two threads that make a table at once, both must use the same one.
    return _kinds.get(key) or _kinds.setdefault(key, _MAKERS[key]())


def _foreign_kind(x: Array) -> ArrayKind | None:
    """The kind whose `adopt` makes an array of CuPy or torch over the device memory of `x`."""
    by_dlpack = _is_on_cuda_by_dlpack(x)
    if not by_dlpack and not hasattr(x, "__cuda_array_interface__"):
        return None
    cupy, torch = sys.modules.get("cupy"), sys.modules.get("torch")
    if cupy is not None:
        adopt = cupy.from_dlpack if by_dlpack else cupy.asarray
        return replace(_made_kind(("cupy", "ndarray")), adopt=adopt)
    if torch is not None and torch.cuda.is_available():
        # DLPack names the device; without it torch.as_tensor has to be told, by the current one.
        adopt = torch.from_dlpack if by_dlpack else partial(torch.as_tensor, device="cuda")
        return replace(_made_kind(("torch", "Tensor")), adopt=adopt)
    return None


def _is_on_cuda_by_dlpack(x: Array) -> bool:
    device = getattr(x, "__dlpack_device__", None)
    return device is not None and device()[0] == _DLPACK_CUDA


def adopted(x: Array, name: str) -> Array:
    """`x`, or what is taken for it if it is another library's device array."""
    if x is None or type(x) in _kind_of_type:
        return x
    adopt = kind_of(x, name).adopt
    return x if adopt is None else adopt(x)


def require_same_kind(
    kind: ArrayKind, device: str, owner: str = "a", **arguments: Array | None
) -> None:
    """Checks that each given argument is of `kind` and on `device`, where `owner` is.

    Raises:
        TypeError: another array library's array.
        ValueError: another device.
    """
    for name, argument in arguments.items():
        if argument is None:
            continue
        other = kind_of(argument, name)
        if other is not kind:
            raise TypeError(f"{name} is a {other.name} array; expected {kind.name}, as {owner} is")
        if other.device(argument) != device:
            raise ValueError(
                f"{name} is on {other.device(argument)} and {owner} on {device}; expected both on "
                "one device"
            )
