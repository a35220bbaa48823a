"""plan: what would run for a call, and why, without running it."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import available_threads
from sparse_gemm.arrays.devices import CPU, device_for
from sparse_gemm.format import device_format
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.gemm import type_rules

# Beyond any memory, and far enough from 2^63 for counts of operations.
_MAX_TOKENS = 2**40


class Problem(NamedTuple):
    """A multiplication, as `_C.cuda_plan` takes it."""

    m: int
    n: int
    k: int
    a_dtype: _C.DType
    b_dtype: _C.DType
    pattern: _C.Pattern
    d_dtype: _C.DType
    batch: int = 1
    group_size: int = 0
    accumulate_in_f16: bool = False


@dataclass(frozen=True)
class Plan:
    """The decision how to run one multiplication D[M,N] = A[M,K] @ B[K,N], or a batch of them.

    Attributes:
        backend: "cpu" or "cuda"; what else there is to say depends on it.
        kernel: the row of the config table that was chosen.
        why: why that row exists.
        device: the instruction set in use, or the GPU's name.
        m, n, k: out_features, tokens and in_features.
        batch: matrices of A, and as many of D; the CPU multiplies them one after another.
        tile_m, tile_n, k_tile: rows of a task or CTA; tokens that it takes at a time; K of one
            cache block or stage, or all of it, padded, where vectors run along K.
        num_threads: the threads that share the tasks; of one CTA.
        a_bytes: values and metadata.
        multiply_adds: with kept weights alone: half of the dense number. Both of the whole batch.
        workspace_bytes: memory that a call needs besides its operands and its result.
    """

    backend: str
    kernel: str
    why: str
    device: str
    m: int
    n: int
    k: int
    batch: int
    tile_m: int
    tile_n: int
    k_tile: int
    num_threads: int
    a_bytes: int
    multiply_adds: int
    workspace_bytes: int

    def __str__(self) -> str:
        """A few lines to read."""
        passes = -(-self.n // self.tile_n) if self.tile_n else 0
        megabytes = f"{self.a_bytes / 1e6:.2f} MB of values and metadata"
        times = "" if self.batch == 1 else f"{self.batch} x "
        return "\n".join(
            (
                f"{times}D[{self.m},{self.n}] = A[{self.m},{self.k}] @ B[{self.k},{self.n}] "
                f"on {self.backend} ({self.device})",
                f"  kernel     {self.kernel}: {self.why}",
                f"  tiles      {self.tile_m} rows x {self.tile_n} tokens, K by {self.k_tile}",
                *self._lines(passes),
                f"  workspace  {self.workspace_bytes / 1e6:.2f} MB",
                f"  reads      {megabytes}, {passes} x",
                f"  computes   {self.multiply_adds / 1e6:.2f} M multiply-adds (dense: twice that)",
                *self._estimate(),
            )
        )

    def _lines(self, passes: int) -> tuple[str, ...]:
        """What is the backend's own; `passes`: how often the tokens need a tile of their own."""
        return ()

    def _estimate(self) -> tuple[str, ...]:
        """What it would take, where the backend has a cost model."""
        return ()


@dataclass(frozen=True)
class CpuPlan(Plan):
    """A plan of the CPU backend, whose workspace is for the packed activations.

    Attributes:
        num_tasks: tasks for each tile_n tokens.
    """

    num_tasks: int

    def _lines(self, passes: int) -> tuple[str, ...]:
        return (f"  tasks      {passes} x {self.num_tasks}, on {self.num_threads} thread(s)",)


@dataclass(frozen=True)
class CudaPlan(Plan):
    """A plan of the CUDA backend, whose workspace is for partial sums.

    Times are the cost model's predictions, in microseconds, not measurements.

    Attributes:
        multiply: the operand types that the kernel multiplies; "s4_as_s8" is int4 x int4 on a
            device without 4-bit instructions, as int8 x int8.
        num_ctas: the grid.
        num_stages: k_tiles that are in shared memory at a time.
        shared_memory_bytes: of one CTA.
        b_load: how the activations reach shared memory.
        schedule: "whole": every CTA multiplies whole tiles; "split": all tiles are shared along K;
            "stream-k": the tiles of the last waves are.
        num_tiles, num_whole_tiles, num_k_tiles: tiles of D, those that one CTA multiplies alone,
            and steps along K of each.
        num_candidates: pairs of a kernel and a schedule that were compared.
        is_tuned: whether `tune` measured this choice; else the cost model made it.
        predicted_us: what the launch would take.
        bound: what would bound its main loops.
        main_loop_us: what they would take by each bound alone.
        wave_quantisation: the busiest SM's share of the work over the mean.
        fixed_us: the launch, filling the ring, epilogues, and adding partial sums.
        dense_us: what a dense product of the usual type would take by the same model.
    """

    multiply: str
    num_ctas: int
    num_stages: int
    shared_memory_bytes: int
    b_load: str
    schedule: str
    num_tiles: int
    num_whole_tiles: int
    num_k_tiles: int
    num_candidates: int
    is_tuned: bool
    predicted_us: float
    bound: str
    main_loop_us: dict[str, float]
    wave_quantisation: float
    fixed_us: float
    dense_us: float

    def _lines(self, passes: int) -> tuple[str, ...]:
        kib = self.shared_memory_bytes / 1024
        by = "measured by tune" if self.is_tuned else "by the cost model"
        shared = self.num_tiles - self.num_whole_tiles
        split = f"{shared} of {self.num_tiles} tile(s) shared along K ({self.schedule})"
        lines: tuple[str, ...] = (
            f"  chosen     of {self.num_candidates} candidate(s), {by}",
            f"  grid       {self.num_ctas} CTA(s) of {self.num_threads} threads, "
            f"{split if shared else f'{self.num_tiles} tile(s), each whole'}",
            f"  stages     {self.num_stages}, {kib:.1f} KiB of shared memory a CTA",
            f"  loads      activations: {self.b_load}",
        )
        if self.multiply == "s4_as_s8":
            lines += ("  types      int4 is multiplied as int8: the device has no 4-bit mma.sp",)
        return lines

    def _estimate(self) -> tuple[str, ...]:
        bounds = ", ".join(f"{name} {us:.1f}" for name, us in self.main_loop_us.items())
        gain = self.dense_us / self.predicted_us if self.predicted_us else 1.0
        verdict = f"{gain:.2f} x as long" if gain >= 1 else "this would lose to dense"
        return (
            f"  predicted  {self.predicted_us:.1f} us, bound by {self.bound}; main loops by "
            f"{bounds} us; {self.wave_quantisation:.2f} x wave quantisation; "
            f"{self.fixed_us:.1f} us fixed",
            f"  dense      {self.dense_us:.1f} us (predicted): {verdict}",
        )


def plan(
    a: Sparse24Tensor,
    tokens: int = 1,
    *,
    x_dtype: Any = None,
    out_dtype: Any = None,
    accumulate: str | None = None,
) -> Plan:
    """What `linear` with `tokens` tokens, or `matmul` with N = `tokens`, would run for `a`.

    Args:
        a: the compressed matrix [M, K], or a batch of them, for `matmul` with a B for each.
        tokens: N, at least 0.
        x_dtype: of the activations; default `a.dtype`, or float16 where `a` only goes with
            floating-point activations.
        out_dtype, accumulate: as for `linear`.

    Returns:
        A CpuPlan or a CudaPlan; print it.

    Raises:
        UnsupportedError: no backend at hand multiplies with `a`; the message says what does.
        TypeError, ValueError: `tokens` is no such number, `a` no compressed matrix, or the types do
            not go together.
    """
    problem = problem_of(a, tokens, x_dtype, out_dtype, accumulate)
    if a._cuda != CPU:
        return _cuda_plan(problem, a._cuda)
    if device_for(a._kind, a._values, "a") != CPU:
        raise device_format.unsupported(a._matrix, "a")
    isa = _C.current_isa()
    found = _C.plan(*problem[:7], isa, available_threads(), _C.intel_core())
    return CpuPlan(
        backend="cpu",
        device=isa.name,
        m=problem.m,
        n=problem.n,
        k=problem.k,
        batch=problem.batch,
        a_bytes=problem.batch * found.a_bytes,
        multiply_adds=problem.batch * found.multiply_adds,
        **_fields(found, "kernel", "why", "tile_m", "tile_n", "k_tile", "num_threads"),
        **_fields(found, "num_tasks", "workspace_bytes"),
    )


def problem_of(
    a: Sparse24Tensor, tokens: int, x_dtype: Any, out_dtype: Any, accumulate: str | None
) -> Problem:
    """The Problem of `linear` with these arguments; raises as `plan` does."""
    if type(a) is not Sparse24Tensor:
        raise TypeError(f"a is a {type(a).__name__}; expected a Sparse24Tensor")
    try:
        tokens = operator.index(tokens)
    except TypeError:
        raise TypeError(f"tokens is {tokens!r}; expected a whole number") from None
    if not 0 <= tokens <= _MAX_TOKENS:
        raise ValueError(f"tokens is {tokens}; expected 0 to {_MAX_TOKENS}")
    kind, pattern, a_dtype = a._kind, a._pattern_code, a._dtype_code
    b_dtype = type_rules.default_dense(pattern, a_dtype, a.group_size)
    if x_dtype is not None:
        b_dtype = _dtype(a, x_dtype, "x_dtype")
        type_rules.check_types(pattern, a_dtype, b_dtype, x_dtype, "x", a.group_size)
    d_dtype = type_rules.default_result(b_dtype, a._row_scale is None)
    if out_dtype is not None:
        d_dtype = _dtype(a, out_dtype, "out_dtype")
    preferred = a._cuda != CPU and kind.prefers_float16_sums()
    in_f16 = type_rules.accumulates_in_float16(accumulate, a_dtype, b_dtype, preferred)
    *leading, m, k = a.shape
    batch = leading[0] if leading else 1
    group_size = a.group_size or 0
    return Problem(m, tokens, k, a_dtype, b_dtype, pattern, d_dtype, batch, group_size, in_f16)


def _dtype(a: Sparse24Tensor, dtype: Any, name: str) -> _C.DType:
    """What a caller passed as a dtype: one of the array library's, or any name."""
    for code in _C.DType.__members__.values():
        if dtype == code.name:
            return code
    return a._kind.dtypes[a._kind.native(dtype, name)]


def _cuda_plan(problem: Problem, device: int | _C.CudaProps) -> CudaPlan:
    """The plan on a device of this machine, or on one that is made up."""
    found = _C.cuda_plan(device, *problem)
    props = _C.cuda_device(device) if isinstance(device, int) else device
    return CudaPlan(
        backend="cuda",
        device=props.name,
        m=problem.m,
        n=problem.n,
        k=problem.k,
        batch=problem.batch,
        num_candidates=len(_C.cuda_candidates(device, *problem)),
        **_fields(found, "kernel", "why", "tile_m", "tile_n", "k_tile", "num_threads"),
        **_fields(found, "a_bytes", "multiply_adds", "workspace_bytes", "multiply"),
        **_fields(found, "num_ctas", "num_stages", "shared_memory_bytes", "b_load", "schedule"),
        **_fields(found, "num_tiles", "num_whole_tiles", "num_k_tiles", "is_tuned"),
        **_fields(found, "predicted_us", "bound", "main_loop_us", "wave_quantisation"),
        **_fields(found, "fixed_us", "dense_us"),
    )


def _fields(found: _C.Plan | _C.CudaPlan, *names: str) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}
