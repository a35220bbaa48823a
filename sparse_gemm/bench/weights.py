"""Random 2:4 weights and activations, dense and compressed, and what their product must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import sparse_gemm as sg
from sparse_gemm.bench.devices import Device
from sparse_gemm.bench.operands import GROUP_SIZE, Operands

# Of a result that many rows and columns are compared with float64.
COMPARED_ROWS, COMPARED_TOKENS = 256, 64
_MOST_COPIES = 64  # a weight that stays in a cache in spite of them would in a model, too
_TOLERATED_EPS = 2.0  # rounding alone gives about 0.3, and two roundings below 1
_ACCUMULATION_ERROR = 1e-5  # of float32 sums this long
_WEIGHT_SEED = 0  # activations have the number of tokens
_INT8_LEVELS, _INT4_LEVELS = 127, 7
_TF32_EPS = 2.0**-10
_WIDEST_NORMAL = 4.0  # of N(0, 1), as integers: few are clipped


class WrongResultError(RuntimeError):
    """What was to be timed computes something else."""


class Weights:
    """One weight [m, k] of `operands`, 2:4, in as many copies as the device wants.

    A call that takes the copy of its round reads weights that were last touched long ago.
    """

    def __init__(self, device: Device, operands: Operands, m: int, k: int) -> None:
        """Draws, prunes, compresses and copies."""
        self.device, self.operands, self.m, self.k = device, operands, m, k
        self.unpruned = self.draw(m, operands.weight, _WEIGHT_SEED)
        pruned = sg.prune(self.unpruned, pattern=operands.pattern, backend=device.backend)
        self.dense = self._copies(pruned)
        self._converted = {operands.weight: self.dense}
        self.compressed = [self._compressed(w) for w in self.dense]
        ones = device.empty((m,), torch.float32).fill_(1)
        self.scales: dict[str, Any] = (
            {"x_scale": ones[:1], "w_scale": ones} if self.has_scales else {}
        )

    @property
    def has_scales(self) -> bool:
        """Whether a call passes a scale for each row; int4 has its own."""
        return self.operands.weight is torch.int8 and not self.operands.is_int4

    def draw(self, rows: int, dtype: torch.dtype, seed: int) -> Tensor:
        """Random [rows, k]: N(0, 1), or as integers that keep its shape."""
        x = self.device.normal((rows, self.k), seed)
        if dtype is torch.int8:
            levels = _INT4_LEVELS if self.operands.is_int4 else _INT8_LEVELS
            x = (x * (levels / _WIDEST_NORMAL)).round().clamp(-levels, levels)
        return x.to(dtype)

    def converted(self, dtype: torch.dtype) -> list[Tensor]:
        """The dense copies as another type, for peers that multiply it; as many bytes at least."""
        if dtype not in self._converted:
            self._converted[dtype] = self._copies(self.dense[0].to(dtype))
        return self._converted[dtype]

    def _copies(self, w: Tensor) -> list[Tensor]:
        count = min(_MOST_COPIES, max(1, -(-self.device.rotated_bytes // w.nbytes)))
        return [w, *(w.clone() for _ in range(count - 1))]

    def _compressed(self, w: Tensor) -> sg.Sparse24Tensor:
        backend = self.device.backend
        a = sg.compress(w, pattern=self.operands.pattern, backend=backend)
        if not self.operands.is_int4:
            return a
        values, metadata = a.values, a.metadata
        nibbles = (values[:, 0::2] & 15) | (values[:, 1::2] << 4)
        extent = (self.m, math.ceil(self.k / GROUP_SIZE))
        return sg.Sparse24Tensor(
            nibbles.contiguous().view(torch.uint8),
            metadata,
            (self.m, self.k),
            dtype="int4",
            scale=self.device.empty(extent, self.operands.x).fill_(1),
            group_size=GROUP_SIZE,
            backend=backend,
        )


class Activations:
    """x [tokens, k] of a weight, and a part of x @ w.T in float64."""

    def __init__(self, weights: Weights, tokens: int) -> None:
        """Draws, and multiplies the part."""
        self.weights, self.tokens = weights, tokens
        self.x = weights.draw(tokens, weights.operands.x, tokens)
        rows = _spread_out(weights.m, COMPARED_ROWS)
        columns = _spread_out(tokens, COMPARED_TOKENS)
        self._at = (torch.tensor(columns)[:, None], torch.tensor(rows))
        w = weights.dense[0][rows].double()
        self._expected = self.x[columns].double() @ w.t()

    def error(self, y: Tensor, eps: float) -> float:
        """The relative error of a result whose operands and result are rounded to `eps`.

        Raises:
            WrongResultError: it is too large, or the result has another shape.
        """
        if y.shape != (self.tokens, self.weights.m):
            raise WrongResultError(f"shape {tuple(y.shape)}")
        columns, rows = (index.to(y.device) for index in self._at)
        part = y[columns, rows].double()
        error = float((part - self._expected).norm() / self._expected.norm().clamp(min=1e-30))
        limit = _TOLERATED_EPS * eps + _ACCUMULATION_ERROR
        if not error <= limit:
            raise WrongResultError(f"relative error {error:.2e}, tolerated {limit:.2e}")
        return error


def eps_of(*dtypes: torch.dtype) -> float:
    """The coarsest rounding of some types; integers do not round."""
    return max((torch.finfo(t).eps for t in dtypes if t.is_floating_point), default=0.0)


def rounding_of(operands: Operands) -> float:
    """The coarsest rounding in a product: of the result, or of float32 operands to tf32."""
    return max(eps_of(operands.y), _TF32_EPS if operands.name == "tf32" else 0.0)


def _spread_out(extent: int, wanted: int) -> list[int]:
    """At most `wanted` indices below `extent`, the first and the last among them."""
    if extent <= wanted:
        return list(range(extent))
    return [round(i * (extent - 1) / (wanted - 1)) for i in range(wanted)]


def rotate(copies: list[Tensor]) -> Callable[[int], Tensor]:
    """The copy of a round."""
    return lambda round_idx: copies[round_idx % len(copies)]
