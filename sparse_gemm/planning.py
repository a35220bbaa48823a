"""plan: what would run for a call, and why, without running it."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from sparse_gemm import _C, device_format
from sparse_gemm.arrays import available_threads
from sparse_gemm.devices import CPU, device_for
from sparse_gemm.tensor import Sparse24Tensor

# Beyond any memory, and far enough from 2^63 for counts of operations.
_MAX_TOKENS = 2**40


@dataclass(frozen=True)
class Plan:
    """The decision how to run one multiplication D[M,N] = A[M,K] @ B[K,N].

    Attributes:
        backend: "cpu" or "cuda"; what else there is to say depends on it.
        kernel: the row of the config table that was chosen.
        why: why that row exists.
        device: the instruction set in use, or the GPU's name.
        m, n, k: out_features, tokens and in_features.
        tile_m, tile_n, k_tile: rows of a task or CTA; tokens that it takes at a time; K of one
            cache block or stage.
        num_threads: the threads that share the tasks; of one CTA.
        a_bytes: values and metadata.
        multiply_adds: with kept weights alone: half of the dense number.
    """

    backend: str
    kernel: str
    why: str
    device: str
    m: int
    n: int
    k: int
    tile_m: int
    tile_n: int
    k_tile: int
    num_threads: int
    a_bytes: int
    multiply_adds: int

    def __str__(self) -> str:
        """A few lines to read."""
        passes = -(-self.n // self.tile_n) if self.tile_n else 0
        megabytes = f"{self.a_bytes / 1e6:.2f} MB of values and metadata"
        return "\n".join(
            (
                f"D[{self.m},{self.n}] = A[{self.m},{self.k}] @ B[{self.k},{self.n}] "
                f"on {self.backend} ({self.device})",
                f"  kernel     {self.kernel}: {self.why}",
                f"  tiles      {self.tile_m} rows x {self.tile_n} tokens, K by {self.k_tile}",
                *self._lines(passes),
                f"  reads      {megabytes}, {passes} x",
                f"  computes   {self.multiply_adds / 1e6:.2f} M multiply-adds (dense: twice that)",
            )
        )

    def _lines(self, passes: int) -> tuple[str, ...]:
        """What is the backend's own; `passes`: how often the tokens need a tile of their own."""
        return ()


@dataclass(frozen=True)
class CpuPlan(Plan):
    """A plan of the CPU backend.

    Attributes:
        num_tasks: tasks for each tile_n tokens.
        workspace_bytes: for the packed activations.
    """

    num_tasks: int
    workspace_bytes: int

    def _lines(self, passes: int) -> tuple[str, ...]:
        return (
            f"  tasks      {passes} x {self.num_tasks}, on {self.num_threads} thread(s)",
            f"  workspace  {self.workspace_bytes / 1e6:.2f} MB",
        )


@dataclass(frozen=True)
class CudaPlan(Plan):
    """A plan of the CUDA backend.

    Attributes:
        num_ctas: the grid.
        num_stages: k_tiles that are in shared memory at a time.
        shared_memory_bytes: of one CTA.
        b_load: how the activations reach shared memory.
    """

    num_ctas: int
    num_stages: int
    shared_memory_bytes: int
    b_load: str

    def _lines(self, passes: int) -> tuple[str, ...]:
        kib = self.shared_memory_bytes / 1024
        return (
            f"  grid       {self.num_ctas} CTA(s) of {self.num_threads} threads",
            f"  stages     {self.num_stages}, {kib:.1f} KiB of shared memory a CTA",
            f"  loads      activations: {self.b_load}",
        )


def plan(a: Sparse24Tensor, tokens: int = 1, *, out_dtype: Any = None) -> Plan:
    """What `linear` with `tokens` tokens, or `matmul` with N = `tokens`, would run for `a`.

    Args:
        a: the compressed matrix [M, K].
        tokens: N, at least 0.
        out_dtype: as for `linear`; default `a.dtype` (int8: int32).

    Returns:
        A CpuPlan or a CudaPlan; print it.

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
    problem = (m, tokens, k, ab_dtype, a._pattern_code, d_dtype)
    if a._cuda != CPU:
        return _cuda_plan(problem, _C.cuda_device(a._cuda))
    if device_for(a._kind, a._values, "a") != CPU:
        raise device_format.unsupported(a._matrix, "a")
    isa = _C.current_isa()
    found = _C.plan(*problem, isa, available_threads())
    return CpuPlan(
        backend="cpu",
        device=found.isa,
        m=m,
        n=tokens,
        k=k,
        **_fields(found, "kernel", "why", "tile_m", "tile_n", "k_tile", "num_threads"),
        **_fields(found, "a_bytes", "multiply_adds", "num_tasks", "workspace_bytes"),
    )


def _cuda_plan(
    problem: tuple[int, int, int, _C.DType, _C.Pattern, _C.DType], props: _C.CudaProps
) -> CudaPlan:
    found = _C.cuda_plan(*problem, props)
    m, n, k = problem[:3]
    return CudaPlan(
        backend="cuda",
        device=props.name,
        m=m,
        n=n,
        k=k,
        **_fields(found, "kernel", "why", "tile_m", "tile_n", "k_tile", "num_threads"),
        **_fields(found, "a_bytes", "multiply_adds"),
        **_fields(found, "num_ctas", "num_stages", "shared_memory_bytes", "b_load"),
    )


def _fields(found: _C.Plan | _C.CudaPlan, *names: str) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}
