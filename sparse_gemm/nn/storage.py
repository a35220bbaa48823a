"""A layer's compressed weight: its buffers, canonical or packed, and a Sparse24Tensor over them."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from sparse_gemm.arrays.devices import storage_backend
from sparse_gemm.arrays.torch_state import needs_dispatcher
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.torch_glue import operators
from sparse_gemm.torch_glue.layer_format import is_packed

__all__ = ["CompressedWeight"]


class CompressedWeight(torch.nn.Module):
    """A module with buffers `values`, `metadata` and `scale`, packed while a CUDA kernel is to read
    them. `scale` is None, or the factor of each row, or of each `group_size` elements of one.

    They leave a device, change their dtype, are saved and pickled in canonical order alone.
    """

    in_features: int
    out_features: int
    pattern: str
    backend: str
    group_size: int | None
    values: Tensor
    metadata: Tensor
    scale: Tensor | None

    def __init__(self) -> None:
        """Leaves attributes and buffers to the layer."""
        super().__init__()
        self._view: Sparse24Tensor | None = None
        # The type of the values, and bytes of values and metadata, when _view was made.
        self._seen: tuple[torch.dtype, int, int] | None = None

    @property
    def compressed(self) -> Sparse24Tensor:
        """The weight as a Sparse24Tensor over this layer's own buffers (no copy)."""
        buffers = self._buffers
        values, metadata, scale = buffers["values"], buffers["metadata"], buffers["scale"]
        assert values is not None
        assert metadata is not None
        view = self._view
        if (
            view is None
            or view._values is not values
            or view._metadata is not metadata
            or _held_scale(view) is not scale
            or self._seen != (values.dtype, values.nbytes, metadata.nbytes)
        ):
            # Anyone may have replaced a buffer (to_empty, assignment, .data): look before use.
            view = self._viewed(values, metadata, scale)
            self._hold(view)
        return view

    def _viewed(self, values: Tensor, metadata: Tensor, scale: Tensor | None) -> Sparse24Tensor:
        shape = (self.out_features, self.in_features)
        size = self.group_size
        row_scale, group_scales = (scale, None) if size is None else (None, scale)
        if is_packed(values):
            return operators.operand(
                *(values, metadata, *shape, self.pattern),
                group_scale=group_scales,
                group_size=size,
                row_scale=row_scale,
            )
        if needs_dispatcher(values, metadata):
            return Sparse24Tensor._of_parts(
                *(values, metadata, shape, self.pattern),
                scale=row_scale,
                group_scales=group_scales,
                group_size=size,
            )
        return Sparse24Tensor(
            *(values, metadata, shape),
            pattern=self.pattern,
            scale=scale,
            group_size=size,
            backend=storage_backend(self.backend),
        )

    def _hold(self, a: Sparse24Tensor) -> None:
        """Makes the parts of `a` the buffers, and `a` the view of them."""
        values, metadata = a._values, a._metadata
        self._buffers.update(values=values, metadata=metadata, scale=_held_scale(a))
        # Neither is a parameter, buffer or module: no need of Module.__setattr__.
        self.__dict__["_view"] = a
        self.__dict__["_seen"] = (values.dtype, values.nbytes, metadata.nbytes)

    def _store_for_backend(self) -> None:
        """Has the buffers packed if a CUDA device that can use them so is to work on them."""
        values, metadata = self.values, self.metadata
        if is_packed(values) or needs_dispatcher(values, metadata):
            return
        if values.is_cuda or storage_backend(self.backend) == "cuda":
            self.__dict__["_view"] = None
            # After to_empty there is no weight yet: a call without one says so.
            with contextlib.suppress(SparsityError):
                _ = self.compressed

    def _canonical_buffers(self) -> dict[str, Tensor | None]:
        """The buffers with the weight in canonical order: what can go anywhere."""
        if not is_packed(self.values):
            return self._buffers
        a = self.compressed
        values, metadata = a._canonical()
        return {**self._buffers, "values": values, "metadata": metadata, "scale": a.scale}

    @property
    def nbytes(self) -> int:
        """Bytes of the compressed weight: values, metadata and scale; the bias is not counted."""
        scale_bytes = 0 if self.scale is None else self.scale.nbytes
        return self.values.nbytes + self.metadata.nbytes + scale_bytes

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: canonical buffers, and no view, which is made on demand."""
        return {**self.__dict__, "_buffers": {**self._canonical_buffers()}, "_view": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what __getstate__ gave."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._store_for_backend()


def _held_scale(a: Sparse24Tensor) -> Tensor | None:
    """The scales of `a` as they are stored."""
    scale: Tensor | None = a._row_scale if a.group_size is None else a._group_scales
    return scale
