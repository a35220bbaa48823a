"""tune: measures what the planner can only estimate, and keeps the choice."""

from __future__ import annotations

import contextlib
import functools
import logging
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparse_gemm import _C
from sparse_gemm.arrays import NUMPY_DTYPES, Array
from sparse_gemm.arrays.devices import CPU
from sparse_gemm.errors import UnsupportedError
from sparse_gemm.format.tensor import PACKED_DTYPES, Sparse24Tensor, pattern_of
from sparse_gemm.gemm.eager import Options, linear
from sparse_gemm.gemm.epilogue import Terms
from sparse_gemm.planning import tuned_choices
from sparse_gemm.planning.device_work import DeviceWork, current_device
from sparse_gemm.planning.plans import Problem, problem_of
from sparse_gemm.planning.tuned_choices import Choice, Key

_logger = logging.getLogger("sparse_gemm")

TOKENS = (1, 16, 256, 4096)

# Of the candidates, cheapest first by the cost model: those that it takes for at most this many
# times as long as the first, and at most so many.
_MAX_PREDICTED = 2.0
_MAX_CANDIDATES = 12
_NUM_TIMES = 20  # of which the median counts

_NO_TERMS = Terms()


class Tuned(NamedTuple):
    """What `tune` found for one number of tokens.

    Attributes:
        tokens: as it was asked for; the choice holds for all numbers with the same next power of 2.
        kernel, schedule, num_ctas: the fastest (see CudaPlan).
        microseconds: its median time.
        default_microseconds: that of what the cost model would choose.
        num_candidates: how many were measured.
        wrong: kernels whose result was wrong, which is a mistake to report; never chosen.
    """

    tokens: int
    kernel: str
    schedule: str
    num_ctas: int
    microseconds: float
    default_microseconds: float
    num_candidates: int
    wrong: tuple[str, ...]


@contextlib.contextmanager
def forced(kernel: int, num_ctas: int = 0, num_whole_tiles: int = -1) -> Iterator[None]:
    """Has this thread's calls on CUDA devices run one row of `_C.cuda_kernels()`, for tests.

    Args:
        kernel: the row's index. A problem that it cannot run raises ValueError.
        num_ctas: the grid; 0: what the cost model takes for that kernel.
        num_whole_tiles: tiles that one CTA multiplies alone, all of them or a multiple of
            num_ctas; the others are shared along K. Negative: all.
    """
    _C.cuda_force(kernel, num_ctas, num_whole_tiles)
    try:
        yield
    finally:
        _C.cuda_unforce()


def tune(
    a: Sparse24Tensor,
    tokens: Iterable[int] = TOKENS,
    *,
    x_dtype: Any = None,
    out_dtype: Any = None,
    accumulate: str | None = None,
    progress: bool = True,
) -> list[Tuned]:
    """Times the kernels that can multiply with `a` on its device, and has later calls use the best.

    The choice is for matrices of a's shape and types, not for `a` itself, and is kept in a file for
    later processes (`sparse_gemm.planning.tuned_choices.path()`): for the device's name, the driver
    and this version of the package. Every kernel's result is compared first, bit for bit on integer
    data, with that of the kernel that the cost model chooses.

    Args:
        a: a compressed matrix on a CUDA device.
        tokens: numbers of tokens; each choice holds for all with the same next power of two.
        x_dtype, out_dtype, accumulate: as for `plan`.
        progress: show a bar if tqdm is installed, else log to "sparse_gemm".

    Returns:
        What was found, in the order of `tokens`.

    Raises:
        UnsupportedError: `a` is not on a CUDA device, or no kernel multiplies with it.
        TypeError, ValueError: as for `plan`; or no token at all.
    """
    problems = [problem_of(a, n, x_dtype, out_dtype, accumulate) for n in tokens]
    if any(problem.n == 0 for problem in problems):
        raise ValueError("tokens has 0; expected numbers of at least 1")
    if len(a.shape) != 2:
        raise ValueError(f"a has shape {a.shape}; expected one matrix [M, K]")
    if a._cuda == CPU:
        raise UnsupportedError(
            f"a is on {a.device}, for the cpu backend, which has nothing to tune: move it to a "
            "CUDA device"
        )
    props = _C.cuda_device(a._cuda)
    work = DeviceWork(a._kind, a._values, props.emulated, 2 * props.l2_bytes)
    plans = [_worth_measuring(_C.cuda_candidates(a._cuda, *problem)) for problem in problems]
    found = []
    with _progress(progress, sum(map(len, plans)), f"tune on {props.name}") as advance:
        for problem, candidates in zip(problems, plans, strict=True):
            found.append(_tune_one(a, problem, candidates, work, accumulate, advance))
    section = tuned_choices.section_of(props)
    choices = {
        _key(problem, candidates[0]): _choice(tuned)
        for problem, candidates, tuned in zip(problems, plans, found, strict=True)
    }
    for key, choice in choices.items():
        tuned_choices.apply(a._cuda, key, choice)
    try:
        tuned_choices.write(section, choices)
    except OSError as error:
        _logger.warning("what tune found is for this process alone: %s", error)
    return found


def _worth_measuring(candidates: Sequence[_C.CudaPlan]) -> list[_C.CudaPlan]:
    limit = _MAX_PREDICTED * candidates[0].predicted_us
    return [plan for plan in candidates if plan.predicted_us <= limit][:_MAX_CANDIDATES]


def _key(problem: Problem, plan: _C.CudaPlan) -> Key:
    return Key(
        plan.multiply,
        _b_load(problem),
        problem.d_dtype.name,
        False,
        problem.group_size,
        problem.m,
        tuned_choices.bucket(problem.n),
        problem.k,
        problem.batch,
    )


def _b_load(problem: Problem) -> str:
    """How contiguous activations can be loaded: the kernel may be one that could do with less."""
    row_bytes = problem.k * NUMPY_DTYPES[problem.b_dtype].itemsize
    if problem.b_dtype in PACKED_DTYPES:
        row_bytes = (problem.k + 1) // 2
    return "aligned" if row_bytes % 16 == 0 or problem.n == 1 else "any"


def _choice(tuned: Tuned) -> Choice:
    return Choice(tuned.kernel, tuned.schedule, tuned.num_ctas, tuned.microseconds)


def _tune_one(
    a: Sparse24Tensor,
    problem: Problem,
    candidates: Sequence[_C.CudaPlan],
    work: DeviceWork,
    accumulate: str | None,
    advance: Callable[[str], None],
) -> Tuned:
    """Checks and times each candidate; the first is the cost model's choice."""
    kind = a._kind
    twin = _with_small_integers(a, work)
    d_dtype = kind.native_dtypes[problem.d_dtype]
    options = Options(out_dtype=d_dtype, backend=_backend(work), accumulate=accumulate)
    integers = _activations(problem, work, integer=True)
    x = _activations(problem, work, integer=False)
    terms = _NO_TERMS if problem.d_dtype != _C.DType.int8 else _NO_TERMS._replace(alpha=1 / 64)
    out = kind.empty(x, (problem.n, problem.m), d_dtype)
    expected: np.ndarray[Any, Any] | None = None
    times: list[float] = []
    wrong: list[str] = []
    for plan in candidates:
        with forced(plan.row, plan.num_ctas, plan.num_whole_tiles):
            result = kind.to_numpy(linear(integers, twin, terms, options))
            expected = result if expected is None else expected
            if result.tobytes() != expected.tobytes():
                _logger.error("%s (%s): a wrong result, never chosen", plan.kernel, plan.schedule)
                wrong.append(plan.kernel)
                times.append(float("inf"))
            else:
                run = functools.partial(linear, x, a, terms, options._replace(out=out))
                run()  # what happens once happens here
                times.append(statistics.median(work.microseconds(run, _NUM_TIMES)))
        advance(f"{problem.n} tokens, {plan.kernel}")
    best = min(range(len(times)), key=times.__getitem__)
    plan = candidates[best]
    return Tuned(
        tokens=problem.n,
        kernel=plan.kernel,
        schedule=plan.schedule,
        num_ctas=plan.num_ctas,
        microseconds=times[best],
        default_microseconds=times[0],
        num_candidates=len(candidates),
        wrong=tuple(wrong),
    )


def _backend(work: DeviceWork) -> str:
    """Host arrays are the emulated device's if one says so."""
    return "cuda" if work.is_emulated else "auto"


def _with_small_integers(a: Sparse24Tensor, work: DeviceWork) -> Sparse24Tensor:
    """A matrix with the non-zero places of `a` and values of -1, 0 and 1: sums of these with small
    integers are exact in whatever order, so that all kernels must agree bit for bit. Bytes that
    hold two 4-bit values get some pair or other."""
    extent = tuple(a._values.shape)
    scales = a._group_scales
    if scales is not None:
        scales = work.put(np.ones(scales.shape, np.int8), a._kind.dtypes[scales.dtype])
    if a._values.dtype == a._kind.uint8:
        values = work.put_as_it_is(work.integers(extent).view(np.uint8))
    else:
        values = work.put(work.integers(extent), a._kind.dtypes[a._values.dtype])
    return Sparse24Tensor._of_parts(
        values,
        a._metadata,
        a.shape,
        a.pattern,
        dtype=a._stored_dtype,
        group_scales=scales,
        group_size=a.group_size,
        cuda=a._cuda,
    )


def _activations(problem: Problem, work: DeviceWork, *, integer: bool) -> Array:
    """[tokens, K]: integers from -1 to 1, or what layers are given."""
    if problem.b_dtype in PACKED_DTYPES:
        return work.put_as_it_is(work.bytes((problem.n, (problem.k + 1) // 2)))
    shape = (problem.n, problem.k)
    if integer or problem.b_dtype == _C.DType.int8:
        return work.put(work.integers(shape), problem.b_dtype)
    return work.put(work.normal(shape), problem.b_dtype)


@contextlib.contextmanager
def _progress(wanted: bool, total: int, title: str) -> Iterator[Callable[[str], None]]:
    """What is to be called after each of `total` steps, with what it was."""
    if not wanted:
        yield lambda _: None
        return
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        count = 0

        def log(what: str) -> None:
            nonlocal count
            count += 1
            _logger.info("%s: %d of %d (%s)", title, count, total, what)

        yield log
        return
    with tqdm(total=total, desc=title, leave=False, disable=None) as bar:

        def show(what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update()

        yield show


def random_matrix(m: int, k: int, dtype: str, pattern: str = "2:4") -> Sparse24Tensor:
    """A matrix to tune for where there is none at hand, on the current CUDA device.

    Raises:
        ValueError: no such pattern, or no such type of it.
        UnsupportedError: there is no CUDA device, or no array library that could use it.
    """
    from sparse_gemm.format.compression import compress

    code = pattern_of(pattern)
    accepted = {t.name: native for t, native in NUMPY_DTYPES.items() if _C.supports(code, t)}
    if dtype not in accepted:
        names = ", ".join(accepted)
        raise ValueError(f"dtype is {dtype!r}; expected one of {names}, for pattern {pattern}")
    if _C.cuda_device_count() == 0:
        raise UnsupportedError(_C.cuda_unavailable_reason())
    numbers = np.random.default_rng(0).standard_normal((m, k), np.float32)
    w = (2 * numbers if dtype in ("int8", "int4") else numbers).astype(accepted[dtype])
    if _C.cuda_device(0).emulated:
        return compress(w, pattern=pattern, policy="prune", backend="cuda")
    a = compress(w, pattern=pattern, policy="prune")
    kind, device = current_device()
    values, metadata = (kind.from_numpy(part, device) for part in (a.values, a.metadata))
    return Sparse24Tensor(values, metadata, a.shape, pattern=pattern, dtype=dtype)
