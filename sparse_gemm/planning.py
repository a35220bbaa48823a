"""plan: what would run for a call, and why, without running it."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from sparse_gemm import _C
from sparse_gemm.arrays import available_threads
from sparse_gemm.tensor import Sparse24Tensor

# Beyond any memory, and far enough from 2^63 for counts of operations.
_MAX_TOKENS = 2**40


@dataclass(frozen=True)
class Plan:
    """The decision how to run one multiplication D[M,N] = A[M,K] @ B[K,N].

    Attributes:
        backend: "cpu".
        kernel: the row of the config table that was chosen.
        why: why that row exists.
        isa: the instruction set in use.
        m, n, k: out_features, tokens and in_features.
        tile_m, tile_n, k_tile: rows of a task; tokens packed at a time; K of one cache block.
        num_tasks, num_threads: tasks for each tile_n tokens, and the threads that share them.
        workspace_bytes: for the packed activations.
        a_bytes: values and metadata, read once for each tile_n tokens.
        multiply_adds: with kept weights alone: half of the dense number.
    """

    backend: str
    kernel: str
    why: str
    isa: str
    m: int
    n: int
    k: int
    tile_m: int
    tile_n: int
    k_tile: int
    num_tasks: int
    num_threads: int
    workspace_bytes: int
    a_bytes: int
    multiply_adds: int

    def __str__(self) -> str:
        """A few lines to read."""
        passes = -(-self.n // self.tile_n) if self.tile_n else 0
        return "\n".join(
            (
                f"D[{self.m},{self.n}] = A[{self.m},{self.k}] @ B[{self.k},{self.n}] "
                f"on {self.backend} ({self.isa})",
                f"  kernel     {self.kernel}: {self.why}",
                f"  tiles      {self.tile_m} rows x {self.tile_n} tokens, K by {self.k_tile}",
                f"  tasks      {passes} x {self.num_tasks}, on {self.num_threads} thread(s)",
                f"  reads      {self.a_bytes / 1e6:.2f} MB of values and metadata, {passes} x",
                f"  computes   {self.multiply_adds / 1e6:.2f} M multiply-adds (dense: twice that)",
                f"  workspace  {self.workspace_bytes / 1e6:.2f} MB",
            )
        )


def plan(a: Sparse24Tensor, tokens: int = 1, *, out_dtype: Any = None) -> Plan:
    """What `linear` with `tokens` tokens, or `matmul` with N = `tokens`, would run for `a`.

    Args:
        a: the compressed matrix [M, K].
        tokens: N, at least 0.
        out_dtype: as for `linear`; default `a.dtype` (int8: int32).

    Raises:
        UnsupportedError: no backend at hand multiplies with `a`; the message says what does.
        TypeError, ValueError: `tokens` is no such number, or `a` no compressed matrix.
    """
    if type(a) is not Sparse24Tensor:
        raise TypeError(f"a is a {type(a).__name__}; expected a Sparse24Tensor")
    try:
        tokens = operator.index(tokens)
    except TypeError:
        raise TypeError(f"tokens is {tokens!r}; expected a whole number") from None
    if not 0 <= tokens <= _MAX_TOKENS:
        raise ValueError(f"tokens is {tokens}; expected 0 to {_MAX_TOKENS}")
    m, k = a.shape
    ab_dtype = a._dtype_code
    if out_dtype is not None:
        d_dtype = a._kind.dtypes[a._kind.native(out_dtype, "out_dtype")]
    else:
        d_dtype = _C.DType.int32 if ab_dtype == _C.DType.int8 else ab_dtype
    isa = _C.current_isa()
    found = _C.plan(m, tokens, k, ab_dtype, a._pattern_code, d_dtype, isa, available_threads())
    return Plan(
        backend="cpu",
        kernel=found.kernel,
        why=found.why,
        isa=found.isa,
        m=m,
        n=tokens,
        k=k,
        tile_m=found.tile_m,
        tile_n=found.tile_n,
        k_tile=found.k_tile,
        num_tasks=found.num_tasks,
        num_threads=found.num_threads,
        workspace_bytes=found.workspace_bytes,
        a_bytes=found.a_bytes,
        multiply_adds=found.multiply_adds,
    )
